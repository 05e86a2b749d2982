/**
 * What two processes that share tokens cost Redis, with a cache and without; and
 * when one of them sees what the other revokes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { startRedis } from '../../redis-server'
import { ContenderProcess } from '../contender-process'
import type { Progress } from '../progress'
import type { CacheSettings, Settings } from '../settings'
import { median, quantile, ratios } from '../statistics'
import { counters, minus } from '../timed'
import type { Load, Loaded, Max, Seen } from './tasks'

export interface Cost {
  together: boolean
  cache: boolean
  /** Of getKey and of writes, a second. */
  calls: number
  writes: number
  /** Of the calls. */
  hits: number
  /** Microseconds of CPU that Redis used in a second. */
  cpu: number
  /** Of the CPU for a call, to that without a cache in the same round. */
  ratio: number
}

/** Milliseconds. */
export interface Delays {
  p50: number
  p99: number
  longest: number
}

export interface Revocations {
  /** From the answer to `del` to the first call that answers null. */
  made: Delays
  /** And to its answer. */
  answered: Delays
}

type Pair = [ContenderProcess, ContenderProcess]

const CALLS = 50_000
const WRITES = 500
// With the writes, each of which makes both processes ask, 1 call in 20 asks.
const COLD_EVERY = 33
const BATCH = 25

export async function underLoad(
  { cache }: Settings,
  progress: Progress
): Promise<{ costs: Cost[]; revocations: Revocations }> {
  const server = await startRedis()
  const redis = new Redis(server.url)
  const process = (): ContenderProcess => new ContenderProcess('tokenstore', server.url)
  const pair: Pair = [process(), process()]
  try {
    await Promise.all(pair.map((one) => one.ask()))
    const { max, loaded, hot } = cache
    await pair[0].ask({ do: 'issue', max: 0, from: 0, to: loaded })
    await pair[0].ask({ do: 'issue', max, from: 0, to: loaded })
    for (const one of pair) await one.ask({ do: 'keep', max, from: 0, to: hot })
    const costs = await costsOf(redis, pair, cache, progress)
    return { costs, revocations: await revocationsOf(pair, cache, progress) }
  } finally {
    for (const one of pair) await one.end()
    redis.disconnect()
    await server.stop()
  }
}

function load({ loaded, hot }: CacheSettings, together: boolean): Load {
  return {
    calls: CALLS / 2,
    writes: WRITES / 2,
    together,
    size: loaded,
    hot,
    coldEvery: COLD_EVERY
  }
}

const KINDS = [false, true].flatMap((together) =>
  [false, true].map((cache) => ({ together, cache }))
)

async function costsOf(
  redis: Redis,
  pair: Pair,
  cache: CacheSettings,
  progress: Progress
): Promise<Cost[]> {
  const seen = KINDS.map((): Omit<Cost, 'together' | 'cache' | 'ratio'>[] => [])
  // Round 0 warms up and counts for nothing.
  for (let round = 0; round <= cache.loadRounds; round++) {
    progress('load', round, cache.loadRounds + 1)
    for (const kind of [...KINDS, ...KINDS.toReversed()]) {
      const max = kind.cache ? cache.max : 0
      const before = await counters(redis)
      const loaded = await during(pair, max, load(cache, kind.together), () => sleep(cache.loadMs))
      const { cpu } = minus(await counters(redis), before)
      if (round > 0) seen[KINDS.indexOf(kind)]!.push(costOf(loaded, cpu))
    }
  }
  return KINDS.map((kind, k) => {
    const own = seen[k]!
    const without = seen[k - (kind.cache ? 1 : 0)]!
    const of = (figure: keyof (typeof own)[number]): number => median(own.map((c) => c[figure]))
    const perCall = (costs: typeof own): number[] => costs.map(({ cpu, calls }) => cpu / calls)
    return {
      ...kind,
      calls: of('calls'),
      writes: of('writes'),
      hits: of('hits'),
      cpu: of('cpu'),
      ratio: median(ratios(perCall(own), perCall(without)))
    }
  })
}

function costOf(loaded: Loaded[], cpu: number): Omit<Cost, 'together' | 'cache' | 'ratio'> {
  const sum = (figure: keyof Loaded): number =>
    loaded.reduce((total, one) => total + one[figure], 0)
  const seconds = sum('seconds') / loaded.length
  return {
    calls: sum('calls') / seconds,
    writes: sum('writes') / seconds,
    hits: 1 - sum('asked') / sum('calls'),
    cpu: cpu / seconds
  }
}

/** Under a load of both processes. */
async function during(
  pair: Pair,
  max: Max,
  load: Load,
  run: () => Promise<unknown>
): Promise<Loaded[]> {
  await Promise.all(pair.map((one) => one.ask({ do: 'load', max, load })))
  await run()
  const loaded = await Promise.all(pair.map((one) => one.ask({ do: 'unload' })))
  return loaded as Loaded[]
}

async function revocationsOf(
  pair: Pair,
  cache: CacheSettings,
  progress: Progress
): Promise<Revocations> {
  const made: number[] = []
  const answered: number[] = []
  async function batch(from: number): Promise<void> {
    const [revoker, watcher] = pair
    const tokens = { max: cache.max, from, to: from + BATCH }
    await revoker.ask({ do: 'issue', ...tokens })
    await watcher.ask({ do: 'keep', ...tokens })
    await watcher.ask({ do: 'watch', ...tokens })
    const revoked = (await revoker.ask({ do: 'revoke', ...tokens })) as number[]
    const seen = (await watcher.ask({ do: 'seen' })) as Seen[]
    made.push(...revoked.map((at, i) => seen[i]!.made - at))
    answered.push(...revoked.map((at, i) => seen[i]!.answered - at))
  }
  await during(pair, cache.max, load(cache, false), async () => {
    for (let done = 0; done < cache.revocations; done += BATCH) {
      progress('revoked', done, cache.revocations)
      await batch(cache.loaded + done)
    }
  })
  return { made: delays(made), answered: delays(answered) }
}

function delays(ms: number[]): Delays {
  return { p50: quantile(ms, 0.5), p99: quantile(ms, 0.99), longest: Math.max(...ms) }
}
