import { v7 as uuidV7 } from 'uuid'
import { ConflictError, KeyTakenError, TokenstoreError } from '../errors'
import { sleep } from '../timers'
import type { NewToken, Token } from '../types'
import { changedFields, fieldsOf, laidOver, type Fields } from './fields'
import type { Sessions } from './sessions'
import { with503 } from './with-503'

const WRITE_TRIES = 100
// What the scripts take: 316 years. A cookie of the year 9999 is one that never ends.
const LONGEST_MS = 9_999_999_999_999

const PROMOTED =
  'a session got an owner under the id that its client already had, which somebody else may ' +
  'have planted (session fixation): give it a new id at login'
let warned = false

/** Whose a session is to be. */
export type Owned = Pick<NewToken, 'owner_id' | 'limit' | 'onLimit'>

type Known = Omit<Token<object>, 'key'>
type Stored = Omit<Known, 'attrs'>

/**
 * A session in the hands of one request. It is written against what that request loaded: one
 * that has ended meanwhile stays ended, and what others changed meanwhile stays changed.
 */
export class HeldSession<Data extends object> {
  readonly sid: string
  readonly #sessions: Sessions<Data>
  /** The same for each try to create it, so that one of which no answer came is known again. */
  readonly #newId = uuidV7()
  /** Whether a client brought its sid, so that somebody else may know it. */
  #brought: boolean
  /** As last heard of Redis; null before the first save. */
  #token: Stored | null = null
  /** JSON text of the attrs in Redis, as last heard. */
  #stored = '{}'
  /** JSON text of the session as its request last loaded or saved it. */
  #seen = '{}'
  #gone = false
  /** The last of the saves under way: those of one request happen one after the other. */
  #turn: Promise<unknown> | undefined

  constructor(sessions: Sessions<Data>, sid: string, token?: Known) {
    this.sid = sid
    this.#sessions = sessions
    this.#brought = token !== undefined
    if (token) this.#hear(token)
    this.#seen = this.#stored
  }

  /** The session as last loaded or saved, in a new object. */
  get data(): Data {
    return JSON.parse(this.#seen) as Data
  }

  /** Of its token; undefined before the first save. */
  get id(): string | undefined {
    return this.#token?.id
  }

  get owner_id(): string | undefined {
    return this.#token?.owner_id
  }

  /** Unix ms, by the clock of Redis. */
  get expires_at(): number | undefined {
    return this.#token?.expires_at
  }

  /**
   * Writes what was changed since the last load or save, if anything was. False when the
   * session has ended: then nothing is written. It is `owned` at its first save, whatever the
   * `owner` of the options says.
   */
  async save(session: Data, owned?: Owned): Promise<boolean> {
    const now = fieldsOf(session)
    return this.#inTurn(() => this.#save(now, owned))
  }

  /**
   * The same for some fields of a session that was saved before: the others stay as they were
   * last loaded or saved.
   */
  async saveOnly(fields: Partial<Data>): Promise<boolean> {
    const now = fieldsOf(fields)
    return this.#inTurn(async () =>
      this.#token === null ? false : this.#save({ ...(this.data as Fields), ...now })
    )
  }

