import type { Redis } from 'ioredis'
import { migrateLua } from './migrate-lua'
import { count, COUNT, escaped, objectOf, scan } from './names'
import { number, progress, section } from './report'

/**
 * Data of tokenstore 0.0.4 lies under the same names as ours: `id:<id>` holds the key, but
 * `key:<key>` a record in another order with the key in it, `tokens:<owner>` is a SET, and
 * `hash:<hash>` a bare text instead of JSON.
 */
export interface Options {
  prefix: string
  /** Write; without it only say what would be written. */
  apply: boolean
  /** Convert hashes as well. */
  hashes: boolean
  /** Of one owner, who is converted in one call. Default 2^28; a string of Node has at most 2^29. */
  mostCharacters?: number
}

type Reading = { attrs: string; dropped: string[] } | { reason: string }

const TRIES = 20
// One owner is one EVAL, which holds Redis for as long as it takes.
const MOST_TOKENS = 250_000
// What a key of this version holds once it was rotated out.
const ROTATED_OUT = /^[\da-f-]{36} \d+$/
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/

const HASH = `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1`

/**
 * Converts owner by owner, each in one atomic step, so that it can be interrupted and run
 * again at any time. Answers the lines to print; no key and no hash is in them.
 */
export async function migrate(redis: Redis, options: Options): Promise<string[]> {
  const { prefix, apply, hashes } = options
  const base = `${prefix}:`
  const pattern = escaped(base)
  const owners = new Set<string>()
  const converted = new Set<string>()
  const left = new Map<string, string>()
  const dropped = new Map<string, string>()
  let tokens = 0

  const all = await count(scan(redis, `${pattern}*`))
  const bar = progress(all + (await count(scan(redis, `${pattern}tokens:*`, 'set'))))

  for await (const names of scan(redis, `${pattern}tokens:*`, 'set')) {
    for (const name of names) {
      bar.add(1)
      if (owners.has(name)) continue
      const owner = name.slice(base.length + 'tokens:'.length)
      const found = await convertOwner(redis, base, owner, options, left, dropped)
      if (found === undefined) continue
      owners.add(name)
      tokens += found
    }
  }
  for await (const names of scan(redis, `${pattern}*`)) {
    // Programs of this version write meanwhile: what only one look finds is no stray.
    const suspects = await inspect(redis, base, names)
    for (const [name, why] of await inspect(redis, base, [...suspects.keys()])) left.set(name, why)
    const old = names.filter((name) => /^hash:[\da-f]{16}$/.test(name.slice(base.length)))
    for (const name of hashes ? old : []) {
      if (await convertHash(redis, name, apply, left)) converted.add(name)
    }
    bar.add(names.length)
  }
  bar.end()

  const written = apply ? 'converted' : 'to convert; nothing was written, --apply does that'
  return [
    `${prefix}: ${number(tokens, 'token')} of ${number(owners.size, 'owner')}, ` +
      `${number(converted.size, 'hash')} ${written}`,
    ...section('fields that this version does not have, dropped', dropped, withoutSecret),
    ...section('left alone', left, withoutSecret)
  ]
}

/** How many tokens were converted, or would be; undefined when the owner is gone or left alone. */
async function convertOwner(
  redis: Redis,
  base: string,
  owner: string,
  { apply, mostCharacters = 2 ** 28 }: Options,
  left: Map<string, string>,
  dropped: Map<string, string>
): Promise<number | undefined> {
  const name = `${base}tokens:${owner}`
  for (let tries = 1; tries <= TRIES; tries++) {
    const ids = await ofItsType(redis.smembers(name), [])
    if (ids.length === 0) return undefined // deleted meanwhile, or converted by another run
    const keys = await strings(redis, `${base}id:`, ids)
    const records = await strings(redis, `${base}key:`, keys)
    const readings = ids.map((id, i): Reading => {
      const [key, text] = [keys[i], records[i]]
      return key && text ? read(text, id, key, owner) : { reason: 'leads to no record' }
    })
    const args = ids.flatMap((id, i) => {
      const reading = readings[i]!
      return [
        id,
        keys[i] ?? '',
        (keys[i] && records[i]) ?? '',
        'attrs' in reading ? reading.attrs : ''
      ]
    })
    const characters = args.reduce((sum, { length }) => sum + length, 0)
    if (ids.length > MOST_TOKENS || characters > mostCharacters) {
      left.set(name, `is too large to be converted in one step: ${ids.length} tokens`)
      return undefined
    }
    // One array, since a call of its own has no room for so many arguments.
    if (
      apply &&
      (await redis.call('EVAL', [migrateLua, 1, base.slice(0, -1), owner, ...args])) !== 1
    )
      continue
    ids.forEach((id, i) => {
      const reading = readings[i]!
      if ('attrs' in reading && reading.dropped.length > 0)
        dropped.set(`${base}id:${id}`, reading.dropped.join(', '))
      // The others are found again by their own names.
      if (keys[i] === null) left.set(`${base}id:${id}`, `is not there, but owner ${owner} lists it`)
    })
    return readings.filter((reading) => 'attrs' in reading).length
  }
  left.set(name, 'was written to all the time: run this again')
  return undefined
}

