/**
 * What was issued to whom and has not been revoked, kept outside of Redis.
 *
 * Redis keeps a name through the ms of its end, but a TTL set to that very ms
 * deletes at once. So a token *in its last ms* may be read by key and id while its
 * owner's set is gone already. And a use that moves an end to the ms that it is,
 * where a token's ends_at may lie, deletes the token while its set lists it.
 */
import { nameOf } from './names'
import type { Keyspace } from './redis-model'

/** The clock when a script started, at its first look at the clock, and at its end. */
export interface Moment {
  began: number
  now: number
  ended: number
}

export interface Token {
  readonly key: string
  readonly id: string
  readonly owner_id: string
  readonly attrs: string
  /** Infinity for never. */
  readonly ends: number
  readonly ends_at?: number | undefined
  readonly idle?: number | undefined
  readonly every?: number | undefined
}

/** The tries of a name, and the code that was made last while one is left. */
export interface Code {
  readonly digest?: string | undefined
  readonly value?: string | undefined
  readonly left: number
  readonly made: number
  readonly ends: number
}

/** By their ends, and then by their ids: the order of an owner's set. */
export const inOrder = (a: Token, b: Token): number =>
  a.ends === b.ends ? (a.id < b.id ? -1 : 1) : a.ends - b.ends

/** The text that Redis holds of a token. */
export function recordOf(token: Token): string {
  const { id, owner_id, attrs, ends_at, idle, every } = token
  const owner = JSON.stringify(owner_id).replaceAll('/', '\\/')
  const ttl = ends_at === undefined ? '' : `,"ends_at":${ends_at}`
  const use = idle === undefined ? '' : `,"idle":${idle},"every":${every}`
  return `{"id":"${id}","owner_id":${owner}${ttl}${use},"attrs":${attrs}}`
}

export class Ledger {
  tokens = new Map<string, Token>()
  /** Keys rotated out: whose they were, till when they open, and till when they are known. */
  old = new Map<string, { id: string; till: number; ends: number }>()
  hashes = new Map<string, { value: string; ends: number }>()
  latest = new Map<string, { hash: string; ends: number }>()
  /** By owner: the hashes made for it, and when they were to end. */
  made = new Map<string, ReadonlyMap<string, number>>()
  codes = new Map<string, Code>()
  /** By owner: tokens whose time has ended, which the owner's set may still list. */
  lapsed = new Map<string, ReadonlyMap<string, Token>>()

  copy(): Ledger {
    const other = new Ledger()
    other.tokens = new Map(this.tokens)
    other.old = new Map(this.old)
    other.hashes = new Map(this.hashes)
    other.latest = new Map(this.latest)
    other.made = new Map(this.made)
    other.codes = new Map(this.codes)
    other.lapsed = new Map(this.lapsed)
    return other
  }

  /** Forgets what has ended, and what Redis has deleted of that in its last ms. */
  settle(clock: number, found: Keyspace): void {
    for (const [id, token] of this.tokens) {
      const { owner_id, key, ends } = token
      const deleted = !found.has(nameOf('id', id)) && !found.has(nameOf('key', key))
      if (ends > clock || (ends === clock && !deleted)) continue
      this.tokens.delete(id)
      this.lapsed.set(owner_id, new Map(this.lapsed.get(owner_id)).set(id, token))
    }
    for (const held of [this.old, this.hashes, this.latest, this.codes]) {
      for (const [name, { ends }] of held) if (ends < clock) held.delete(name)
    }
    for (const [owner_id, hashes] of this.made) {
      const last = Math.max(...hashes.values())
      const isLeft = last === clock && found.has(nameOf('hashes', owner_id))
      if (last <= clock && !isLeft) this.made.delete(owner_id)
    }
  }

  /** The token whose key this is or was. */
  led(key: string): Token | undefined {
    const rotated = this.old.get(key)
    if (rotated) return this.tokens.get(rotated.id)
    for (const token of this.tokens.values()) if (token.key === key) return token
    return undefined
  }

  /** Whether a key was rotated out and its grace is over. */
  isPast(key: string, { now }: Moment): boolean {
    return (this.old.get(key)?.till ?? now) < now
  }

  /** The token that a key opens. */
  opened(key: string, at: Moment): Token | undefined {
    return this.isPast(key, at) ? undefined : this.led(key)
  }

  isUsed(key: string): boolean {
    return this.old.has(key) || this.led(key) !== undefined
  }

  of(owner_id: string): Token[] {
    const owned = [...this.tokens.values()].filter((each) => each.owner_id === owner_id)
    return owned.sort(inOrder)
  }

  /** Those, and what its set may list though it is gone already in its last ms. */
  listed(owner_id: string, { began }: Moment): Token[] {
    const owned = this.of(owner_id)
    const lapsed = [...(this.lapsed.get(owner_id)?.values() ?? [])]
    const last = lapsed.filter(
      ({ id, ends }) => ends >= began && !owned.some((each) => each.id === id)
    )
    return [...owned, ...last].sort(inOrder)
  }

  revoke(id: string): void {
    const owner_id = this.tokens.get(id)?.owner_id ?? ''
    const lapsed = new Map(this.lapsed.get(owner_id))
    if (lapsed.delete(id)) this.lapsed.set(owner_id, lapsed)
    this.tokens.delete(id)
  }
}
