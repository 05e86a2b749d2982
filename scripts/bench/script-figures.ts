/**
 * What the scripts of some folders cost the server, called directly on a server
 * of their own, each folder under a root of its own, in turns: A B … B A.
 */
import { Redis } from 'ioredis'
import { startRedis } from '../redis-server'
import { ALL_CORES, CLIENT_CORES, pin, prefer, SERVER_CORE } from './scheduling'
import { idOf, keyOf } from './numbered'
import type { Progress } from './progress'
import {
  add,
  callsOf,
  FRESH,
  LASTING,
  SCRIPT_CALLS,
  SETUP,
  type Call,
  type ScriptCall
} from './script-calls'
import { ScriptSet } from './script-set'
import type { Settings } from './settings'
import { usedMemory } from './used-memory'

/** Of one folder. */
export interface ScriptFigures {
  /** Microseconds of a call, of each round; of a plain GET as well. */
  times: Record<string, number[]>
  /** Bytes of memory per token. */
  bytes: { 'never ends': number; 'TTL and IDLE': number }
  /** Bytes that 200 rotations with grace add to a record. */
  rotated: number
}

export const PLAIN_GET = 'plain GET'
const ROTATIONS = 200
/** The same in every run: where tables of Redis double decides what is used. */
const TOKENS = 20_000
const GETS = 1000
const VALUE = 'x'.repeat(165) // as long as a record

export async function scriptFigures(
  folders: string[],
  { scriptRounds }: Settings,
  progress: Progress
): Promise<ScriptFigures[]> {
  const server = await startRedis()
  const redis = new Redis(server.url)
  try {
    pin(server.pid, SERVER_CORE)
    prefer(server.pid)
    pin(process.pid, CLIENT_CORES)
    const sets: ScriptSet[] = []
    for (const [i, folder] of folders.entries()) {
      sets.push(await ScriptSet.load(redis, folder, `lua-${i}`))
    }
    const seen = await times(redis, sets, scriptRounds, progress)
    const found: ScriptFigures[] = []
    for (const [i, set] of sets.entries()) {
      progress('scripts', scriptRounds + i, scriptRounds + sets.length)
      found.push({
        times: seen[i]!,
        bytes: {
          'never ends': await bytes(redis, set, []),
          'TTL and IDLE': await bytes(redis, set, LASTING)
        },
        rotated: set.digest('rotate') ? await rotated(set) : NaN
      })
    }
    return found
  } finally {
    pin(process.pid, ALL_CORES)
    redis.disconnect()
    await server.stop()
  }
}

async function times(
  redis: Redis,
  sets: ScriptSet[],
  rounds: number,
  progress: Progress
): Promise<Record<string, number[]>[]> {
  const there = (call: Call): boolean => sets.every((set) => set.takes(call))
  const differ = ([script]: Call): boolean =>
    new Set(sets.map((set) => set.digest(script))).size === sets.length
  const rows = SCRIPT_CALLS.filter((row) => callsOf(row).every(there) && differ(row.run(FRESH)))
  for (const set of sets) {
    await set.run(SETUP.filter(there))
  }
  await redis.set(PLAIN_GET, VALUE)
  const found = sets.map((): Record<string, number[]> => ({}))
  let next = FRESH
  // Round 0 warms up and counts for nothing.
  for (let round = 0; round <= rounds; round++) {
    progress('scripts', round, rounds + sets.length)
    for (const row of [undefined, ...rows]) {
      const name = row?.name ?? PLAIN_GET
      // The lesser of two slices: the other may have been interrupted.
      const least = sets.map(() => Infinity)
      for (const turn of [...sets.keys(), ...[...sets.keys()].reverse()]) {
        const us = row ? await slice(redis, sets[turn]!, row, next) : await plainGets(redis)
        least[turn] = Math.min(least[turn]!, us)
        next += row?.calls ?? 0
      }
      if (round === 0) continue
      for (const [i, us] of least.entries()) (found[i]![name] ??= []).push(us)
    }
  }
  return found
}

/** Microseconds of a call. */
async function slice(
  redis: Redis,
  set: ScriptSet,
  { name, calls, before, run, after, holds }: ScriptCall,
  first: number
): Promise<number> {
  const numbers = Array.from({ length: calls }, (_, i) => first + i)
  if (before) await set.run(numbers.flatMap(before))
  const since = Date.now()
  let replies: unknown[] = []
  const us = await perCall(redis, 'evalsha', async () => {
    replies = await set.run(numbers.map(run))
  })
  const other = replies.findIndex((reply) => !holds(reply, since))
  if (other >= 0) {
    throw new Error(`${name} answers ${JSON.stringify(replies[other])}`)
  }
  if (after) await set.run(numbers.flatMap(after))
  return us
}

function plainGets(redis: Redis): Promise<number> {
  const pipeline = redis.pipeline()
  for (let i = 0; i < GETS; i++) pipeline.get(PLAIN_GET)
  return perCall(redis, 'get', () => pipeline.exec())
}

/** As the server counts it: the time in a command, without the socket. */
async function perCall(
  redis: Redis,
  command: string,
  calls: () => Promise<unknown>
): Promise<number> {
  const pattern = new RegExp(`^cmdstat_${command}:calls=(\\d+),usec=(\\d+)`, 'm')
  const counted = async (): Promise<[calls: number, us: number]> => {
    const found = pattern.exec(await redis.info('commandstats'))
    return [Number(found?.[1] ?? 0), Number(found?.[2] ?? 0)]
  }
  const before = await counted()
  await calls()
  const after = await counted()
  return (after[1] - before[1]) / (after[0] - before[0])
}

async function bytes(
  redis: Redis,
  set: ScriptSet,
  options: readonly (string | number)[]
): Promise<number> {
  await redis.flushall('SYNC')
  const before = await usedMemory(redis)
  const calls = Array.from({ length: TOKENS }, (_, n) => {
    const nth = Math.floor(n / 10)
    // Of 12 to 43 characters, to meet many size classes of the allocator.
    return add(n, `owner-${nth}`.padEnd(12 + (nth % 32), '-'), options)
  })
  await set.run(calls)
  return ((await usedMemory(redis)) - before) / TOKENS
}

/** Of a token that the last measurement has left. */
async function rotated(set: ScriptSet): Promise<number> {
  const length = async (): Promise<number> => {
    const [triple] = await set.run([['get', idOf(0)]])
    return Buffer.byteLength((triple as [key: string, record: string])[1])
  }
  const before = await length()
  for (let n = 1; n <= ROTATIONS; n++) {
    await set.run([['rotate', idOf(0), `${n}${keyOf(0)}`, 'GRACE', 600_000]])
  }
  return (await length()) - before
}