/** The attrs of a record of 0.0.4, or why it cannot be brought over. */
function read(text: string, id: string, key: string, owner?: string): Reading {
  const old = objectOf(text)
  if (!old) return { reason: 'its record is not JSON' }
  const { id: its_id, key: its_key, owner_id, attrs = {}, ...rest } = old
  if (its_id !== id) return { reason: 'its record is that of another id' }
  if (!UUID.test(id)) return { reason: 'its id is not a UUID in lower case' }
  if (its_key !== key) return { reason: 'its record holds another key' }
  if (Buffer.byteLength(key) > 256) return { reason: 'its key is too long' }
  if (typeof owner_id !== 'string' && typeof owner_id !== 'number')
    return { reason: 'its record has no owner_id' }
  if (owner_id === '' || (owner !== undefined && String(owner_id) !== owner)) {
    return { reason: 'its record is that of another owner' }
  }
  if (attrs === null || typeof attrs !== 'object' || Array.isArray(attrs)) {
    return { reason: 'its attrs are not an object' }
  }
  // What 0.0.4 wrote comes out as it went in; where it does not, a number would change.
  if (JSON.stringify(old) !== text) return { reason: 'its record is not as 0.0.4 writes JSON' }
  return { attrs: JSON.stringify(attrs), dropped: Object.keys(rest) }
}

/**
 * What among these names is left of 0.0.4 and does not belong to a token that can be
 * converted, and why.
 */
async function inspect(redis: Redis, base: string, names: string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const of = (family: string): string[] =>
    names
      .filter((name) => name.startsWith(`${base}${family}:`))
      .map((name) => name.slice(base.length + family.length + 1))
  const noString = async (name: string): Promise<void> => {
    if ((await redis.type(name)) !== 'none') found.set(name, 'is not a string')
  }

  const ids = of('id')
  const keysOfIds = await strings(redis, `${base}id:`, ids)
  const recordsOfIds = await strings(redis, `${base}key:`, keysOfIds)
  for (const [i, id] of ids.entries()) {
    const name = `${base}id:${id}`
    const record = recordsOfIds[i]
    if (keysOfIds[i] === null) await noString(name)
    else if (record === null) found.set(name, 'leads to no record: written or deleted by half')
    else if (record && objectOf(record) && objectOf(record)?.id !== id) {
      found.set(name, 'leads to the record of another id: its key was used again')
    }
  }

  const keys = of('key')
  const records = await strings(redis, `${base}key:`, keys)
  for (const [i, key] of keys.entries()) {
    const text = records[i]
    const name = `${base}key:${key}`
    if (typeof text !== 'string') {
      await noString(name)
      continue
    }
    const old = objectOf(text)
    if (old && old.key === undefined && UUID.test(String(old.id))) continue // of this version
    if (ROTATED_OUT.test(text)) continue // likewise
    const [id, owner] = [String(old?.id), String(old?.owner_id)]
    const reading = read(text, id, key)
    if ('reason' in reading) {
      found.set(name, reading.reason)
    } else if ((await ofItsType(redis.get(`${base}id:${id}`), null)) !== key) {
      found.set(name, `no id leads to it: deleted by half, or written again after that (id ${id})`)
    } else if ((await ofItsType(redis.sismember(`${base}tokens:${owner}`, id), 0)) !== 1) {
      found.set(name, `its owner ${owner} does not list it: deleted by half (id ${id})`)
    }
  }
  return found
}

/** Whether the value of a hash was made JSON text, or would be. */
async function convertHash(
  redis: Redis,
  name: string,
  apply: boolean,
  left: Map<string, string>
): Promise<boolean> {
  for (let tries = 1; tries <= TRIES; tries++) {
    const value = await ofItsType(redis.get(name), null)
    if (value === null || isConverted(value)) return false
    if ((await redis.pttl(name)) === -1) {
      left.set(name, 'never expires')
      return false
    }
    if (!apply || (await redis.eval(HASH, 1, name, value, quote(value))) === 1) return true
  }
  return false
}

/**
 * A JSON string whose first character is written as an escape: it reads the same, and tells
 * a converted value from one of 0.0.4 that happens to be JSON itself, so that a second run
 * does not convert it again.
 */
function quote(value: string): string {
  if (value === '') return '""'
  const first = value.charCodeAt(0).toString(16).padStart(4, '0')
  return `"\\u${first}${JSON.stringify(value.slice(1)).slice(1)}`
}

function isConverted(value: string): boolean {
  return value === '""' || /^"\\u[\da-f]{4}.*"$/s.test(value)
}

/**
 * The reply, or `otherwise` when the name holds another type. Any other error ends the run:
 * it would read too little.
 */
function ofItsType<Reply, Other>(reply: Promise<Reply>, otherwise: Other): Promise<Reply | Other> {
  return reply.catch((error: Error) => {
    if (error.message.startsWith('WRONGTYPE ')) return otherwise
    throw error
  })
}

/**
 * What lies under the names that begin alike; null for a name that is not there, or holds
 * no string.
 */
async function strings(
  redis: Redis,
  start: string,
  rests: (string | null)[]
): Promise<(string | null)[]> {
  const names = rests.map((rest) => start + (rest ?? ''))
  const values: (string | null)[] = []
  for (let i = 0; i < names.length; i += COUNT)
    values.push(...(await redis.mget(names.slice(i, i + COUNT))))
  return values
}

/** Of a key or a hash enough to find it again, and not enough to use it. */
function withoutSecret(name: string): string {
  return name.replace(/(:(?:key|hash):.{6}).*$/s, '$1...')
}
