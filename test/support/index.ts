import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis, type RedisOptions } from 'ioredis'
import { Tokenstore } from '../../src/main'
import type { Config } from '../../src/types'

export const root = join(__dirname, '..', '..')

const opened: (() => Promise<unknown>)[] = []

/** Closes what the helpers below opened, in the order that is safe; every test file that opens something calls it once. */
export function closeAfterAll(): void {
  afterAll(async () => {
    for (const close of opened.splice(0).reverse()) await close()
  })
}

export const redisUrl = (): string => process.env.TEST_REDIS_URL!

/** A plain ioredis client of the tests' server. */
export function client(options: RedisOptions = {}, url = redisUrl()): Redis {
  const redis = new Redis(url, options)
  opened.push(async () => redis.disconnect())
  return redis
}

let tagged = false

/** From now on fresh prefixes have a hash tag, so that on a cluster all names under one are in one slot. */
export function tagPrefixes(): void {
  tagged = true
}

/** A prefix that no other test has. */
export const freshPrefix = (): string => {
  const name = `t${randomBytes(6).toString('hex')}`
  return tagged ? `{${name}}` : name
}

/** A store on the tests' server, under a fresh prefix unless the config names one. */
export function store<Attrs extends object = Record<string, unknown>>(config: Config = {}): Tokenstore<Attrs> {
  const tokens = Tokenstore<Attrs>({ prefix: freshPrefix(), redis: redisUrl(), timeout: 10_000, ...config })
  opened.push(() => tokens.quit())
  return tokens
}

const digests = new Map<string, Promise<string>>()

/** Runs lua/<name>.lua by raw EVALSHA, as another language would. */
export async function evalsha(
  redis: Redis,
  name: string,
  root_: string,
  ...args: (string | number)[]
): Promise<unknown> {
  const lua = readFileSync(join(root, 'lua', `${name}.lua`), 'utf8')
  const id = `${redis.options.host}:${redis.options.port}:${name}`
  if (!digests.has(id)) digests.set(id, redis.script('LOAD', lua) as Promise<string>)
  return redis.evalsha((await digests.get(id))!, '1', root_, ...args.map(String))
}

export interface Entry {
  type: string
  value: unknown
  /** Milliseconds left, null for none. */
  ttl: number | null
}

/** Everything in Redis under a prefix: types, values, TTLs. */
export async function keyspace(redis: Redis, prefix: string): Promise<Record<string, Entry>> {
  const names: string[] = []
  const pattern = prefix.replace(/[\\*?[\]]/g, '\\$&') + '*'
  for (let cursor = '0'; ;) {
    const [next, page] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', 10000)
    names.push(...page)
    if ((cursor = next) === '0') break
  }
  const entries: Record<string, Entry> = {}
  const found = [...new Set(names)].sort()
  for (let i = 0; i < found.length; i += 1000) {
    const some = found.slice(i, i + 1000)
    const types = (await answers(redis, some, (name) => ['type', name])) as string[]
    const values = await answers(redis, some, (name, i) => READ[types[i]!]?.(name) ?? ['exists', name])
    const ttls = (await answers(redis, some, (name) => ['pttl', name])) as number[]
    some.forEach((name, i) => {
      const [type, value, ttl] = [types[i]!, values[i], ttls[i]!]
      if (type === 'none' || ttl === -2) return
      entries[name] = { type, value: type === 'set' ? (value as string[]).sort() : value, ttl: ttl === -1 ? null : ttl }
    })
  }
  return entries
}

const READ: Record<string, (name: string) => string[]> = {
  string: (name) => ['get', name],
  zset: (name) => ['zrange', name, '0', '-1', 'WITHSCORES'],
  set: (name) => ['smembers', name],
  hash: (name) => ['hgetall', name],
  list: (name) => ['lrange', name, '0', '-1']
}

async function answers(
  redis: Redis,
  names: string[],
  command: (name: string, i: number) => string[]
): Promise<unknown[]> {
  const replies = await redis.pipeline(names.map(command)).exec()
  return replies!.map(([error, reply]) => {
    if (error) throw error
    return reply
  })
}

/** The same without the TTLs' values, for a comparison that time must not disturb: only whether there is one. */
export async function names(redis: Redis, prefix: string): Promise<Record<string, unknown>> {
  const entries = Object.entries(await keyspace(redis, prefix))
  return Object.fromEntries(
    entries.map(([name, { type, value, ttl }]) => [name, { type, value, expires: ttl !== null }])
  )
}

/** What contradicts itself under a root: a record without id or owner entry, an entry without record, a wrong TTL. */
export async function audit(redis: Redis, root_: string): Promise<string[]> {
  const from = await timeOf(redis)
  const entries = await keyspace(redis, `${root_}:`)
  return faultsUnder(root_, entries, from, await timeOf(redis))
}

