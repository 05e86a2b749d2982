import type { Redis } from 'ioredis'
import type { Tokenstore } from '../../src/main'
import type { Config } from '../../src/types'
import { client, freshPrefix, names, random, store } from '../support'

export const ROUNDS = 1000
const AT_ONCE = 50

export type Tokens = Tokenstore<Record<string, unknown>>

/**
 * Stores of one prefix, each on a connection of its own, so that Redis may take their calls in
 * any order.
 */
export async function contenders(
  n: number,
  config: Config = {}
): Promise<{ prefix: string; stores: Tokens[] }> {
  const prefix = freshPrefix()
  const stores = Array.from({ length: n }, () =>
    store<Record<string, unknown>>({ prefix, ...config })
  )
  await Promise.all(stores.map((tokens) => tokens.count('nobody')))
  return { prefix, stores }
}

/** Plain clients, connected: one that is still connecting would come after all others. */
export async function connected(n: number): Promise<Redis[]> {
  const clients = Array.from({ length: n }, () => client())
  await Promise.all(clients.map((redis) => redis.ping()))
  return clients
}

/** As `names`, without old keys: they may outlive their tokens, till their grace is over. */
export async function living(redis: Redis, prefix: string): Promise<Record<string, unknown>> {
  const entries = Object.entries(await names(redis, prefix))
  return Object.fromEntries(
    entries.filter(([, { value }]) => !/^[\da-f-]{36} \d+$/.test(String(value)))
  )
}

interface Rounds {
  /** What they leave, between some of them, with none under way. */
  check?: () => Promise<void>
  /** How often each outcome of the race was seen. Which one a round has is up to the machine. */
  seen?: Record<string, number> | number[]
}

/**
 * Runs ROUNDS rounds, and more while there is an outcome that none has had yet. Answers how many
 * it ran.
 */
export async function rounds(
  run: (round: number) => Promise<void>,
  { check, seen = {} }: Rounds = {}
): Promise<number> {
  const wanting = (): boolean => Object.values(seen).includes(0)
  let first = 0
  for (; first < ROUNDS || (wanting() && first < 10 * ROUNDS); first += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => run(first + i)))
    if (first % 200 === 0) await check?.()
  }
  await check?.()
  return first
}

/**
 * Of one kind of race: all calls are sent before any answer is read, in another order each time.
 */
export function races(seed: number) {
  const rng = random(seed)
  return async <T>(calls: (() => Promise<T>)[]): Promise<(T | Error)[]> => {
    const results: Promise<T | Error>[] = []
    for (const i of shuffled(calls.length, rng))
      results[i] = calls[i]!().catch((error: Error) => error)
    return Promise.all(results)
  }
}

/**
 * Runs rounds of a race with an operation that is split in two calls until one fails: a race that
 * passes with that as well shows nothing. Whether the others come into the gap is up to the
 * machine; on one core it may take many rounds.
 */
export async function breaks(run: (round: number) => Promise<void>): Promise<void> {
  const failed: unknown[] = []
  for (let first = 0; failed.length === 0 && first < ROUNDS; first += AT_ONCE) {
    const outcomes = await Promise.allSettled(
      Array.from({ length: AT_ONCE }, (_, i) => run(first + i))
    )
    for (const outcome of outcomes) if (outcome.status === 'rejected') failed.push(outcome.reason)
  }
  expect(failed).not.toEqual([])
  // By an assertion of the round, not since the split version does not even run.
  for (const reason of failed) expect(reason).toHaveProperty('matcherResult')
}

/** As an assertion, for loops that make it very often: it costs nothing while it holds. */
export function must(holds: boolean): void {
  if (!holds) expect(holds).toBe(true)
}

export const isError = (value: unknown): value is Error => value instanceof Error

/** Fails with the first error among the results, which a race without losers must not have. */
export function values<T>(results: (T | Error)[]): T[] {
  for (const result of results) if (isError(result)) throw result
  return results as T[]
}

function shuffled(n: number, rng: () => number): number[] {
  const order = Array.from({ length: n }, (_, i) => i)
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(rng() * (i + 1))
    ;[order[i], order[j]] = [order[j]!, order[i]!]
  }
  return order
}
