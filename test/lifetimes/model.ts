/**
 * What a store must hold and answer, told in a few maps, and a comparison of all that Redis holds with it.
 * A call happens at a moment that only Redis knows, so it may have happened at any millisecond between the dumps
 * before and after it: the model is run for each until one explains the answer and everything that is left.
 */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Redis } from 'ioredis'
import { KeyTakenError, LimitError, type Token } from '../../src/main'

/** When a call happened: Redis judges expiry by the moment a script began, the script reads TIME a little later. */
export interface Moment {
  began: number
  now: number
}

export interface Held {
  key: string
  id: string
  owner_id: string
  attrs: object
  ends_at?: number
  idle?: number
  every?: number
  /** Infinity for never. */
  ends: number
  /** Keys rotated out, and when their grace is over. */
  graced: Map<string, number>
}

/** What may be left of a token whose record was evicted: its id, and its entry in the owner's set. */
interface Ghost {
  key: string
  ends: number
}

interface Hash {
  value: unknown
  /** Unknown until the first dump, since it is Redis that makes a time of a TTL. */
  ends: number | { after: number }
}

export interface Add {
  owner_id: string
  attrs: object
  ttl?: number
  idle?: number
  every?: number
  limit?: number
  onLimit?: 'reject' | 'evict'
  key?: string
  id?: string
}

export type Answer = unknown

/** The names of one root in Redis and the time by its clock. */
export interface Dump {
  time: number
  names: Map<string, { type: string; value: string | string[]; ends: number }>
  /** By how many ms an end may be off: none, but on a Redis that tells only the time left. */
  slack: number
}

