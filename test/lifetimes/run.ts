import { isDeepStrictEqual } from 'node:util'
import type { Redis } from 'ioredis'
import { TokenstoreError, type Tokenstore } from '../../src/main'
import { random, timeOf } from '../support'
import { dump, Model, Refused, type Add, type Answer, type Change } from './model'
import type { Dump, Moment } from './model'

/** Weights of the calls; what is not named is not made. */
export type Weights = Partial<Record<keyof ReturnType<typeof calls>, number>>

export interface Options {
  seed: number
  steps: number
  digest?: boolean
  weights: Weights
}

interface Call {
  text: string
  make(): Promise<Answer>
  /**
   * What the model answers; it may take over keys, ids and hashes, which the store draws, from
   * the answer.
   */
  model(model: Model, answer: Answer, at: Moment): Answer
}

type Tokens = Tokenstore<Record<string, unknown>>

const TOUCH_EVERY = 5

/**
 * The stores of a run: one with the default for touchEvery, one without touchEvery's usual slack.
 */
export const configs = [{}, { touchEvery: TOUCH_EVERY / 1000 }]

/**
 * Makes random calls, and after each compares the answer and all that Redis holds with the model.
 * Answers how often each call was made and how many names it left at most.
 */
export async function run(
  redis: Redis,
  prefix: string,
  stores: Tokens[],
  options: Options
): Promise<string> {
  const rng = random(options.seed)
  const below = (n: number): number => Math.floor(rng() * n)
  let model = new Model(options.digest ?? false)
  const made: Record<string, number> = {}
  let most = 0
  let expired = 0
  let last = await settled(redis, prefix)
  const entries = Object.entries(options.weights)
  const total = entries.reduce((sum, [, weight]) => sum + weight, 0)

  for (let step = 0; step < options.steps; step++) {
    let n = below(total)
    const name = entries.find(([, weight]) => (n -= weight) < 0)![0] as keyof Weights
    const i = below(stores.length)
    const call = calls(stores[i]!, i, redis, prefix, model, below)[name]()
    made[name] = (made[name] ?? 0) + 1
    const since = await timeOf(redis)
    const answer: unknown = await call.make().catch((error: Error) => error)
    const found = await settled(redis, prefix)
    most = Math.max(most, found.names.size)

    let best: string[] | undefined
    let next: Model | undefined
    const ends = new Set(Array.from(last.names.values(), (entry) => entry.ends))
    for (let began = since; began <= found.time && !next; began++) {
      // Only the end of something tells a later beginning from an earlier one.
      if (began > since && !ends.has(began - 1)) continue
      for (let now = began; now <= found.time && !next; now++) {
        const at = { began, now }
        const candidate = model.clone()
        const expected = call.model(candidate, answer, at)
        const right =
          expected instanceof Refused
            ? answer instanceof TokenstoreError && answer.code === expected.code
            : isDeepStrictEqual(answer, expected)
        const faults = right
          ? [...candidate.settle(found, since), ...candidate.faults(found, at)]
          : [`answered ${told(answer)}, not ${told(expected)}`]
        if (faults.length === 0) {
          const before = candidate.tokens.size
          candidate.prune(at)
          expired += before - candidate.tokens.size
          next = candidate
        } else if (!best || right) best = faults
      }
    }
    if (!next)
      throw new Error(`seed ${options.seed}, step ${step}, ${call.text}:\n${best!.join('\n')}`)
    model = next
    last = found
  }
  return `${options.steps} calls, ${expired} tokens expired, at most ${most} names; ${told(made)}`
}

const told = (value: unknown): string => JSON.stringify(value) ?? String(value)

/**
 * A dump of a millisecond in which nothing ends. Redis keeps a name through the millisecond of
 * its end, but deletes it at once when a script gives it that end in this very millisecond; so a
 * call that came then left the next one in the dark.
 */
async function settled(redis: Redis, prefix: string): Promise<Dump> {
  for (;;) {
    const found = await dump(redis, prefix)
    if (Array.from(found.names.values()).every(({ ends }) => ends !== found.time)) return found
  }
}

const OWNERS = ['user-7', 'a:b*?[x]', 'x,"attrs":{}', '{tag}', 'naïve 日本', 'u'.repeat(300)]

