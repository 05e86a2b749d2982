import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Tokenstore } from '../../src/main'
import { singleRoot, type Layout } from '../../src/layout'
import type { RedisClient } from '../../src/redis'
import type { Callback, Config, Token } from '../../src/types'
import { closeAfterAll as closeOpened, client, freshPrefix, names, store, timeOf, until } from '../support'

/**
 * What the method tests run on. A test file that sets something here and then requires the files of this folder runs
 * them all once more on that.
 */
export const topology = {
  /** What every store is given, unless the test itself says otherwise. */
  config: {} as Config,
  layout: (prefix: string): Layout => singleRoot(prefix),
  /** A plain client that sees the stores' data. */
  redis: (): Redis => (shared ??= client()),
  /** Makes the name of an id lead to a key, as another program would. */
  index: (name: string, key: string): Promise<unknown> => topology.redis().set(name, stored(key)),
  /** A client of the caller's own, as `redis` of a config, that puts this before every name. */
  keyPrefixed: (keyPrefix: string): RedisClient => client({ keyPrefix }),
  /** Everything in Redis under a prefix. */
  names: (prefix: string): Promise<Record<string, unknown>> => names(topology.redis(), prefix)
}

let shared: Redis | undefined

/** As that of support, also when several of these files run as one. */
export function closeAfterAll(): void {
  closeOpened()
  afterAll(() => {
    shared = undefined
  })
}

type Family = 'key' | 'id' | 'tokens' | 'hash' | 'latest'

export interface Opened {
  prefix: string
  tokens: Tokenstore
  /** Everything this store has in Redis. */
  all(): Promise<Record<string, unknown>>
  /** The name in Redis of a key, an id, an owner set, a hash, or of the newest hash made under a name. */
  name(family: Family, rest: string): string
  /** A key and an id that were never in use, as a caller may force them for a token of this owner. */
  spare(owner_id: string): { key: string; id: string }
}

/** A store of its own for a test. */
export function open(config: Config = {}): Opened {
  const prefix = config.prefix ?? freshPrefix()
  const layout = topology.layout(prefix)
  return {
    prefix,
    tokens: store({ ...topology.config, ...config, prefix }),
    all: () => topology.names(prefix),
    name: (family, rest) => {
      const roots = {
        key: () => layout.keyRoot(rest),
        id: () => layout.idRoot(rest),
        tokens: () => layout.ownerRoot(rest),
        hash: () => layout.hashRoot(rest),
        latest: () => layout.hashRoot(layout.newHash(8, rest))
      }
      return `${roots[family]()}:${family}:${family === 'key' || family === 'hash' ? stored(rest) : rest}`
    },
    spare: (owner_id) => {
      const root = layout.ownerRoot(owner_id)
      return { key: layout.newKey(root, config.size ?? 24), id: layout.newId(root) }
    }
  }
}

/** What Redis holds of a key or a hash. */
export const stored = (secret: string): string =>
  topology.config.digest ? createHash('sha256').update(secret).digest('base64url') : secret

/** A token as `get`, `set`, `update` and `list` answer it. */
export function listed<T extends Token>(token: T): Token {
  const { key, id, owner_id, attrs, expires_at } = token
  return {
    ...(topology.config.digest ? {} : { key }),
    id,
    owner_id,
    attrs,
    ...(expires_at === undefined ? {} : { expires_at })
  } as Token
}

/** The clock of Redis, in Unix ms. */
export const redisNow = (): Promise<number> => timeOf(topology.redis())

// Redis 6.2 has no PEXPIRETIME: there an end is known give or take what passes between two commands.
const END = `local ends = redis.pcall('PEXPIRETIME', KEYS[1])
if tonumber(ends) then return ends end
local time, left = redis.call('TIME'), redis.call('PTTL', KEYS[1])
return left < 0 and left or time[1] * 1000 + math.floor(time[2] / 1000) + left`

/** When a name in Redis ends, in Unix ms; null for never. */
export async function endOf(name: string): Promise<number | null> {
  const end = Number(await topology.redis().eval(END, 1, name))
  return end === -1 ? null : end
}

/** Waits until the clock of Redis has passed a time. */
export const passed = (time: number): Promise<void> => until(async () => (await redisNow()) > time)

/** Looks until nothing is found, and expects that something is until `earliest` is over, and nothing after `latest`. */
export async function endsBetween(earliest: number, latest: number, look: () => Promise<unknown>): Promise<void> {
  for (let found: unknown; found !== null;) {
    const asked = await redisNow()
    found = await look()
    if (found === null) expect(await redisNow()).toBeGreaterThan(earliest)
    else expect(asked).toBeLessThanOrEqual(latest)
  }
}

/** Makes a node-style call: it answers nothing but through the callback, once, later, as `(error)` or `(null, result)`. */
export function viaCallback<T>(call: (callback: Callback<T>) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    let calls = 0
    let returned = false
    const result = call((...args: unknown[]) => {
      if (!returned) reject(new Error('called back before it returned'))
      if (++calls > 1) reject(new Error('called back twice'))
      // Leaves room for a second call.
      setImmediate(() => {
        if (args[0] === null && args.length === 2) resolve(args[1] as T)
        else if (args[0] instanceof Error && args.length === 1) reject(args[0])
        else reject(new Error(`called back with ${args.length} arguments, the first ${typeof args[0]}`))
      })
    })
    returned = true
    if (result === undefined) return
    ;(result as Promise<unknown>).catch(() => {})
    reject(new Error('answers a promise besides the callback'))
  })
}

type Methods = Record<string, (...args: unknown[]) => Promise<unknown>>