/** The same under every root of a partitioned store. */
export async function auditPartitioned(redis: Redis, prefix: string): Promise<string[]> {
  const from = await timeOf(redis)
  const roots = new Map<string, Record<string, Entry>>()
  for (const [name, entry] of Object.entries(await keyspace(redis, `${prefix}:{`))) {
    const root_ = name.slice(0, name.indexOf('}:') + 1)
    roots.set(root_, Object.assign(roots.get(root_) ?? {}, { [name]: entry }))
  }
  const till = await timeOf(redis)
  return [...roots].flatMap(([root_, entries]) => faultsUnder(root_, entries, from, till))
}

/** The clock of Redis, in Unix ms. */
export async function timeOf(redis: Redis): Promise<number> {
  const [seconds, micros] = await redis.time()
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
}

/** As far as the token's record says: its id, its owner, when it ends and the keys within their grace. */
interface Head {
  id: string
  owner_id: string
  expires_at?: number
  graced?: Record<string, number>
  /** Only of a key within its grace: until when. */
  grace?: number
}

function faultsUnder(root_: string, entries: Record<string, Entry>, from: number, till: number): string[] {
  const faults: string[] = []
  const at = (family: string, rest: string): Entry | undefined => entries[`${root_}:${family}:${rest}`]
  const headAt = (key: string | undefined): Head | undefined => {
    const entry = key === undefined ? undefined : at('key', key)
    return entry && (JSON.parse(entry.value as string) as Head)
  }
  const keyOf = (id: string): string | undefined => at('id', id)?.value as string | undefined
  // The TTLs were read between the two times, and a name may be there a moment longer than it should.
  const endsAt = ({ ttl }: Entry, end: number): boolean =>
    end === Infinity || ttl === null
      ? end === Infinity && ttl === null
      : end - ttl > from - 2000 && end - ttl < till + 2000
  for (const [name, entry] of Object.entries(entries)) {
    const [, family, rest = ''] = /^(\w+):(.*)$/s.exec(name.slice(root_.length + 1)) ?? []
    if (family === 'key') {
      const head = headAt(rest)!
      if (head.grace) {
        const token = headAt(keyOf(head.id))
        if (!token?.graced || !(rest in token.graced)) {
          faults.push(`${name}: within its grace, but its token does not list it`)
        } else if (!endsAt(entry, Math.min(head.grace, token.expires_at ?? Infinity))) {
          faults.push(`${name}: wrong TTL for its grace`)
        }
        continue
      }
      const id = at('id', head.id)
      const end = head.expires_at ?? Infinity
      if (!endsAt(entry, end)) faults.push(`${name}: wrong TTL for its end`)
      if (id?.value !== rest) faults.push(`${name}: no id index leads to it`)
      else if (!endsAt(id, end)) faults.push(`${name}: its id has another TTL`)
      const set = (at('tokens', head.owner_id)?.value ?? []) as string[]
      if (!set.includes(head.id)) faults.push(`${name}: its owner does not list it`)
      else if (scoreOf(set[set.indexOf(head.id) + 1]!) !== end)
        faults.push(`${name}: its owner lists it with another end`)
    } else if (family === 'id') {
      const head = headAt(entry.value as string)
      if (head?.id !== rest || head.grace) faults.push(`${name}: leads nowhere`)
    } else if (family === 'tokens') {
      const set = entry.value as string[]
      for (let i = 0; i < set.length; i += 2) {
        if (scoreOf(set[i + 1]!) < from - 2000) continue // ended; dropped by the next add or list
        const key = keyOf(set[i]!)
        if (key === undefined) faults.push(`${name}: lists ${set[i]}, which is not there`)
        else if ((headAt(key)?.owner_id ?? rest) !== rest) faults.push(`${name}: lists ${set[i]}, which is another's`)
      }
      if (!endsAt(entry, scoreOf(set.at(-1)!))) faults.push(`${name}: wrong TTL for its last to end`)
    } else if (family === 'hash' || family === 'latest') {
      if (entry.ttl === null) faults.push(`${name}: never expires`)
    } else {
      faults.push(`${name}: not a name of the store`)
    }
  }
  return faults
}

const scoreOf = (score: string): number => (score === 'inf' ? Infinity : Number(score))

/** Says that something cannot be run for want of what it needs; an error where everything must run. */
export function notRun(missing: string): undefined {
  if (process.env.CI === 'true' || process.env.REQUIRE_RUNNERS === '1') throw new Error(missing)
  process.stderr.write(`NOT RUN: ${missing}\n`)
  return undefined
}

/** Polls until the condition holds. */
export async function until(condition: () => Promise<boolean> | boolean, ms = 10_000): Promise<void> {
  for (const deadline = Date.now() + ms; Date.now() < deadline; await sleep(10)) {
    if (await condition()) return
  }
  throw new Error(`still not so after ${ms} ms`)
}

/** A small seeded generator (mulberry32), so that a run can be repeated. */
export function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
