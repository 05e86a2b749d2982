/**
 * Runs the contenders, one process each, on one Redis in one interleaved run:
 * A B C … C B A, several rounds; then what has servers of its own.
 */
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { startRedis } from '../redis-server'
import { ContenderProcess } from './contender-process'
import { NAMES, type Name } from './contenders'
import { growth, type Growth } from './growth'
import { memory, type Memory } from './memory'
import { root } from './paths'
import { pin, SERVER_CORE } from './scheduling'
import type { Progress } from './progress'
import { resets, type Reset } from './resets'
import { scriptFigures, type ScriptFigures } from './script-figures'
import type { Settings } from './settings'
import { speed, type Cell } from './speed'
import { topologies, type Topology } from './topologies'

export interface Measured {
  /** Its version. */
  redis: string
  /** Whether Redis had a core of its own. */
  pinned: boolean
  cells: Cell[]
  memory: Memory[]
  resets: Reset[]
  scripts: ScriptFigures
  growth: Growth[]
  topologies: Topology[]
}

export async function measure(
  settings: Settings,
  peers: boolean,
  progress: Progress
): Promise<Measured> {
  const server = await startRedis()
  const redis = new Redis(server.url)
  const contenders = new Map<Name, ContenderProcess>()
  try {
    let pinned = pin(server.pid, SERVER_CORE)
    for (const name of NAMES.slice(0, peers ? undefined : 3)) {
      const contender = new ContenderProcess(name, server.url)
      contenders.set(name, contender)
      await contender.ask()
      pinned = contender.pin() && pinned
      await contender.ask({ do: 'prove' })
    }
    const info = await redis.info('server')
    const [scripts] = await scriptFigures([join(root, 'lua')], settings, progress)
    return {
      redis: /(?:redis|valkey)_version:(\S+)/.exec(info)![1]!,
      pinned,
      scripts: scripts!,
      cells: await speed(settings, progress, redis, contenders),
      memory: await memory(settings, progress, redis, contenders),
      resets: await resets(settings, progress, redis, contenders),
      growth: await growth(settings, progress),
      topologies: await topologies(settings, progress)
    }
  } finally {
    for (const contender of contenders.values()) await contender.end()
    redis.disconnect()
    await server.stop()
  }
}
