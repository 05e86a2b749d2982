import type { Redis } from 'ioredis'
import { decoded } from './decoded'

export interface Entry {
  type: string
  value: unknown
  /** When it expires, Unix ms; null for never. */
  end: number | null
}

export interface Snapshot {
  /** By the clock of Redis. */
  time: number
  entries: Record<string, Entry>
}

// In one script, so that all of it is of one moment. DUMP is enough to compare with.
const READ = `
local time = redis.call('TIME')
local reply = { time[1] * 1000 + math.floor(time[2] / 1000) }
for _, name in ipairs(redis.call('KEYS', ARGV[1])) do
  local type, value = redis.call('TYPE', name).ok, nil
  if type == 'string' then value = redis.call('GET', name)
  elseif type == 'zset' then value = redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
  elseif type == 'set' then value = redis.call('SMEMBERS', name)
  elseif type == 'hash' then value = redis.call('HGETALL', name)
  elseif type == 'list' then value = redis.call('LRANGE', name, 0, -1)
  else value = redis.call('DUMP', name) end
  reply[#reply + 1] = { name, type, value, redis.call('PEXPIRETIME', name) }
end
return reply`

/** Everything in Redis under a prefix, at one moment. Bytes that are not UTF-8 need latin1. */
export async function snapshot(
  redis: Redis,
  prefix: string,
  encoding: BufferEncoding = 'utf8'
): Promise<Snapshot> {
  const pattern = prefix.replace(/[\\*?[\]]/g, '\\$&') + '*'
  const [time, ...rows] = decoded(await redis.callBuffer('EVAL', READ, 0, pattern), encoding) as [
    number,
    ...[name: string, type: string, value: string | string[], end: number][]
  ]
  const entries: Record<string, Entry> = {}
  for (const [name, type, value, end] of rows.sort(([a], [b]) => (a < b ? -1 : 1))) {
    entries[name] = { type, value: held(type, value), end: end === -1 ? null : end }
  }
  return { time, entries }
}

/** A value without the order that sets and hashes have not: a hash is its fields by their names. */
function held(type: string, value: string | string[]): unknown {
  if (typeof value === 'string' || (type !== 'set' && type !== 'hash')) return value
  if (type === 'set') return value.sort()
  const fields = value.flatMap((field, i) => (i % 2 === 0 ? [[field, value[i + 1]]] : []))
  return Object.fromEntries(fields) as Record<string, string>
}

/** Everything in Redis under a prefix: types, values, ends. */
export async function keyspace(redis: Redis, prefix: string): Promise<Record<string, Entry>> {
  return (await snapshot(redis, prefix)).entries
}

/** The same for a comparison that time must not disturb: of an end only whether there is one. */
export async function names(
  redis: Redis,
  prefix: string
): Promise<Record<string, { type: string; value: unknown; expires: boolean }>> {
  const entries = Object.entries(await keyspace(redis, prefix))
  return Object.fromEntries(
    entries.map(([name, { type, value, end }]) => [name, { type, value, expires: end !== null }])
  )
}
