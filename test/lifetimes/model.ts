/**
 * What a store must hold and answer, told in a few maps, and a comparison of all that Redis holds
 * with it. A call happens at a moment that only Redis knows, so it may have happened at any
 * millisecond between the dumps before and after it: the model is run for each until one explains
 * the answer and everything that is left.
 */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Redis } from 'ioredis'
import type { Token } from '../../src/main'
import { snapshot } from '../support'

/**
 * When a call happened: Redis judges expiry by the moment a script began, the script reads TIME a
 * little later.
 */
export interface Moment {
  began: number
  now: number
}

export interface Held {
  key: string
  id: string
  owner_id: string
  attrs: object
  ends_at?: number | undefined
  idle?: number | undefined
  every?: number | undefined
  /** Infinity for never. */
  ends: number
}

/** A key rotated out: whose it was, until when it opens, and how long it is known. */
interface Old {
  id: string
  till: number
  ends: number
}

/** What is left of a token whose record was evicted: its id. */
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

/** What `change` is given; null takes a lifetime away. */
export interface Change {
  owner_id?: string
  attrs?: object
  ttl?: number | null
  idle?: number | null
  every?: number
  limit?: number
  onLimit?: 'reject' | 'evict'
}

/** Of a call that is refused: the code of its error. */
export class Refused {
  constructor(readonly code: string) {}
}

/** The names of one root in Redis and the time by its clock, at one moment. */
export interface Dump {
  time: number
  names: Map<string, { type: string; value: string | string[]; ends: number }>
}

export async function dump(redis: Redis, root: string): Promise<Dump> {
  const { time, entries } = await snapshot(redis, `${root}:`)
  const names: Dump['names'] = new Map()
  for (const [name, { type, value, end }] of Object.entries(entries)) {
    names.set(name.slice(root.length + 1), {
      type,
      value: value as string | string[],
      ends: end ?? Infinity
    })
  }
  return { time, names }
}

const isLive = (ends: number, { began }: Moment): boolean => ends >= began

export class Model {
  readonly digest: boolean
  tokens = new Map<string, Held>()
  ghosts = new Map<string, Ghost>()
  /**
   * By owner: members whose record was evicted, and when they would have ended; they count until
   * list drops them.
   */
  lost = new Map<string, Map<string, number>>()
  /** Keys rotated out. They outlive their token, and are those of the next one of its id. */
  old = new Map<string, Old>()
  hashes = new Map<string, Hash>()
  latest = new Map<string, { hash: string; ends: Hash['ends'] }>()
  /**
   * Every id there ever was and its owners, since an owner set may hold some whose end has
   * passed.
   */
  owners = new Map<string, Set<string>>()
  /** An owner whose set this step cleaned of members that ended before a time. */
  cleaned: { owner_id: string; before: number } | undefined

  constructor(digest: boolean) {
    this.digest = digest
  }

