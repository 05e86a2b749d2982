/**
 * The calls of scripts that are timed. All that they need is made by calls of
 * scripts too, so scripts of another layout can be measured as well.
 */
import { ATTRS, CHANGED } from './attrs'
import { idOf, keyOf, ownerOf } from './numbered'

/** A script and its ARGV. */
export type Call = [script: string, ...args: (string | number)[]]

/** A number is that of a token; those of a slice are in use nowhere else. */
export interface ScriptCall {
  name: string
  /** In one slice. */
  calls: number
  /** Untimed, before a slice and after it. */
  before?(n: number): Call[]
  run(n: number): Call
  after?(n: number): Call[]
  /** Whether a reply is that of the case which the name tells. */
  holds(reply: unknown, since: number): boolean
}

const attrs = JSON.stringify(ATTRS)
const changed = JSON.stringify(CHANGED)

export const HOUR = 3_600_000
const IDLE = ['IDLE', HOUR] as const
const TTL = ['TTL', 24 * HOUR] as const
export const LASTING = [...TTL, ...IDLE]
const GRACE = ['GRACE', 10_000] as const
const REFRESH = [...GRACE, 'DETECT', 24 * HOUR]

type Options = readonly (string | number)[]

export function add(n: number, owner: string, options: Options = []): Call {
  return ['add', keyOf(n), idOf(n), owner, attrs, ...options]
}

function added(
  from: number,
  count: number,
  owner: string | ((n: number) => string),
  options: Options = []
): Call[] {
  return Array.from({ length: count }, (_, i) =>
    add(from + i, typeof owner === 'string' ? owner : owner(from + i), options)
  )
}

// Tokens that stand all the time, and where their numbers begin.
const STANDING = 1000
const PLAIN = 0
const IDLING = 1000
const MOVING = 2000
const HASH = 'standing'
export const FRESH = 1_000_000
const at = (from: number, n: number): number => from + (n % STANDING)

/** Once, before anything is timed. */
export const SETUP: Call[] = [
  ...added(PLAIN, STANDING, ownerOf),
  ...added(IDLING, STANDING, ownerOf, IDLE),
  ...added(MOVING, STANDING, ownerOf, [...IDLE, 'EVERY', 1]),
  ...added(10_000, 10, 'ten'),
  ...added(11_000, 1000, 'thousand'),
  ...added(12_000, 10, 'ten ttl', TTL),
  ...added(13_000, 1000, 'thousand ttl', TTL),
  ...added(14_000, 5, 'five'),
  ...added(15_000, 1000, 'full'),
  ['makehash', HASH, attrs, 24 * HOUR]
]

const keysOf = (from: number, n: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => keyOf(at(from, n * count + i)))

// What replies look like.
const is =
  (wanted: unknown) =>
  (reply: unknown): boolean =>
    reply === wanted
const parts =
  (length: number) =>
  (reply: unknown): boolean =>
    Array.isArray(reply) && reply.length === length && !reply.includes(null)
const text = (reply: unknown): boolean => reply === attrs
const triple = parts(3)
const end = (reply: unknown): number => (reply as [string, number])[1]

const fresh = {
  before: (n: number): Call[] => [add(n, ownerOf(n))],
  after: (n: number): Call[] => [['del', idOf(n)]]
}

/** The old key is known for a day, so it is deleted as well. */
const refreshed = {
  before: fresh.before,
  after: (n: number): Call[] => [...fresh.after(n), ['delkey', keyOf(n)]]
}

const refresh = (n: number, newkey: string, options: Options = REFRESH): Call => [
  'refresh',
  keyOf(n),
  `${newkey}-${keyOf(n)}`,
  ...options
]

const codeOf = (n: number): string => `login-${n}`
const makecode = (n: number): Call => ['makecode', codeOf(n), keyOf(n), attrs, HOUR, 5]
const code = {
  before: (n: number): Call[] => [makecode(n)],
  after: (n: number): Call[] => [['trycode', codeOf(n), keyOf(n)]]
}