const DUMP = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reply, exact = { now }, 1
for _, name in ipairs(redis.call('KEYS', ARGV[1])) do
  local type = redis.call('TYPE', name).ok
  local ends = redis.pcall('PEXPIRETIME', name)
  if tonumber(ends) == nil then
    local left = redis.call('PTTL', name)
    exact, ends = 0, left < 0 and left or now + left
  end
  local value = type == 'string' and redis.call('GET', name) or redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
  reply[#reply + 1] = { name, type, value, ends }
end
reply[#reply + 1] = exact
return reply`

/** In one step, so that everything in it is of one moment. */
export async function dump(redis: Redis, root: string): Promise<Dump> {
  const reply = (await redis.eval(DUMP, 0, `${root}:*`)) as unknown[]
  const rows = reply.slice(1, -1) as [string, string, string | string[], number][]
  return {
    time: reply[0] as number,
    slack: reply.at(-1) === 1 ? 0 : 3,
    names: new Map(
      rows.map(([name, type, value, ends]) => [
        name.slice(root.length + 1),
        { type, value, ends: ends < 0 ? Infinity : ends }
      ])
    )
  }
}

const isLive = (ends: number, { began }: Moment): boolean => ends >= began

export class Model {
  readonly digest: boolean
  tokens = new Map<string, Held>()
  ghosts = new Map<string, Ghost>()
  /** By owner: members that list and delOwner are to drop, and when their tokens would have ended. */
  unlisted = new Map<string, Map<string, number>>()
  /** Keys within a grace whose token was evicted: of no use, but there until they expire. */
  strays = new Map<string, number>()
  hashes = new Map<string, Hash>()
  latest = new Map<string, { hash: string; ends: Hash['ends'] }>()
  /** Every id there ever was and its owners, since an owner set may hold some whose end has passed. */
  owners = new Map<string, Set<string>>()
  /** An owner whose set this step cleaned of members that ended before a time. */
  cleaned: { owner_id: string; before: number } | undefined

  constructor(digest: boolean) {
    this.digest = digest
  }

  clone(): Model {
    const other = new Model(this.digest)
    for (const [id, token] of this.tokens) other.tokens.set(id, { ...token, graced: new Map(token.graced) })
    other.ghosts = new Map(this.ghosts)
    for (const [owner_id, members] of this.unlisted) other.unlisted.set(owner_id, new Map(members))
    other.strays = new Map(this.strays)
    for (const [hash, held] of this.hashes) other.hashes.set(hash, { ...held })
    for (const [name, held] of this.latest) other.latest.set(name, { ...held })
    other.owners = this.owners
    return other
  }

  /** What of a key or hash is in Redis. */
  stored(secret: string): string {
    return this.digest ? createHash('sha256').update(secret).digest('base64url') : secret
  }

  // What the methods answer. Each also changes the model as it must change Redis.

  add(given: Add, answer: Answer, at: Moment): Answer {
    const added = answer as Token
    const key = given.key ?? added.key
    const id = given.id ?? added.id
    const taken = this.#opened(key, at) !== undefined || isLive(this.strays.get(key) ?? -1, at)
    const live = this.#live(given.owner_id, at.now)
    const same = this.tokens.get(id)
    if (same && isLive(same.ends, at)) {
      if (same.key === key) return { ...this.#token(same), key, ...(given.onLimit === 'evict' ? { evicted: [] } : {}) }
      return KeyTakenError
    }
    if (taken) return KeyTakenError
    const over = given.limit === undefined ? 0 : live.length - given.limit + 1
    if (over > 0 && given.onLimit !== 'evict') return LimitError
    const evicted = live.slice(0, Math.max(over, 0)).map((token) => token.id)
    for (const other of evicted) this.tokens.delete(other)
    const { owner_id, attrs, idle } = given
    const token: Held = { key, id, owner_id, attrs, ends: Infinity, graced: new Map() }
    if (given.ttl !== undefined) token.ends = token.ends_at = at.now + given.ttl
    if (idle !== undefined) {
      token.idle = idle
      token.every = given.every ?? Math.ceil(idle / 10)
      token.ends = Math.min(token.ends, at.now + idle)
    }
    this.tokens.set(id, token)
    this.ghosts.delete(id)
    this.unlisted.get(owner_id)?.delete(id)
    this.owners.set(id, (this.owners.get(id) ?? new Set()).add(owner_id))
    this.cleaned = { owner_id, before: at.now }
    return { ...this.#token(token), key, ...(given.onLimit === 'evict' ? { evicted } : {}) }
  }

  getKey(key: string, touch: boolean, at: Moment): Answer {
    const token = this.#opened(key, at)
    if (!token) return null
    if (touch && token.idle !== undefined) {
      const ends = Math.min(at.now + token.idle, token.ends_at ?? Infinity)
      if (ends - token.ends >= token.every!) token.ends = ends
    }
    return { ...this.#token(token), key }
  }

  get(id: string, at: Moment): Answer {
    const token = this.#byId(id, at)
    return token ? this.#token(token) : null
  }

  set(id: string, attrs: object, at: Moment): Answer {
    const token = this.#byId(id, at)
    if (token) token.attrs = attrs
    return this.get(id, at)
  }

  del(id: string, at: Moment): Answer {
    return this.#byId(id, at) !== undefined && this.tokens.delete(id)
  }

  delKey(key: string, at: Moment): Answer {
    const token = this.#opened(key, at)
    return token !== undefined && this.tokens.delete(token.id)
  }

  delOwner(owner_id: string, except: string | undefined, at: Moment): Answer {
    const ended = this.#live(owner_id, at.began).filter(({ id }) => id !== except)
    for (const { id } of ended) this.tokens.delete(id)
    this.#dropGhosts(owner_id)
    this.cleaned = { owner_id, before: at.began }
    return ended.length
  }

  list(owner_id: string, at: Moment): Answer {
    const live = this.#live(owner_id, at.now).sort((a, b) => (a.id < b.id ? -1 : 1))
    this.#dropGhosts(owner_id)
    this.cleaned = { owner_id, before: at.now }
    return live.map((token) => this.#token(token))
  }

  /** The order of pages, which is that of the end. */
  each(owner_id: string, at: Moment): Answer {
    const inOrder = this.#live(owner_id, at.now)
    this.list(owner_id, at)
    return inOrder.map((token) => this.#token(token))
  }

  count(owner_id: string, at: Moment): Answer {
    return this.#live(owner_id, at.now).length
  }

  rotate(id: string, grace: number | undefined, answer: Answer, at: Moment): Answer {
    const token = this.#byId(id, at)
    if (!token || !answer) return token ? this.#token(token) : null
    for (const [old, till] of token.graced) if (till < at.now) token.graced.delete(old)
    if (grace !== undefined) token.graced.set(token.key, at.now + grace)
    token.key = (answer as Token).key
    return { ...this.#token(token), key: token.key }
  }

  makeHash(value: unknown, ttl: number, replaces: string | undefined, answer: Answer, at: Moment): Answer {
    const ends = { after: ttl }
    const older = replaces === undefined ? undefined : this.latest.get(replaces)
    if (older && isLive(older.ends as number, at)) this.hashes.delete(older.hash)
    this.hashes.set(answer as string, { value, ends })
    if (replaces !== undefined) this.latest.set(replaces, { hash: answer as string, ends })
    return answer
  }

  getHash(hash: string, at: Moment): Answer {
    const held = this.hashes.get(hash)
    return held && isLive(held.ends as number, at) ? held.value : null
  }

  takeHash(hash: string, at: Moment): Answer {
    const value = this.getHash(hash, at)
    this.hashes.delete(hash)
    return value
  }

  delHash(hash: string, at: Moment): Answer {
    const held = this.hashes.get(hash)
    return held !== undefined && isLive(held.ends as number, at) && this.hashes.delete(hash)
  }

  reset(at: Moment): Answer {
    const tokens = [...this.tokens.values()].filter(({ ends }) => isLive(ends, at))
    // By a later script than the tokens, which the owner sets lead to.
    const hashes = [...this.hashes.values()].filter(({ ends }) => (ends as number) >= at.now)
    for (const held of [this.tokens, this.ghosts, this.unlisted, this.strays, this.hashes, this.latest]) held.clear()
    return tokens.length + hashes.length
  }

  /** What Redis does when memory is short: the record is gone, and nothing else. */
  evict(id: string): void {
    const { owner_id, key, ends, graced } = this.tokens.get(id)!
    this.tokens.delete(id)
    this.ghosts.set(id, { key, ends })
    this.unlisted.set(owner_id, (this.unlisted.get(owner_id) ?? new Map<string, number>()).set(id, ends))
    for (const [old, till] of graced) this.strays.set(old, Math.min(till, ends))
  }

  /** What in a dump contradicts the model, after a call at that moment. */
  faults(found: Dump, at: Moment): string[] {
    const faults: string[] = []
    const unexplained = new Map(found.names)
    const sameEnd = (a: number, b: number): boolean => a === b || Math.abs(a - b) <= found.slack
    // Whether what ends then must be there, or, when that is while the dump is made, may be.
    const may = (ends: number): boolean => ends >= at.began
    const must = (ends: number): boolean => ends > found.time
    const claims: { name: string; ends: number; value: unknown; parse: (text: string) => unknown }[] = []
    const take = (name: string, ends: number, value: unknown, parse: (text: string) => unknown): void => {
      claims.push({ name, ends, value, parse })
    }
    const text = (value: string): string => value

    const members = new Map<string, Map<string, number>>()
    for (const token of this.tokens.values()) {
      const { key, id, owner_id, ends_at, idle, every, attrs, ends, graced } = token
      const record = {
        id,
        owner_id,
        ...(ends === Infinity ? {} : { expires_at: ends }),
        ...(ends_at === undefined ? {} : { ends_at }),
        ...(idle === undefined ? {} : { idle, every }),
        attrs
      }
      const listed = new Map([...graced].map(([old, till]) => [this.stored(old), till]))
      const withoutGraced = (json: string): unknown => {
        const { graced: stored, ...rest } = JSON.parse(json) as { graced?: Record<string, number> }
        const wrong = !isDeepStrictEqual(new Map(Object.entries(stored ?? {})), listed)
        return wrong || Object.keys(rest).at(-1) !== 'attrs' ? json : rest
      }
      take(`key:${this.stored(key)}`, ends, record, withoutGraced)
      take(`id:${id}`, ends, this.stored(key), text)
      for (const [old, till] of graced) {
        take(`key:${this.stored(old)}`, Math.min(till, ends), { id, grace: till }, JSON.parse)
      }
      if (!members.get(owner_id)?.set(id, ends)) members.set(owner_id, new Map([[id, ends]]))
    }
    for (const [hash, held] of this.hashes)
      take(`hash:${this.stored(hash)}`, held.ends as number, held.value, JSON.parse)
    for (const [name, { hash, ends }] of this.latest) take(`latest:${name}`, ends as number, this.stored(hash), text)
    for (const [id, { key, ends }] of this.ghosts) {
      if (unexplained.has(`id:${id}`)) take(`id:${id}`, ends, this.stored(key), text)
    }
    for (const [old, ends] of this.strays) if (may(ends)) unexplained.delete(`key:${this.stored(old)}`)
    // What ends last first: the name of a key that has ended may be another token's by now.
    for (const { name, ends, value, parse } of claims.sort((a, b) => (a.ends < b.ends ? 1 : -1))) {
      const entry = unexplained.get(name)
      unexplained.delete(name)
      if (!entry) {
        if (must(ends)) faults.push(`${name} is missing`)
        continue
      }
      if (!may(ends)) faults.push(`${name} should have ended`)
      if (!sameEnd(entry.ends, ends)) faults.push(`${name} ends at ${entry.ends}, not ${ends}`)
      if (entry.type !== 'string' || !isDeepStrictEqual(parse(entry.value as string), value)) {
        faults.push(`${name} is ${JSON.stringify(entry.value)}, not ${JSON.stringify(value)}`)
      }
    }

    for (const [name, { type, value, ends }] of unexplained) {
      const owner_id = /^tokens:(.*)$/s.exec(name)?.[1]
      if (owner_id === undefined || type !== 'zset') {
        faults.push(`${name} should not be there`)
        continue
      }
      const set = value as string[]
      let last = 0
      for (let i = 0; i < set.length; i += 2) {
        const id = set[i]!
        const score = set[i + 1] === 'inf' ? Infinity : Number(set[i + 1])
        last = score
        const expected = members.get(owner_id)?.get(id)
        members.get(owner_id)?.delete(id)
        if (expected !== undefined && score !== expected) faults.push(`${name} has ${id} at ${score}, not ${expected}`)
        const ghost = this.unlisted.get(owner_id)?.has(id) ?? false
        const dead = score < at.now && (this.owners.get(id)?.has(owner_id) ?? false)
        if (expected === undefined && !ghost && !dead) faults.push(`${name} lists ${id}, which is not there`)
        if (this.cleaned?.owner_id === owner_id && score < this.cleaned.before) faults.push(`${name} keeps dead ${id}`)
      }
      if (!sameEnd(ends, last)) faults.push(`${name} ends at ${ends}, its last member at ${last}`)
    }
    for (const [owner_id, missing] of members) {
      for (const [id, ends] of missing) if (must(ends)) faults.push(`tokens:${owner_id} does not list ${id}`)
    }
    return faults
  }

  /** Forgets what had ended before a moment, and has been seen to be gone. */
  prune({ began }: Moment): void {
    for (const [id, { ends }] of this.tokens) if (ends < began) this.tokens.delete(id)
    for (const [id, { ends }] of this.ghosts) if (ends < began) this.ghosts.delete(id)
    for (const members of this.unlisted.values()) {
      for (const [id, ends] of members) if (ends < began) members.delete(id)
    }
    for (const [old, ends] of this.strays) if (ends < began) this.strays.delete(old)
    for (const [hash, { ends }] of this.hashes) if ((ends as number) < began) this.hashes.delete(hash)
    for (const [name, { ends }] of this.latest) if ((ends as number) < began) this.latest.delete(name)
  }

  /** Learns when hashes end, and that is within what their TTL allows. */
  settle(found: Dump, since: number): string[] {
    const faults: string[] = []
    const end = (name: string, held: { ends: Hash['ends'] }): void => {
      if (typeof held.ends === 'number') return
      const earliest = since + held.ends.after
      const latest = found.time + held.ends.after
      const ends = found.names.get(name)?.ends ?? earliest
      if (ends < earliest - found.slack || ends > latest + found.slack) {
        faults.push(`${name} ends at ${ends}, not between ${earliest} and ${latest}`)
      }
      held.ends = ends
    }
    for (const [hash, held] of this.hashes) end(`hash:${this.stored(hash)}`, held)
    for (const [name, held] of this.latest) end(`latest:${name}`, held)
    return faults
  }

  #token({ key, id, owner_id, attrs, ends }: Held): Partial<Token> {
    return {
      ...(this.digest ? {} : { key }),
      id,
      owner_id,
      attrs: attrs as Record<string, unknown>,
      ...(ends === Infinity ? {} : { expires_at: ends })
    }
  }

  #byId(id: string, at: Moment): Held | undefined {
    const token = this.tokens.get(id)
    return token && isLive(token.ends, at) ? token : undefined
  }

  #opened(key: string, at: Moment): Held | undefined {
    for (const token of this.tokens.values()) {
      if (!isLive(token.ends, at)) continue
      if (token.key === key || isLive(token.graced.get(key) ?? -1, at)) return token
    }
    return undefined
  }

  /** In the order in which they end, those that never do by id. */
  #live(owner_id: string, now: number): Held[] {
    const live = [...this.tokens.values()].filter((token) => token.owner_id === owner_id && token.ends >= now)
    return live.sort((a, b) => (a.ends === b.ends ? (a.id < b.id ? -1 : 1) : a.ends - b.ends))
  }

  #dropGhosts(owner_id: string): void {
    for (const id of this.unlisted.get(owner_id)?.keys() ?? []) this.ghosts.delete(id)
    this.unlisted.delete(owner_id)
  }
}
