import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster, type ClusterOptions, type Redis } from 'ioredis'
import type { Node, RedisCluster } from '../../scripts/redis-cluster'
import { startCluster } from '../../scripts/redis-cluster'
import { ReplicationError, UnavailableError } from '../../src/main'
import { audit, auditPartitioned, keyspace, names, random, until, type Entry } from '../support'

const clients: Cluster[] = []

/**
 * An ioredis client of a cluster, as an app has one; closed after the tests of
 * the file.
 */
export function clusterClient(cluster: RedisCluster, options: ClusterOptions = {}): Cluster {
  const redis = new Cluster(cluster.startup, options)
  // The attempts that fail while nodes are away are reported to each call.
  redis.on('error', () => {})
  clients.push(redis)
  return redis
}

/** A cluster for the tests of a file. */
export function useCluster(): { cluster(): RedisCluster } {
  let cluster: RedisCluster | undefined
  beforeAll(async () => {
    cluster = await startCluster()
  }, 60_000)
  afterAll(async () => {
    for (const redis of clients.splice(0)) redis.disconnect()
    await cluster?.stop()
  })
  return { cluster: () => cluster! }
}

/**
 * What all masters have under a prefix; a name that two of them hold is an
 * error.
 */
async function onMasters<T>(
  cluster: RedisCluster,
  prefix: string,
  read: (redis: Redis, prefix: string) => Promise<Record<string, T>>
): Promise<Record<string, T>> {
  const all: Record<string, T> = {}
  for (const { redis, port } of await cluster.masters()) {
    for (const [name, entry] of Object.entries(await read(redis, prefix))) {
      if (name in all) throw new Error(`${name} is at port ${port} and another`)
      all[name] = entry
    }
  }
  return all
}

/** As `keyspace` of one server. */
export const clusterKeyspace = (
  cluster: RedisCluster,
  prefix: string
): Promise<Record<string, Entry>> => onMasters(cluster, prefix, keyspace)

/** As `names` of one server. */
export const clusterNames = (
  cluster: RedisCluster,
  prefix: string
): Promise<Record<string, unknown>> => onMasters(cluster, prefix, names)

/**
 * What contradicts itself under a prefix, with a hash tag or without, on any of
 * the masters.
 */
export async function clusterAudit(cluster: RedisCluster, prefix: string): Promise<string[]> {
  const look = prefix.includes('{') ? audit : auditPartitioned
  const faults = await Promise.all(
    (await cluster.masters()).map(({ redis }: Node) => look(redis, prefix))
  )
  return faults.flat()
}

/**
 * How often an error of this first word was answered, summed over the servers.
 */
export async function errorsAnswered(servers: { redis: Redis }[], code: string): Promise<number> {
  const infos = await Promise.all(servers.map(({ redis }) => redis.info('errorstats')))
  return infos.reduce(
    (sum, info) => sum + Number(new RegExp(`errorstat_${code}:count=(\\d+)`).exec(info)?.[1] ?? 0),
    0
  )
}

/** What callers under load met. */
export interface Load {
  calls: number
  /**
   * Milliseconds of the longest call, but for those during which this process
   * stood still.
   */
  longest: number
  /**
   * `stalled`: this process stood still meanwhile, as it does with its machine,
   * so that time alone may have failed it.
   */
  errors: {
    caller: number
    sent: number
    at: number
    error: Error
    stalled: boolean
  }[]
  /**
   * When the first call was answered that was sent after this time, by anybody
   * or by one of the callers.
   */
  answeredAfter(time: number, by?: number): number | undefined
  stop(): Promise<void>
}

const TICK_MS = 50
const STALL_MS = 500

/**
 * Callers, each of which makes one call after the other until they are stopped.
 */
export function load(
  callers: number,
  call: (caller: number, rng: () => number) => Promise<void>
): Load {
  const answers: { caller: number; sent: number; answered: number }[] = []
  let running = true
  let ticked = Date.now()
  let wentOn = 0
  const clock = setInterval(() => {
    if (Date.now() - ticked > STALL_MS) wentOn = Date.now()
    ticked = Date.now()
  }, TICK_MS)
  const state: Load = {
    calls: 0,
    longest: 0,
    errors: [],
    answeredAfter: (time, by) =>
      answers.find(({ caller, sent }) => sent >= time && (by === undefined || by === caller))
        ?.answered,
    stop: async () => {
      running = false
      await Promise.all(all)
      clearInterval(clock)
    }
  }
  const one = async (caller: number): Promise<void> => {
    for (const rng = random(caller + 1); running;) {
      const sent = Date.now()
      try {
        await call(caller, rng)
        answers.push({ caller, sent, answered: Date.now() })
      } catch (error) {
        state.errors.push({
          caller,
          sent,
          at: Date.now(),
          error: error as Error,
          stalled: sent <= wentOn
        })
        await sleep(5)
      }
      state.calls++
      if (sent > wentOn) state.longest = Math.max(state.longest, Date.now() - sent)
    }
  }
  const all = Array.from({ length: callers }, (_, caller) => one(caller))
  return state
}

/**
 * Of the errors that callers saw, those that do not say that Redis, or a
 * replica asked for, cannot serve now.
 */
export const untyped = ({ errors }: Load): Error[] =>
  errors
    .map(({ error }) => error)
    .filter((error) => !(error instanceof UnavailableError || error instanceof ReplicationError))

/**
 * Polls until a write that too few replicas confirm, and that may be repeated,
 * is told just this: on a machine that stalls, its time may be over before a
 * replica, or Redis itself, could answer.
 */
export function refused(says: string, write: () => Promise<unknown>): Promise<void> {
  return until(async () => {
    const error: unknown = await write().catch((error: unknown) => error)
    if (error instanceof UnavailableError) return false
    expect(error).toBeInstanceOf(ReplicationError)
    expect(error).toMatchObject({ code: 'TSREPLICATION' })
    return (error as Error).message === says
  })
}

/**
 * Numbers for whoever reads the output; asked for by an environment variable,
 * since tests should be silent.
 */
export function report(title: string, numbers: Record<string, number | string>): void {
  if (process.env.TOPOLOGY_REPORT) process.stderr.write(`${title}: ${JSON.stringify(numbers)}\n`)
}