const makehash = (n: number, owner: string): Call => [
  'makehash',
  keyOf(n),
  attrs,
  HOUR,
  'OWNER',
  owner
]

function delowner(count: number, calls: number): ScriptCall {
  // The numbers of a slice are consecutive, so those of their tokens, too.
  const owner = (n: number): string => `leaving-${n}`
  return {
    name: `delowner of ${count}`,
    calls,
    before: (n) => added(FRESH + n * count, count, owner(n)),
    run: (n) => ['delowner', owner(n)],
    holds: is(count)
  }
}

function list(owner: string, count: number, calls: number): ScriptCall {
  return {
    name: `list of ${count}${owner.endsWith('ttl') ? ' with ttl' : ''}`,
    calls,
    run: () => ['list', owner],
    holds: parts(1 + 3 * count)
  }
}

export const SCRIPT_CALLS: ScriptCall[] = [
  {
    name: 'add',
    calls: 150,
    run: (n) => add(n, ownerOf(n)),
    after: fresh.after,
    holds: triple
  },
  {
    name: 'add TTL IDLE',
    calls: 150,
    run: (n) => add(n, ownerOf(n), LASTING),
    after: fresh.after,
    holds: triple
  },
  {
    name: 'add LIMIT 5 EVICT at the limit',
    calls: 150,
    run: (n) => add(n, 'five', ['LIMIT', 5, 'EVICT']),
    holds: parts(4)
  },
  {
    name: 'add LIMIT 1000 EVICT at the limit',
    calls: 15,
    run: (n) => add(n, 'full', ['LIMIT', 1000, 'EVICT']),
    holds: parts(4)
  },
  {
    name: 'getkey of 1',
    calls: 150,
    run: (n) => ['getkey', 'TOUCH', keyOf(at(PLAIN, n))],
    holds: parts(2)
  },
  {
    name: 'getkey of 32',
    calls: 50,
    run: (n) => ['getkey', 'TOUCH', ...keysOf(PLAIN, n, 32)],
    holds: parts(64)
  },
  {
    name: 'getkey of 1 with idle, nothing due',
    calls: 150,
    run: (n) => ['getkey', 'TOUCH', keyOf(at(IDLING, n))],
    holds: (reply, since) => parts(2)(reply) && end(reply) < since + HOUR
  },
  {
    name: 'getkey of 32 with idle, nothing due',
    calls: 50,
    run: (n) => ['getkey', 'TOUCH', ...keysOf(IDLING, n, 32)],
    holds: (reply, since) => parts(64)(reply) && end(reply) < since + HOUR
  },
  {
    name: 'getkey of 1, use due',
    calls: 150,
    run: (n) => ['getkey', 'TOUCH', keyOf(at(MOVING, n))],
    holds: (reply, since) => parts(2)(reply) && end(reply) >= since + HOUR
  },
  {
    name: 'get',
    calls: 150,
    run: (n) => ['get', idOf(at(PLAIN, n))],
    holds: triple
  },
  {
    name: 'set',
    calls: 150,
    run: (n) => ['set', idOf(at(PLAIN, n)), n % 2 ? attrs : changed],
    holds: triple
  },
  {
    name: 'change OWNER',
    calls: 150,
    ...fresh,
    run: (n) => ['change', idOf(n), 'OWNER', `other-${ownerOf(n)}`],
    holds: triple
  },
  {
    name: 'change TTL IDLE',
    calls: 150,
    ...fresh,
    run: (n) => ['change', idOf(n), ...LASTING],
    holds: triple
  },
  {
    name: 'del',
    calls: 150,
    before: fresh.before,
    run: (n) => ['del', idOf(n)],
    holds: is(1)
  },
  {
    name: 'delkey',
    calls: 150,
    before: fresh.before,
    run: (n) => ['delkey', keyOf(n)],
    holds: is(1)
  },
  {
    name: 'rotate',
    calls: 150,
    ...fresh,
    run: (n) => ['rotate', idOf(n), `new-${keyOf(n)}`],
    holds: triple
  },
  {
    name: 'rotate GRACE',
    calls: 150,
    ...fresh,
    run: (n) => ['rotate', idOf(n), `new-${keyOf(n)}`, ...GRACE],
    holds: triple
  },
  {
    name: 'refresh',
    calls: 150,
    ...refreshed,
    run: (n) => refresh(n, 'new'),
    holds: triple
  },
  {
    name: 'refresh within the grace',
    calls: 150,
    before: (n) => [...fresh.before(n), refresh(n, 'new')],
    run: (n) => refresh(n, 'newer'),
    after: (n) => [...refreshed.after(n), ['delkey', `new-${keyOf(n)}`]],
    holds: triple
  },
  {
    name: 'refresh, reuse',
    calls: 150,
    before: (n) => [...fresh.before(n), refresh(n, 'new', ['DETECT', HOUR])],
    run: (n) => refresh(n, 'newer'),
    holds: parts(2)
  },
  {
    name: 'count of 10',
    calls: 150,
    run: () => ['count', 'ten'],
    holds: is(10)
  },
  {
    name: 'count of 1000',
    calls: 15,
    run: () => ['count', 'thousand'],
    holds: is(1000)
  },
  list('ten', 10, 80),
  list('ten ttl', 10, 80),
  list('thousand', 1000, 5),
  list('thousand ttl', 1000, 5),
  delowner(10, 20),
  delowner(1000, 1),
  {
    name: 'delowner HASHES of 10, and of 10 hashes',
    calls: 20,
    before: (n) => [
      ...added(FRESH + n * 10, 10, `leaving-${n}`),
      ...Array.from({ length: 10 }, (_, i) => makehash(FRESH + n * 10 + i, `leaving-${n}`))
    ],
    run: (n) => ['delowner', `leaving-${n}`, 'HASHES'],
    holds: is(10)
  },
  {
    name: 'makehash',
    calls: 150,
    run: (n) => ['makehash', keyOf(n), attrs, HOUR],
    after: (n) => [['delhash', keyOf(n)]],
    holds: is(1)
  },
  {
    name: 'makehash OWNER',
    calls: 150,
    run: (n) => makehash(n, ownerOf(n)),
    after: (n) => [['delowner', ownerOf(n), 'HASHES']],
    holds: is(1)
  },
  {
    name: 'gethash',
    calls: 150,
    run: () => ['gethash', HASH],
    holds: text
  },
  {
    name: 'takehash',
    calls: 150,
    before: (n) => [['makehash', keyOf(n), attrs, HOUR]],
    run: (n) => ['takehash', keyOf(n)],
    holds: text
  },
  {
    name: 'delhash',
    calls: 150,
    before: (n) => [['makehash', keyOf(n), attrs, HOUR]],
    run: (n) => ['delhash', keyOf(n)],
    holds: is(1)
  },
  {
    name: 'makecode',
    calls: 150,
    run: makecode,
    after: code.after,
    holds: is(1)
  },
  {
    name: 'trycode, right',
    calls: 150,
    before: code.before,
    run: (n) => code.after(n)[0]!,
    holds: (reply) => parts(2)(reply) && text((reply as unknown[])[1])
  },
  {
    name: 'trycode, wrong',
    calls: 150,
    ...code,
    run: (n) => ['trycode', codeOf(n), 'wrong'],
    holds: (reply) => parts(2)(reply) && (reply as number[])[1] === 4
  }
]

/** What a row calls, in whatever part. */
export function callsOf({ before, run, after }: ScriptCall): Call[] {
  return [...(before?.(0) ?? []), run(0), ...(after?.(0) ?? [])]
}
