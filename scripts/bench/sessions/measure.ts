/** Requests per second of one Express app with each store, in turns, and what they cost. */
import { Redis } from 'ioredis'
import { startRedis } from '../../redis-server'
import type { Progress } from '../progress'
import type { Place } from '../report'
import { ALL_CORES, pin, SERVER_CORE } from '../scheduling'
import type { Settings } from '../settings'
import { median, ratios } from '../statistics'
import type { Slice } from '../tasks'
import { counters, minus, type Counters } from '../timed'
import { AppProcess } from './app-process'
import { STORES, type StoreName } from './stores'

export interface Mix {
  /** Of so many requests one writes. */
  writeEvery: number
  inFlight: number
}

/** Medians of the rounds. */
export interface AppCell extends Mix {
  store: StoreName
  throughput: number
  /** To connect-redis in the same round. */
  ratio: number
  lowest: number
  highest: number
  /** Milliseconds. */
  p50: number
  p99: number
  /** Microseconds of a request. */
  appCpu: number
  redisCpu: number
  /**
   * For a request. Round trips are the times that Redis read from a socket, which tells only
   * with one in flight; commands include those of scripts.
   */
  reads: number
  commands: number
}

export interface SessionsMeasured extends Place {
  apps: AppCell[]
}

type Seen = Slice & { server: Counters }

export const READING = Infinity
export const MIXED = 20
export const MIXES: Mix[] = [1, 64].flatMap((inFlight) =>
  [READING, MIXED].map((writeEvery) => ({ writeEvery, inFlight }))
)

export async function measureSessions(
  settings: Settings,
  progress: Progress
): Promise<SessionsMeasured> {
  const server = await startRedis()
  const redis = new Redis(server.url)
  const apps = new Map(STORES.map((name) => [name, new AppProcess(name, server.url)]))
  try {
    let pinned = pin(server.pid, SERVER_CORE)
    for (const app of apps.values()) {
      await app.open()
      await app.logIn(settings.standing / 10)
      pinned = app.pin() && pinned
      await app.warm(settings.standing, MIXED)
    }
    // The users of the apps are this process.
    if (pinned) pin(process.pid, SERVER_CORE)
    const info = await redis.info('server')
    const version = /(?:redis|valkey)_version:(\S+)/.exec(info)![1]!
    return { redis: version, pinned, apps: await visited(settings, progress, redis, apps) }
  } finally {
    pin(process.pid, ALL_CORES)
    for (const app of apps.values()) await app.end()
    redis.disconnect()
    await server.stop()
  }
}

async function visited(
  { rounds, ms }: Settings,
  progress: Progress,
  redis: Redis,
  apps: Map<StoreName, AppProcess>
): Promise<AppCell[]> {
  const seen = new Map<string, Seen[][]>()
  const at = (store: StoreName, mix: Mix): string => `${store}/${MIXES.indexOf(mix)}`
  // Round 0 warms up and counts for nothing.
  for (let round = 0; round <= rounds; round++) {
    for (const [m, mix] of MIXES.entries()) {
      progress('sessions', round * MIXES.length + m, (rounds + 1) * MIXES.length)
      for (const name of [...STORES, ...STORES.toReversed()]) {
        const slice = await timed(redis, () =>
          apps.get(name)!.time(mix.inFlight, mix.writeEvery, ms)
        )
        if (round === 0) continue
        const rows = seen.get(at(name, mix)) ?? []
        seen.set(at(name, mix), rows)
        ;(rows[round - 1] ??= []).push(slice)
      }
    }
  }
  return MIXES.flatMap((mix) => {
    const beside = seen.get(at('connect-redis', mix))!
    return STORES.map((store) => ({ store, ...mix, ...cell(seen.get(at(store, mix))!, beside) }))
  })
}

/** As of any caller, with what it cost Redis. */
async function timed(redis: Redis, run: () => Promise<Slice>): Promise<Seen> {
  const first = await counters(redis)
  const before = await counters(redis)
  const slice = await run()
  const after = await counters(redis)
  // The asking itself counts too.
  return { ...slice, server: minus(minus(after, before), minus(before, first)) }
}

function cell(own: Seen[][], beside: Seen[][]): Omit<AppCell, 'store' | keyof Mix> {
  const sum = (slices: Seen[], of: (slice: Seen) => number): number =>
    slices.reduce((total, slice) => total + of(slice), 0)
  const perCall = (rounds: Seen[][], of: (slice: Seen) => number): number[] =>
    rounds.map((slices) => sum(slices, of) / sum(slices, ({ calls }) => calls))
  const seconds = ({ seconds }: Slice): number => seconds
  const speeds = ratios(perCall(beside, seconds), perCall(own, seconds))
  return {
    throughput: 1 / median(perCall(own, seconds)),
    ratio: median(speeds),
    lowest: Math.min(...speeds),
    highest: Math.max(...speeds),
    p50: median(own.flat().map(({ p50 }) => p50)),
    p99: median(own.flat().map(({ p99 }) => p99)),
    appCpu: median(perCall(own, ({ cpu }) => cpu)),
    redisCpu: median(perCall(own, ({ server }) => server.cpu)),
    reads: median(perCall(own, ({ server }) => server.reads)),
    commands: median(perCall(own, ({ server }) => server.commands))
  }
}
