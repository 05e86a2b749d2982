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

/** A prefix that no other test has. */
export const freshPrefix = (): string => `t${randomBytes(6).toString('hex')}`

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
  for (const name of [...new Set(names)].sort()) {
    const type = await redis.type(name)
    const ttl = await redis.pttl(name)
    if (type === 'none' || ttl === -2) continue
    const value =
      type === 'string'
        ? await redis.get(name)
        : type === 'zset'
          ? await redis.zrange(name, '0', '-1', 'WITHSCORES')
          : type === 'set'
            ? (await redis.smembers(name)).sort()
            : type === 'hash'
              ? await redis.hgetall(name)
              : await redis.lrange(name, 0, -1)
    entries[name] = { type, value, ttl: ttl === -1 ? null : ttl }
  }
  return entries
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
  const entries = await keyspace(redis, `${root_}:`)
  const faults: string[] = []
  const at = (family: string, rest: string): Entry | undefined => entries[`${root_}:${family}:${rest}`]
  const near = (a: number | null, b: number | null): boolean =>
    a === null || b === null ? a === b : Math.abs(a - b) < 2000
  for (const [name, entry] of Object.entries(entries)) {
    const [, family, rest] = /^(\w+):(.*)$/s.exec(name.slice(root_.length + 1)) ?? []
    if (family === 'key') {
      const record = JSON.parse(entry.value as string) as Record<string, unknown> & { id: string; owner_id: string }
      if (record.grace) {
        const current = at('id', record.id)?.value as string | undefined
        const listed = current && at('key', current)?.value
        if (!listed || !(rest! in ((JSON.parse(listed as string) as { graced?: object }).graced ?? {}))) {
          faults.push(`${name}: within its grace, but its token does not list it`)
        }
        continue
      }
      if (at('id', record.id)?.value !== rest) faults.push(`${name}: no id index leads to it`)
      if (!near(at('id', record.id)?.ttl ?? null, entry.ttl)) faults.push(`${name}: its id has another TTL`)
      const set = (at('tokens', record.owner_id)?.value ?? []) as string[]
      const score = set[set.indexOf(record.id) + 1]
      if (!set.includes(record.id)) faults.push(`${name}: its owner does not list it`)
      else if (score !== (record.expires_at === undefined ? 'inf' : String(record.expires_at))) {
        faults.push(`${name}: its owner lists it with another end`)
      }
    } else if (family === 'id') {
      if (!at('key', entry.value as string)) faults.push(`${name}: leads nowhere`)
    } else if (family === 'tokens') {
      const set = entry.value as string[]
      for (let i = 0; i < set.length; i += 2) {
        if (Number(set[i + 1]) < Date.now() - 2000) continue // ended; dropped by the next add or list
        if (!at('id', set[i]!)) faults.push(`${name}: lists ${set[i]}, which is not there`)
      }
      const last = set.at(-1)!
      if (last === 'inf' ? entry.ttl !== null : entry.ttl === null)
        faults.push(`${name}: wrong TTL for its last to end`)
    } else if (family === 'hash' || family === 'latest') {
      if (entry.ttl === null) faults.push(`${name}: never expires`)
    } else {
      faults.push(`${name}: not a name of the store`)
    }
  }
  return faults
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
