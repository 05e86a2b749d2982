/** Removing a whole store, and how long everybody else waits meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { ATTRS } from './attrs'
import type { ContenderProcess } from './contender-process'
import type { Name } from './contenders'
import { median } from './statistics'
import type { Progress } from './progress'
import type { Settings } from './settings'

export interface Reset {
  contender: Name
  tokens: number
  seconds: number
  /** To the floor. */
  ratio: number
  /**
   * Milliseconds: the longest PING of a bystander, in the median round and in
   * the worst.
   */
  ping: number
  worstPing: number
  /** Milliseconds: the longest command in the server, in the median round. */
  longestCommand: number
}

interface One {
  seconds: number
  ping: number
  command: number
}

export async function resets(
  { resets: sizes, resetRounds }: Settings,
  progress: Progress,
  redis: Redis,
  contenders: Map<Name, ContenderProcess>
): Promise<Reset[]> {
  const slowLog = ['slowlog-log-slower-than', '200', 'slowlog-max-len', '10000']
  await redis.config('SET', ...(slowLog as [string, string]))
  const names = [...contenders.keys()].filter((n) => n !== 'autopipelining')
  const seen = new Map<string, One[]>()
  let done = 0
  for (const tokens of sizes) {
    for (let round = 0; round < resetRounds; round++) {
      for (const name of [...names, ...names.toReversed()]) {
        progress('reset', done++, sizes.length * resetRounds * names.length * 2)
        const at = `${name}/${tokens}`
        const own = seen.get(at) ?? []
        seen.set(at, own)
        // A peer that walks token by token takes half a minute: once will do.
        if ((own[0]?.seconds ?? 0) > 5) continue
        own.push(await one(redis, contenders.get(name)!, tokens))
      }
    }
  }
  return sizes.flatMap((tokens) =>
    names.map((contender) => {
      const own = seen.get(`${contender}/${tokens}`)!
      const floor = seen.get(`floor/${tokens}`)!
      const pings = own.map(({ ping }) => ping)
      return {
        contender,
        tokens,
        seconds: median(own.map(({ seconds }) => seconds)),
        ratio: median(own.map((one, i) => one.seconds / floor[i]!.seconds)),
        ping: median(pings),
        worstPing: Math.max(...pings),
        longestCommand: median(own.map(({ command }) => command))
      }
    })
  )
}

async function one(redis: Redis, contender: ContenderProcess, tokens: number): Promise<One> {
  await redis.flushall('SYNC')
  const fill = { tokens, perOwner: 10, attrs: ATTRS, owner: 'owner' }
  await contender.ask({ do: 'fill', ...fill })
  await redis.slowlog('RESET')
  let ping = 0
  let over = false
  // This process does nothing else meanwhile: what it waits for is the server.
  async function bystander(): Promise<void> {
    while (!over) {
      const start = performance.now()
      await redis.ping()
      ping = Math.max(ping, performance.now() - start)
      await sleep(1)
    }
  }
  const watching = bystander()
  const seconds = (await contender.ask({ do: 'reset' })) as number
  over = true
  await watching
  const left = await redis.dbsize()
  if (left > 0) throw new Error('a reset left something behind')
  const slow = (await redis.slowlog('GET', 10000)) as [id: number, time: number, us: number][]
  const command = Math.max(0, ...slow.map(([, , us]) => us)) / 1000
  return { seconds, ping, command }
}