/**
 * Every call is refused with a TypeError that says so, as a promise and through a callback, and leaves everything in
 * Redis as it is.
 */
export async function refuses(
  { tokens, all }: Opened,
  method: string,
  says: string,
  ...calls: unknown[][]
): Promise<void> {
  const before = await all()
  for (const args of calls) {
    const call = (...last: unknown[]): Promise<unknown> =>
      (tokens as unknown as Methods)[method]!.call(tokens, ...args, ...last)
    for (const outcome of [() => call(), () => viaCallback(call)]) {
      const error: unknown = await outcome().then(
        () => new Error(`${method} took argument list ${calls.indexOf(args)}`),
        (error: Error) => error
      )
      expect(error).toBeInstanceOf(TypeError)
      expect((error as Error).message).toContain(says)
    }
  }
  expect(await all()).toEqual(before)
}

/** What is no text. */
export const noText = (): unknown[] => [undefined, null, '', 0, 7, true, {}, [], ['a'], Symbol('a'), 7n, new Date(0)]
/** What is not a number of seconds. */
export const noSeconds = (): unknown[] => [0, -1, 0.0004, NaN, Infinity, -Infinity, 1e11, '60', true, {}, [60], 60n]
/** What is not an object of options. */
export const noObject = (): unknown[] => [
  null,
  'a',
  true,
  7n,
  [],
  Symbol('a'),
  new Map(),
  new Date(0),
  new URL('redis://127.0.0.1'),
  new (class Options {})()
]

/** Objects that JSON carries in a way of its own, and texts that a careless script would trip over. */
export const attrsToCarry: Record<string, object> = {
  'an empty object': {},
  'empty things': { array: [], object: {}, text: '', nested: [[], [{}], { a: [] }] },
  'words and numbers': { a: null, b: true, c: false, d: 0, e: -1.5e-7, f: 2 ** 53, g: 1e300, h: 0.1 },
  'what JSON leaves out or changes': { a: undefined, b: NaN, c: new Date(0), d: [undefined], e: -0 },
  'instances of classes': {
    a: new (class A {
      readonly b = 1
    })(),
    c: new (class C {
      readonly #d = 1
      toJSON(): object {
        return { d: this.#d }
      }
    })(),
    e: Object(7) as object,
    f: Object('') as object,
    g: Buffer.from('a'),
    h: new URL('https://example.com/'),
    i: Object.create(null) as object
  },
  'a __proto__ of its own': JSON.parse('{"__proto__":{"admin":true},"constructor":1,"a":{"__proto__":null}}') as object,
  'lone surrogates': { '\ud800': '\udfff', a: ['\ud83d', 'x\ud800y'] },
  'text from elsewhere': { a: 'Grüße, 日本 😀', b: '\0\b\n\u2028\u007f', '': 'no name', c: '</script>' },
  'text of a record': { a: ',"attrs":{', b: '}}', ',"expires_at":1': ',"graced":{}', c: '","owner_id":"x"', d: '\\' },
  'patterns and formats': { a: '%d %s %% %1 ^$()[]*+-?.', b: '$& $1' },
  '70 kB of text': { a: '"\\'.repeat(17_500), b: 'x'.repeat(70_000) },
  '900 levels': JSON.parse(
    '{"a":'.repeat(450) + '[{"a":['.repeat(150) + '"deep"' + ']}]'.repeat(150) + '}'.repeat(450)
  ),
  '2,000 names': Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`name ${i}`, [i]]))
}

/** What JSON makes of a value. */
export const carried = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** Compares as texts as well: toEqual does not see everything, e.g. a `__proto__` of its own. */
export function expectCarried(answer: unknown, given: unknown): void {
  expect(JSON.stringify(answer)).toBe(JSON.stringify(given))
}

const cycle: Record<string, unknown> = {}
cycle['a'] = { b: [cycle] }

/** Parts of a value that JSON would drop in silence, or cannot carry. */
export const notCarried = (): unknown[] => [
  new Map([['a', 1]]),
  { a: [new Set(['a'])] },
  new Map(),
  new Error('a'),
  /a/,
  new (class {
    readonly #a = 1
    get a(): number {
      return this.#a
    }
  })(),
  () => 1,
  [1, [() => 1]],
  { a: { b: [class {}] } },
  Symbol('a'),
  { a: [Symbol('a')] },
  1n,
  { a: [{ b: 2n }] },
  cycle,
  {
    get a() {
      throw new Error('a getter that throws')
    }
  },
  {
    toJSON() {
      throw new Error('a toJSON that throws')
    }
  }
]

/** Names of owners which a store that joins or matches strings carelessly would mix up. */
export const strangeOwners = [
  'a',
  'a:b',
  'a:b:',
  ':a',
  ':',
  'tokens:a',
  'key:a',
  '*',
  'a*',
  '?',
  '[ab]',
  '[^a]',
  '\\a',
  '\\',
  '{a}',
  '{',
  '}',
  '{}a',
  '\0',
  'a\0',
  'a\0b',
  'x,"attrs":{}',
  'x","attrs":{}}',
  '","owner_id":"a',
  '"',
  '"a"',
  "'",
  '%s%d%',
  '/',
  'a/b',
  ' ',
  ' a',
  'a ',
  'A',
  '\n',
  'a\r\nDEL a',
  '0',
  'null',
  '__proto__',
  'constructor',
  'é',
  'e\u0301',
  '😀',
  '\ufffd',
  '\ufeffa',
  'x'.repeat(5000),
  'x'.repeat(5001),
  'é:*{"\0'.repeat(700)
]