  /** Whether `saveOnly` of these fields has nothing to do, and no save is under way. */
  isSaved(fields: Partial<Data>): boolean {
    if (this.#turn !== undefined || this.#token === null) return false
    const seen = this.data as Fields
    if (changedFields(seen, { ...seen, ...fieldsOf(fields) }).length > 0) return false
    return Object.keys(this.#newOwner(this.#token, seen, seen)).length === 0
  }

  // The first is sent at once: what its request does next, say a destroy, must come behind it.
  async #inTurn(save: () => Promise<boolean>): Promise<boolean> {
    const saved = this.#turn ? this.#turn.then(save) : save()
    const turn = saved.catch(() => {})
    this.#turn = turn
    try {
      return await with503(saved)
    } finally {
      if (this.#turn === turn) this.#turn = undefined
    }
  }

  async #save(now: Fields, owned?: Owned): Promise<boolean> {
    if (this.#gone) return false
    const maxAge = this.#sessions.maxAge(now as Data)
    if (maxAge !== null && maxAge <= 0) {
      await this.#sessions.end(this.sid)
      this.#gone = true
      return false
    }
    const written = this.#token === null ? await this.#create(now, owned) : await this.#write(now)
    this.#seen = JSON.stringify(now)
    return written
  }

  async #create(now: Fields, owned: Owned | undefined): Promise<boolean> {
    const { tokens, limits, ttl } = this.#sessions
    const id = this.#newId
    const named = this.#sessions.owner(now as Data)
    const owner = owned ?? (named === undefined ? { owner_id: id } : { owner_id: named, ...limits })
    const lifetime = { ttl: seconds(ttl), idle: this.#idle(now) }
    const key = this.sid
    try {
      this.#hear(await tokens.add({ ...owner, ...lifetime, key, id, attrs: now as Data }))
    } catch (error) {
      if (!(error instanceof KeyTakenError)) throw error
      // What is saved is a copy of a session that exists.
      const token = await tokens.getKey(key, { touch: false })
      if (token === null) return this.#ended(id)
      this.#hear(token)
      this.#brought = true
    }
    // An earlier try may have stored it without an answer.
    if (this.#stored === JSON.stringify(now)) return true
    this.#seen = this.#stored
    return this.#write(now)
  }

  async #write(now: Fields): Promise<boolean> {
    const { tokens, merge } = this.#sessions
    const seen = JSON.parse(this.#seen) as Fields
    for (let tries = 1; ; tries++) {
      const known = this.#token!
      const stored = JSON.parse(this.#stored) as Fields
      const attrs = merge ? this.#merged(stored, seen, now) : now
      // Of what is written, not of what was loaded: owner and lifetime go with the attrs.
      const owner = this.#newOwner(known, stored, attrs)
      const moved = { ...owner, ...this.#newIdle(stored, attrs) }
      const moves = Object.keys(moved).length > 0
      if (!moves && changedFields(stored, attrs).length === 0) return true
      const write = { attrs: attrs as Data, from: stored as Data }
      try {
        const token = moves
          ? await tokens.change(known.id, { ...moved, ...write })
          : await tokens.set(known.id, write.attrs, { from: write.from })
        if (token === null) return this.#ended(known.id)
        this.#hear(token)
        return true
      } catch (error) {
        if (!(error instanceof ConflictError) || tries === WRITE_TRIES) throw error
      }
      await sleep(Math.random() * Math.min(tries, 20))
      // Reads what is there, and spells it as this library does, should another program have
      // written it: else no `from` would ever be the same.
      const newer = await tokens.update(known.id, (attrs) => attrs)
      if (newer === null) return this.#ended(known.id)
      this.#hear(newer)
    }
  }

  /**
   * What this request changed over what is stored. One that logged nobody in or out does not
   * undo that another did: then the fields that say whose the session is stay theirs.
   */
  #merged(stored: Fields, seen: Fields, now: Fields): Fields {
    const owner = (session: Fields): string | undefined => this.#sessions.owner(session as Data)
    const changed = changedFields(seen, now)
    const theirs = owner(stored)
    if (owner(seen) !== owner(now) || owner(seen) === theirs) return laidOver(stored, now, changed)
    const innocent = changed.filter((name) => owner(laidOver(stored, now, [name])) === theirs)
    return laidOver(stored, now, innocent)
  }

  /** Whose the session is then, if that changes: its own, with its id for an owner, if nobody's. */
  #newOwner({ id, owner_id: old }: Stored, stored: Fields, attrs: Fields): Partial<Owned> {
    const [before, after] = [stored, attrs].map((session) => this.#sessions.owner(session as Data))
    const unchanged = before === undefined ? old : id
    const owner_id = after ?? unchanged
    if (owner_id === old) return {}
    // Nobody logs in where `owner` has only come to be asked.
    if (after === undefined || after === before) return { owner_id }
    if (this.#brought) this.#promoted()
    return { owner_id, ...this.#sessions.limits }
  }

  #newIdle(stored: Fields, attrs: Fields): { idle?: number | null } {
    const idle = this.#idle(attrs)
    return idle === this.#idle(stored) ? {} : { idle }
  }

  /** Seconds. */
  #idle(session: Fields): number | null {
    const maxAge = this.#sessions.maxAge(session as Data)
    return seconds(maxAge === null ? this.#sessions.idle : Math.min(maxAge, LONGEST_MS))
  }

  #promoted(): void {
    const { onPromote } = this.#sessions
    if (onPromote === 'refuse') throw new TokenstoreError('TSPROMOTED', PROMOTED)
    if (onPromote === 'allow' || warned) return
    warned = true
    process.emitWarning(PROMOTED, 'TokenstoreWarning')
  }

  #hear({ attrs, ...token }: Known): void {
    this.#token = token
    this.#stored = JSON.stringify(attrs)
  }

  #ended(id: string): false {
    this.#gone = true
    this.#sessions.gone(id)
    return false
  }
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1000
}
