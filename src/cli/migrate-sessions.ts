import type { Redis } from 'ioredis'
import { v7 as uuidV7 } from 'uuid'
import { mostCharacters } from '../args'
import * as check from '../check'
import { readConfig, type Settings } from '../config'
import { digestOf } from '../digest'
import { maxAgeOf, withoutEnd } from '../session/cookie'
import { ownerId } from '../session/owner-id'
import { moveSessionLua } from './move-session-lua'
import { count, escaped, objectOf, scan } from './names'
import { number, progress, section } from './report'

/**
 * connect-redis keeps a session as a string of JSON under `<prefix><sid>`, with a TTL that each
 * request renews.
 */
export interface MigrationOptions {
  /** That of connect-redis. */
  prefix: string
  /** That of the store to move them to. */
  to: string
  /** The path to the id of the owner in a session, with dots; without one it is nobody's. */
  owner: string | undefined
  /** Seconds from one use to the end, for sessions whose cookie has no age. */
  idle: number
  /** Seconds after which all of them end, used or not; null for never. */
  ttl: number | null
  /** Write; without it only say what would be written. */
  apply: boolean
}

type Reading = { attrs: string; idle: number; owner: string | undefined } | { reason: string }

type Outcome = 'moved' | 'there' | 'changed' | 'foreign'

const TRIES = 20
const FAMILY = /^(key|id|tokens|hash|latest|hashes|code):/

export const NOT_ON_A_CLUSTER =
  'on a cluster the sessions of connect-redis are spread over slots, from which none can move to ' +
  'that of a store in one step'

/**
 * Moves session by session, each in one atomic step, so that it can be interrupted and run
 * again at any time. Answers the lines to print; no sid is in them.
 */
export async function migrateSessions(redis: Redis, options: MigrationOptions): Promise<string[]> {
  const { prefix, to } = options
  const migration = new Migration(redis, options)
  await inOneSlot(redis, prefix, to)
  await migration.load()
  const pattern = `${escaped(prefix)}*`
  const bar = progress(await count(scan(redis, pattern)))
  const seen = new Set<string>()
  for await (const page of scan(redis, pattern)) {
    const names = page.filter((name) => !seen.has(name) && !isOfStore(name, to))
    names.forEach((name) => seen.add(name))
    await migration.move([...new Set(names)])
    bar.add(page.length)
  }
  bar.end()
  return migration.report()
}

class Migration {
  readonly #redis: Redis
  readonly #options: MigrationOptions
  readonly #settings: Settings
  /** Milliseconds. */
  readonly #idle: number
  /** Milliseconds, 0 for never. */
  readonly #ttl: number
  #sha1 = ''
  #moved = 0
  #owned = 0
  #there = 0
  readonly #owners = new Set<string>()
  readonly #left = new Map<string, string>()

  constructor(redis: Redis, options: MigrationOptions) {
    const { to, idle, ttl } = options
    this.#redis = redis
    this.#options = options
    this.#settings = readConfig({ prefix: to, digest: true })
    this.#idle = check.seconds('--idle', idle)
    this.#ttl = ttl === null ? 0 : check.seconds('--ttl', ttl)
  }

  async load(): Promise<void> {
    this.#sha1 = (await this.#redis.script('LOAD', moveSessionLua)) as string
  }