  clone(): Model {
    const other = new Model(this.digest)
    for (const [id, token] of this.tokens) other.tokens.set(id, { ...token })
    other.ghosts = new Map(this.ghosts)
    for (const [owner_id, members] of this.lost) other.lost.set(owner_id, new Map(members))
    other.old = new Map(this.old)
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
    const { owner_id, attrs, idle } = given
    const added = answer as Token
    const key = given.key ?? added.key
    const id = given.id ?? added.id
    const ofEvict = (evicted: string[]): object => (given.onLimit === 'evict' ? { evicted } : {})
    const same = this.#byId(id, at)
    if (same && same.key === key) return { ...this.#token(same), key, ...ofEvict([]) }
    if (same || this.#byKey(key, at) || this.#isOld(key, at)) return new Refused('TSKEYTAKEN')
    const members = this.#members(owner_id, at.now)
    const over = given.limit === undefined ? 0 : members.length - given.limit + 1
    if (over > 0 && given.onLimit !== 'evict') return new Refused('TSLIMIT')
    const evicted = members.slice(0, Math.max(over, 0)).filter((member) => member !== id)
    this.#revoke(owner_id, evicted)
    const token: Held = { key, id, owner_id, attrs, ends: Infinity }
    if (given.ttl !== undefined) token.ends = token.ends_at = at.now + given.ttl
    if (idle !== undefined) {
      token.idle = idle
      token.every = given.every ?? Math.ceil(idle / 10)
      token.ends = Math.min(token.ends, at.now + idle)
    }
    this.tokens.set(id, token)
    this.ghosts.delete(id)
    this.lost.get(owner_id)?.delete(id)
    this.owners.set(id, (this.owners.get(id) ?? new Set()).add(owner_id))
    this.cleaned = { owner_id, before: at.now }
    return { ...this.#token(token), key, ...ofEvict(evicted) }
  }

  getKey(key: string, touch: boolean, at: Moment): Answer {
    const token = this.#opened(key, at)
    if (!token) return null
    if (touch && token.idle !== undefined) {
      const ends = Math.min(at.now + token.idle, token.ends_at ?? Infinity)
      if (ends > at.now && ends - token.ends >= token.every!) token.ends = ends
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

  change(id: string, given: Change, at: Moment): Answer {
    const token = this.#byId(id, at)
    if (!token || token.ends <= at.now) return null
    const { owner_id = token.owner_id, limit, ttl, idle } = given
    const others = this.#members(owner_id, at.now).filter((member) => member !== id)
    const over = limit === undefined ? 0 : others.length + 1 - limit
    if (over > 0 && given.onLimit !== 'evict') return new Refused('TSLIMIT')
    const evicted = others.slice(0, Math.max(over, 0))
    this.#revoke(owner_id, evicted)
    token.owner_id = owner_id
    token.attrs = given.attrs ?? token.attrs
    if (ttl !== undefined) token.ends_at = ttl === null ? undefined : at.now + ttl
    if (idle !== undefined) {
      token.idle = idle ?? undefined
      token.every = idle === null ? undefined : (given.every ?? Math.ceil(idle / 10))
    }
    if (ttl !== undefined || idle !== undefined)
      token.ends = Math.min(token.ends_at ?? Infinity, at.now + (token.idle ?? Infinity))
    this.lost.get(owner_id)?.delete(id)
    this.owners.get(id)!.add(owner_id)
    this.cleaned = { owner_id, before: at.now }
    return { ...this.#token(token), ...(given.onLimit === 'evict' ? { evicted } : {}) }
  }

  del(id: string, at: Moment): Answer {
    if (this.#byId(id, at)) return this.tokens.delete(id)
    this.ghosts.delete(id)
    return false
  }

  delKey(key: string, at: Moment): Answer {
    const old = this.#isOld(key, at) ? this.old.get(key) : undefined
    if (old && old.till < at.now && this.#byId(old.id, at)) return false
    const token = this.#opened(key, at)
    if (old) this.old.delete(key)
    return token !== undefined && this.tokens.delete(token.id)
  }

  delOwner(owner_id: string, except: string | undefined, at: Moment): Answer {
    const ended = this.#live(owner_id, at.began).filter(({ id }) => id !== except)
    for (const { id } of ended) this.tokens.delete(id)
    this.lost.delete(owner_id)
    this.cleaned = { owner_id, before: at.began }
    return ended.length
  }

  list(owner_id: string, at: Moment): Answer {
    const live = this.#live(owner_id, at.now).sort((a, b) => (a.id < b.id ? -1 : 1))
    this.lost.delete(owner_id)
    return live.map((token) => this.#token(token))
  }

  /** The order of pages, which is that of the end. */
  each(owner_id: string, at: Moment): Answer {
    const inOrder = this.#live(owner_id, at.now)
    this.list(owner_id, at)
    return inOrder.map((token) => this.#token(token))
  }

  count(owner_id: string, at: Moment): Answer {
    return this.#members(owner_id, at.now).length
  }

  rotate(id: string, grace: number | undefined, answer: Answer, at: Moment): Answer {
    const token = this.#byId(id, at)
    if (!token || !answer) return token ? this.#token(token) : null
    const till = at.now + (grace ?? 0)
    if (grace !== undefined) this.old.set(token.key, { id, till, ends: till })
    token.key = (answer as Token).key
    return { ...this.#token(token), key: token.key }
  }

  refresh(
    key: string,
    grace: number | null,
    detect: number | null,
    answer: Answer,
    at: Moment
  ): Answer {
    const old = this.#isOld(key, at) ? this.old.get(key) : undefined
    const token = old ? this.#byId(old.id, at) : this.#byKey(key, at)
    if (!token || token.ends <= at.now) return null
    if (old && old.till < at.now) {
      this.tokens.delete(old.id)
      this.old.delete(key)
      return new Refused('TSREUSE')
    }
    const till = grace === null ? 0 : at.now + grace
    const ends = detect === null ? till : Math.min(at.now + detect, token.ends_at ?? Infinity)
    if (ends > 0) this.old.set(token.key, { id: token.id, till, ends })
    token.key = (answer as Token | null)?.key ?? token.key
    const used = Math.min(at.now + (token.idle ?? Infinity), token.ends_at ?? Infinity)
    token.ends = Math.max(token.ends, used)
    return { ...this.#token(token), key: token.key }
  }

  makeHash(
    value: unknown,
    ttl: number,
    replaces: string | undefined,
    answer: Answer,
    at: Moment
  ): Answer {
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

  /** A walk of many calls: what ends meanwhile is counted or not. */
  reset(answer: Answer, { began, now }: Moment): Answer {
    const ends = [...this.tokens.values(), ...this.hashes.values()].map(
      (held) => held.ends as number
    )
    const [least, most] = [
      ends.filter((end) => end > now).length,
      ends.filter((end) => end >= began).length
    ]
    for (const held of [this.tokens, this.ghosts, this.lost, this.old, this.hashes, this.latest])
      held.clear()
    return least <= (answer as number) && (answer as number) <= most ? answer : least
  }

  /** What Redis does when memory is short: the record is gone, and nothing else. */
  evict(id: string): void {
    const { owner_id, key, ends } = this.tokens.get(id)!
    this.tokens.delete(id)
    this.ghosts.set(id, { key, ends })
    this.lost.set(owner_id, (this.lost.get(owner_id) ?? new Map<string, number>()).set(id, ends))
  }

  /** What in a dump contradicts the model, after a call at that moment. */
  faults(found: Dump, at: Moment): string[] {
    const faults: string[] = []
    const unexplained = new Map(found.names)
    // Whether what ends then must be there, or, when that is while the dump is made, may be.
    const may = (ends: number): boolean => ends >= at.began
    const must = (ends: number): boolean => ends > found.time
    const claims: {
      name: string
      ends: number
      value: unknown
      parse: (text: string) => unknown
    }[] = []
    const take = (
      name: string,
      ends: number,
      value: unknown,
      parse: (text: string) => unknown
    ): void => {
      claims.push({ name, ends, value, parse })
    }
    const text = (value: string): string => value

    const members = new Map<string, Map<string, number>>()
    const list = (owner_id: string, id: string, ends: number): void => {
      members.set(owner_id, (members.get(owner_id) ?? new Map<string, number>()).set(id, ends))
    }
    for (const { key, id, owner_id, attrs, ends_at, idle, every, ends } of this.tokens.values()) {
      const absolute = ends_at === undefined ? {} : { ends_at }
      const sliding = idle === undefined ? {} : { idle, every }
      const record = JSON.stringify({ id, owner_id, ...absolute, ...sliding, attrs })
      take(`key:${this.stored(key)}`, ends, record, asWritten)
      take(`id:${id}`, ends, this.stored(key), text)
      list(owner_id, id, ends)
    }
    for (const [key, { id, till, ends }] of this.old)
      take(`key:${this.stored(key)}`, ends, `${id} ${till}`, text)
    for (const [hash, held] of this.hashes)
      take(`hash:${this.stored(hash)}`, held.ends as number, held.value, JSON.parse)
    for (const [name, { hash, ends }] of this.latest)
      take(`latest:${name}`, ends as number, this.stored(hash), text)
    for (const [id, { key, ends }] of this.ghosts) take(`id:${id}`, ends, this.stored(key), text)
    for (const [owner_id, lost] of this.lost)
      for (const [id, ends] of lost) list(owner_id, id, ends)
    // What ends last first: the name of a key that has ended may be another token's by now.
    for (const { name, ends, value, parse } of claims.sort((a, b) => (a.ends < b.ends ? 1 : -1))) {
      const entry = unexplained.get(name)
      unexplained.delete(name)
      if (!entry) {
        if (must(ends)) faults.push(`${name} is missing`)
        continue
      }
      if (!may(ends)) faults.push(`${name} should have ended`)
      if (entry.ends !== ends) faults.push(`${name} ends at ${entry.ends}, not ${ends}`)
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
        if (expected !== undefined && score !== expected)
          faults.push(`${name} has ${id} at ${score}, not ${expected}`)
        const dead = score < at.now && (this.owners.get(id)?.has(owner_id) ?? false)
        if (expected === undefined && !dead) faults.push(`${name} lists ${id}, which is not there`)
        if (this.cleaned?.owner_id === owner_id && score < this.cleaned.before)
          faults.push(`${name} keeps dead ${id}`)
      }
      if (ends !== last) faults.push(`${name} ends at ${ends}, its last member at ${last}`)
    }
    for (const [owner_id, missing] of members) {
      for (const [id, ends] of missing)
        if (must(ends)) faults.push(`tokens:${owner_id} does not list ${id}`)
    }
    return faults
  }

  /** Forgets what had ended before a moment, and has been seen to be gone. */
  prune({ began }: Moment): void {
    for (const [id, { ends }] of this.tokens) if (ends < began) this.tokens.delete(id)
    for (const [id, { ends }] of this.ghosts) if (ends < began) this.ghosts.delete(id)
    for (const lost of this.lost.values()) {
      for (const [id, ends] of lost) if (ends < began) lost.delete(id)
    }
    for (const [key, { ends }] of this.old) if (ends < began) this.old.delete(key)
    for (const [hash, { ends }] of this.hashes)
      if ((ends as number) < began) this.hashes.delete(hash)
    for (const [name, { ends }] of this.latest)
      if ((ends as number) < began) this.latest.delete(name)
  }

  /** Learns when hashes end, and that is within what their TTL allows. */
  settle(found: Dump, since: number): string[] {
    const faults: string[] = []
    const end = (name: string, held: { ends: Hash['ends'] }): void => {
      if (typeof held.ends === 'number') return
      const earliest = since + held.ends.after
      const latest = found.time + held.ends.after
      const ends = found.names.get(name)?.ends ?? earliest
      if (ends < earliest || ends > latest) {
        faults.push(`${name} ends at ${ends}, not between ${earliest} and ${latest}`)
      }
      held.ends = ends
    }
    for (const [hash, held] of this.hashes) end(`hash:${this.stored(hash)}`, held)
    for (const [name, held] of this.latest) end(`latest:${name}`, held)
    return faults
  }

  #token({ key, id, owner_id, attrs, ends, idle }: Held): Partial<Token> {
    return {
      ...(this.digest ? {} : { key }),
      id,
      owner_id,
      attrs: attrs as Record<string, unknown>,
      ...(ends === Infinity ? {} : { expires_at: ends }),
      ...(idle === undefined ? {} : { used_at: ends - idle })
    }
  }

  #byId(id: string, at: Moment): Held | undefined {
    const token = this.tokens.get(id)
    return token && isLive(token.ends, at) ? token : undefined
  }

  #byKey(key: string, at: Moment): Held | undefined {
    return [...this.tokens.values()].find((token) => token.key === key && isLive(token.ends, at))
  }

  #isOld(key: string, at: Moment): boolean {
    return isLive(this.old.get(key)?.ends ?? -1, at)
  }

  #opened(key: string, at: Moment): Held | undefined {
    if (!this.#isOld(key, at)) return this.#byKey(key, at)
    const { id, till } = this.old.get(key)!
    return till < at.now ? undefined : this.#byId(id, at)
  }

  #revoke(owner_id: string, members: string[]): void {
    for (const member of members) {
      if (!this.lost.get(owner_id)?.delete(member)) this.tokens.delete(member)
    }
  }

  /** In the order in which they end, those that never do by id. */
  #live(owner_id: string, now: number): Held[] {
    const live = [...this.tokens.values()].filter(
      (token) => token.owner_id === owner_id && token.ends >= now
    )
    return live.sort(byEnd)
  }

  /** Ids of what the owner set lists at a time, in its order. */
  #members(owner_id: string, now: number): string[] {
    const lost = [...(this.lost.get(owner_id) ?? [])].map(([id, ends]) => ({ id, ends }))
    return [...this.#live(owner_id, now), ...lost.filter(({ ends }) => ends >= now)]
      .sort(byEnd)
      .map(({ id }) => id)
  }
}

type Ending = { id: string; ends: number }
const byEnd = (a: Ending, b: Ending): number =>
  a.ends === b.ends ? (a.id < b.id ? -1 : 1) : a.ends - b.ends

/** A record as its text must be, but for the attrs, whose text is the caller's. */
const asWritten = (record: string): string => JSON.stringify(JSON.parse(record))