function calls(
  tokens: Tokens,
  store: number,
  redis: Redis,
  prefix: string,
  model: Model,
  below: (n: number) => number
) {
  const chance = (percent: number): boolean => below(100) < percent
  const pick = <T>(from: T[]): T => from[below(from.length)]!
  const owner_id = pick(OWNERS)
  const all = [...model.tokens.values()]
  const none = '00000000-0000-7000-8000-000000000000'
  const someId = (): string => {
    if (chance(85) && all.length > 0) return pick(all).id
    if (chance(60) && model.ghosts.size > 0) return pick([...model.ghosts.keys()])
    return model.owners.size > 0 && chance(80) ? pick([...model.owners.keys()].slice(-50)) : none
  }
  const someKey = (): string => {
    if (model.old.size > 0 && chance(30)) return pick([...model.old.keys()])
    return all.length > 0 && chance(90) ? pick(all).key : 'k'.repeat(24)
  }
  const someHash = (): string =>
    model.hashes.size > 0 && chance(90) ? pick([...model.hashes.keys()]) : 'none'
  const attrs = (): Record<string, unknown> =>
    pick([
      {},
      { n: below(1000) },
      { list: [], nested: { '"attrs":{': null } },
      { text: ',"attrs":{}}\ud800' }
    ])
  const id = someId()
  const key = someKey()
  const hash = someHash()

  return {
    add: (): Call => {
      const attrsGiven = attrs()
      const given: Add = { owner_id, attrs: JSON.parse(JSON.stringify(attrsGiven)) as object }
      if (chance(75)) given.ttl = 5 + below(250)
      if (chance(50)) given.idle = 10 + below(150)
      if (store === 1 && given.idle !== undefined) given.every = TOUCH_EVERY
      if (chance(30))
        Object.assign(given, { limit: 1 + below(6), onLimit: pick(['reject', 'evict'] as const) })
      if (chance(10)) given.id = id
      if (chance(10))
        given.key =
          model.digest || chance(50) ? key : pick([key, String(below(50)).padStart(24, 'f')])
      // An id that leads to another's record is refused, which the tests of the scripts are about.
      if ([...model.ghosts.values()].some((ghost) => ghost.key === given.key)) delete given.key
      const seconds = (ms?: number): number | null => (ms === undefined ? null : ms / 1000)
      const { ttl, idle, limit, onLimit } = given
      const asked = {
        owner_id,
        attrs: attrsGiven,
        ttl: seconds(ttl),
        idle: seconds(idle),
        limit,
        onLimit
      }
      return {
        text: `add ${JSON.stringify(given)}`,
        make: () => tokens.add({ ...asked, key: given.key, id: given.id }),
        model: (m, answer, at) => m.add(given, answer, at)
      }
    },
    getKey: (): Call => {
      const touch = chance(80)
      return {
        text: `getKey ${key} touch ${touch}`,
        make: () => tokens.getKey(key, { touch }),
        model: (m, _answer, at) => m.getKey(key, touch, at)
      }
    },
    get: (): Call => ({
      text: `get ${id}`,
      make: () => tokens.get(id),
      model: (m, _answer, at) => m.get(id, at)
    }),
    set: (): Call => {
      const given = attrs()
      return {
        text: `set ${id}`,
        make: () => tokens.set(id, given),
        model: (m, _answer, at) => m.set(id, JSON.parse(JSON.stringify(given)) as object, at)
      }
    },
    update: (): Call => ({
      text: `update ${id}`,
      make: () => tokens.update(id, (old) => ({ ...old, updates: Number(old.updates ?? 0) + 1 })),
      model: (m, _answer, at) => {
        const old = m.tokens.get(id)?.attrs as Record<string, unknown> | undefined
        return m.set(id, { ...old, updates: Number(old?.updates ?? 0) + 1 }, at)
      }
    }),
    change: (): Call => {
      const given: Change = {}
      if (chance(50)) given.owner_id = owner_id
      if (chance(30)) given.attrs = attrs()
      if (chance(40)) given.ttl = chance(20) ? null : 5 + below(250)
      if (chance(40) || Object.keys(given).length === 0)
        given.idle = chance(20) ? null : 10 + below(150)
      if (store === 1 && given.idle) given.every = TOUCH_EVERY
      if (given.owner_id !== undefined && chance(40))
        Object.assign(given, { limit: 1 + below(6), onLimit: pick(['reject', 'evict'] as const) })
      const seconds = (ms?: number | null): number | null | undefined => (ms ? ms / 1000 : ms)
      const { owner_id: newOwner, limit, onLimit } = given
      const [ttl, idle] = [seconds(given.ttl), seconds(given.idle)]
      const asked = {
        owner_id: newOwner,
        attrs: given.attrs as Record<string, unknown>,
        ttl,
        idle,
        limit,
        onLimit
      }
      const carried = given.attrs && (JSON.parse(JSON.stringify(given.attrs)) as object)
      return {
        text: `change ${id} ${JSON.stringify(given)}`,
        make: () => tokens.change(id, asked),
        model: (m, _answer, at) => m.change(id, { ...given, attrs: carried }, at)
      }
    },
    del: (): Call => ({
      text: `del ${id}`,
      make: () => tokens.del(id),
      model: (m, _answer, at) => m.del(id, at)
    }),
    delKey: (): Call => ({
      text: `delKey ${key}`,
      make: () => tokens.delKey(key),
      model: (m, _answer, at) => m.delKey(key, at)
    }),
    delOwner: (): Call => {
      const except = chance(50) ? id : undefined
      return {
        text: `delOwner ${owner_id} except ${except}`,
        make: () => tokens.delOwner(owner_id, except === undefined ? {} : { except }),
        model: (m, _answer, at) => m.delOwner(owner_id, except, at)
      }
    },
    list: (): Call => ({
      text: `list ${owner_id}`,
      make: () => tokens.list(owner_id),
      model: (m, _answer, at) => m.list(owner_id, at)
    }),
    each: (): Call => ({
      text: `each ${owner_id}`,
      make: async () => {
        const found: unknown[] = []
        for await (const token of tokens.each(owner_id)) found.push(token)
        return found
      },
      model: (m, _answer, at) => m.each(owner_id, at)
    }),
    count: (): Call => ({
      text: `count ${owner_id}`,
      make: () => tokens.count(owner_id),
      model: (m, _answer, at) => m.count(owner_id, at)
    }),
    rotate: (): Call => {
      const grace = chance(60) ? 5 + below(100) : undefined
      return {
        text: `rotate ${id} grace ${grace}`,
        make: () => tokens.rotate(id, grace === undefined ? {} : { grace: grace / 1000 }),
        model: (m, answer, at) => m.rotate(id, grace, answer, at)
      }
    },
    refresh: (): Call => {
      const grace = chance(70) ? 1 + below(60) : null
      const detect = chance(70) ? (grace ?? 0) + 1 + below(150) : null
      const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000)
      return {
        text: `refresh ${key} grace ${grace} detect ${detect}`,
        make: () => tokens.refresh(key, { grace: seconds(grace), detect: seconds(detect) }),
        model: (m, answer, at) => m.refresh(key, grace, detect, answer, at)
      }
    },
    makeHash: (): Call => {
      const value = pick<unknown>([null, 0, 'text', [], {}, { n: below(100) }, false])
      const ttl = 20 + below(200)
      const replaces = chance(60) ? pick(['reset:a', 'reset:b', '*']) : undefined
      return {
        text: `makeHash ${ttl} replaces ${replaces}`,
        make: () => tokens.makeHash(value, { ttl: ttl / 1000, replaces }),
        model: (m, answer, at) => m.makeHash(value, ttl, replaces, answer, at)
      }
    },
    getHash: (): Call => ({
      text: `getHash ${hash}`,
      make: () => tokens.getHash(hash),
      model: (m, _answer, at) => m.getHash(hash, at)
    }),
    takeHash: (): Call => ({
      text: `takeHash ${hash}`,
      make: () => tokens.takeHash(hash),
      model: (m, _answer, at) => m.takeHash(hash, at)
    }),
    delHash: (): Call => ({
      text: `delHash ${hash}`,
      make: () => tokens.delHash(hash),
      model: (m, _answer, at) => m.delHash(hash, at)
    }),
    reset: (): Call => ({
      text: 'reset',
      make: () => tokens.reset(),
      model: (m, answer, at) => m.reset(answer, at)
    }),
    /** Deletes a record by hand, as Redis does when memory is short. */
    evict: (): Call => {
      const held = model.tokens.get(id)
      return {
        text: `evict ${id}`,
        make: async () => (held ? redis.del(`${prefix}:key:${model.stored(held.key)}`) : 0),
        model: (m, answer) => {
          if (answer === 1) m.evict(id)
          return answer
        }
      }
    }
  }
}