  /** Moves what has these names. What is written to meanwhile is read again. */
  async move(names: string[]): Promise<void> {
    for (let tries = 1; names.length > 0 && tries <= TRIES; tries++) {
      const values = await this.#redis.mgetBuffer(names)
      const done = await Promise.all(names.map((name, i) => this.#move(name, values[i]!)))
      names = names.filter((_, i) => !done[i])
    }
    for (const name of names) this.#left.set(name, 'was written to all the time: run this again')
  }

  report(): string[] {
    const { prefix, to, apply } = this.#options
    const done = apply ? 'moved' : 'to move'
    const dry = apply ? '' : '; nothing was written, --apply does that'
    const there = number(this.#there, 'session')
    return [
      `${number(this.#moved, 'session')} of ${prefix} ${done} to ${to}, ` +
        `${this.#owned} of them of ${number(this.#owners.size, 'owner')}${dry}`,
      ...(this.#there > 0 ? [`${there} already there: only what ${prefix} has is deleted`] : []),
      ...section('left alone', this.#left, (name) => withoutSecret(name, prefix))
    ]
  }

  /** False when it was changed since it was read. */
  async #move(name: string, value: Buffer | null): Promise<boolean> {
    if (value === null) return this.#noString(name)
    const { prefix, to, owner: path, apply } = this.#options
    const sid = name.slice(prefix.length)
    const reading = this.#isSid(sid)
      ? read(value.toString(), path, this.#idle)
      : { reason: 'its sid is empty or too long' }
    if ('reason' in reading) return this.#leave(name, reading.reason)
    const { attrs, idle, owner } = reading
    const id = uuidV7()
    const token = [digestOf(sid), id, owner ?? id, attrs, idle, this.#ttl]
    const args = [name, to, value, ...token, apply ? 'APPLY' : 'DRY']
    const outcome = (await this.#redis.evalsha(this.#sha1, 2, ...args)) as Outcome
    if (outcome === 'foreign') return this.#leave(name, 'its owner has something else than tokens')
    if (outcome === 'there') this.#there++
    if (outcome === 'moved') this.#count(owner)
    return outcome !== 'changed'
  }

  async #noString(name: string): Promise<boolean> {
    const type = await this.#redis.type(name)
    if (type === 'string') return false
    if (type !== 'none') return this.#leave(name, 'is not a string')
    return name.includes('\ufffd') ? this.#leave(name, 'its name is not UTF-8') : true
  }

  /** Whether a client can have it. */
  #isSid(sid: string): boolean {
    return check.isText(sid) && sid.length <= mostCharacters(this.#settings)
  }

  #leave(name: string, reason: string): true {
    this.#left.set(name, reason)
    return true
  }

  #count(owner: string | undefined): void {
    this.#moved++
    if (owner === undefined) return
    this.#owned++
    this.#owners.add(owner)
  }
}

/** What a session is as a token, or why it cannot be one. */
function read(text: string, path: string | undefined, idle: number): Reading {
  const old = objectOf(text)
  if (!old) return { reason: 'is not a JSON object' }
  const { cookie } = old
  if (cookie === null || typeof cookie !== 'object') return { reason: 'has no cookie' }
  const session = withoutEnd({ ...old, cookie })
  const maxAge = maxAgeOf(session) ?? idle
  if (maxAge <= 0) return { reason: 'its cookie has ended' }
  let owner: string | undefined
  try {
    owner = path === undefined ? undefined : ownerId(valueAt(old, path))
  } catch {
    return { reason: `its ${path} is neither a string nor a number` }
  }
  if (owner?.isWellFormed() === false) return { reason: `its ${path} is not well-formed` }
  return { attrs: JSON.stringify(session), idle: maxAge, owner }
}

function valueAt(session: object, path: string): unknown {
  const step = (value: unknown, name: string): unknown =>
    value !== null && typeof value === 'object' && Object.hasOwn(value, name)
      ? value[name as keyof typeof value]
      : undefined
  return path.split('.').reduce(step, session)
}

/** Whether a name that begins as a session's is one of the store that they move to. */
function isOfStore(name: string, to: string): boolean {
  return name.startsWith(`${to}:`) && FAMILY.test(name.slice(to.length + 1))
}

async function inOneSlot(redis: Redis, ...names: string[]): Promise<void> {
  try {
    await redis.mget(names)
  } catch (error) {
    const { message } = error as Error
    throw message.startsWith('CROSSSLOT ') ? new Error(NOT_ON_A_CLUSTER) : error
  }
}

/** Of a sid enough to find it again, and not enough to use it. */
function withoutSecret(name: string, prefix: string): string {
  const sid = name.slice(prefix.length)
  return `${prefix}${sid.slice(0, Math.min(6, sid.length / 4))}...`
}
