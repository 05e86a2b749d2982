/** Contenders on one Redis, a process each, for as long as something runs. */
import { Redis } from 'ioredis'
import { startRedis } from '../redis-server'
import { ContenderProcess } from './contender-process'
import { isPeer, type Name } from './contenders'
import { pin, SERVER_CORE } from './scheduling'

export interface Beside {
  redis: Redis
  contenders: Map<Name, ContenderProcess>
  /** Of Redis. */
  version: string
  /** Whether Redis has a core of its own. */
  pinned: boolean
}

export async function beside<T>(
  names: readonly Name[],
  peers: boolean,
  run: (beside: Beside) => Promise<T>
): Promise<T> {
  const server = await startRedis()
  const redis = new Redis(server.url)
  const contenders = new Map<Name, ContenderProcess>()
  try {
    let pinned = pin(server.pid, SERVER_CORE)
    for (const name of names.filter((name) => peers || !isPeer(name))) {
      const contender = new ContenderProcess(name, server.url)
      contenders.set(name, contender)
      await contender.ask()
      pinned = contender.pin() && pinned
      await contender.ask({ do: 'prove' })
    }
    const info = await redis.info('server')
    const version = /(?:redis|valkey)_version:(\S+)/.exec(info)![1]!
    return await run({ redis, contenders, version, pinned })
  } finally {
    for (const contender of contenders.values()) await contender.end()
    redis.disconnect()
    await server.stop()
  }
}
