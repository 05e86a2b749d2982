import { EventEmitter } from 'node:events'
import type { SessionData, Store } from 'hono-sessions'
import type { Tokenstore } from '../main'
import { setImmediate } from '../timers'
import type { HeldSession } from './held-session'
import { storedMaxAge, maxAgeUntil, type Lifetime } from './max-age'
import { Sessions, type SessionOptions } from './sessions'

export type SessionStoreOptions<Data extends object> = SessionOptions<Data>

/**
 * A store for hono-sessions. The attrs of a token are what the app has put into its session, a
 * flash entry under `__flash_<name>__`; that is what `owner` gets, too. A session lives for
 * `expireAfterSeconds`, else for the option `idle`, after its last use. One into which nothing
 * was put is not stored.
 *
 * Renew the sid at login: set the user, and `c.set('session_key_rotation', true)`. That ends
 * the session and creates it again under a new sid, unless somebody else had ended it and its
 * `owner` is still the same: a logout stays one. (Without `owner` it is.)
 *
 * Emits `'gone'` with the id of a session that a request wanted to save, but that had ended
 * meanwhile.
 */
export class SessionStore<Data extends object = Record<string, unknown>>
  extends EventEmitter<{ gone: [id: string] }>
  implements Store
{
  readonly #sessions: Sessions<Data>
  /** What was loaded of, or saved as, the objects that hono-sessions handles. */
  readonly #held = new WeakMap<SessionData, HeldSession<Data>>()
  /** Sids that were to be ended this very moment, but had been. */
  readonly #ended = new Set<string>()

  constructor(options: SessionStoreOptions<Data> = {}) {
    super()
    this.#sessions = new Sessions(options, storedMaxAge, (id) => this.emit('gone', id))
  }

  /** The sessions as tokens: to list, count and end those of an owner. */
  get tokens(): Tokenstore<Data, true> {
    return this.#sessions.tokens
  }

  /** The session of a sid, or null. A use of it. */
  async getSessionById(sid?: string): Promise<SessionData | null> {
    try {
      const held = await this.#sessions.load(sid)
      if (held === null) return null
      const session = sessionOf(held)
      this.#held.set(session, held)
      return session
    } catch (error) {
      return failing(error)
    }
  }

  /** Makes a session, and stores it unless there is nothing in it yet. */
  async createSession(sid: string, session: SessionData): Promise<void> {
    const before = this.#held.get(session)
    const created = this.#sessions.create(sid)
    const attrs = attrsOf<Data>(session, before ?? created)
    const held = before && this.#isLost(before, attrs) ? before : created
    this.#held.set(session, held)
    await this.#save(held, session, attrs)
  }

  /**
   * Saves a session: a new one is created, one that was loaded is written where it was
   * changed, one that has ended since is not.
   */
  async persistSessionData(sid: string, session: SessionData): Promise<void> {
    const held = this.#held.get(session) ?? (await this.#sessions.load(sid))
    if (held) await this.#save(held, session)
  }

  /** Ends a session: no save that is under way brings it back. */
  async deleteSession(sid: string): Promise<void> {
    if (await this.#sessions.end(sid)) return
    // With a new sid, the session is created again before anything else happens.
    this.#ended.add(sid)
    setImmediate(() => this.#ended.delete(sid))
  }

  async #save(
    held: HeldSession<Data>,
    session: SessionData,
    attrs = attrsOf<Data>(session, held)
  ): Promise<void> {
    const isNew = held.id === undefined
    if (isNew && Object.keys(session._data).length === 0) return
    await held.save(attrs)
  }

  /** Whether somebody else had ended a session before it got a new sid, with nothing but that. */
  #isLost(before: HeldSession<Data>, attrs: Data): boolean {
    if (before.id === undefined || !this.#ended.has(before.sid)) return false
    return this.#sessions.isKept(before.data, attrs)
  }
}

type Held = Pick<HeldSession<object>, 'data'>

/** A session that throws. The middleware takes a store's error for no session, and logs out. */
function failing(error: unknown): SessionData {
  return {
    get _data(): never {
      throw error
    }
  } as unknown as SessionData
}

function sessionOf({ data }: Held): SessionData {
  const attrs = { ...data } as Record<string, unknown>
  delete attrs['_maxAge']
  const entries = Object.entries(attrs).map(([name, value]) => {
    const flash = /^__flash_(.*)__$/s.exec(name)
    return [flash?.[1] ?? name, { value, flash: flash !== null }]
  })
  const _data = Object.fromEntries(entries) as SessionData['_data']
  return { _data, _expire: null, _delete: false, _accessed: null }
}

function attrsOf<Data>({ _data, _expire }: SessionData, held: Held): Data {
  const attrs = Object.entries(_data).map(([name, { value, flash }]) => [
    flash ? `__flash_${name}__` : name,
    value as unknown
  ])
  return { ...Object.fromEntries(attrs), _maxAge: lifetime(_expire, held) } as Data
}

/** Milliseconds. That which was stored, unless the request has named another end. */
function lifetime(end: string | null, held: Held): number | undefined {
  return end === null ? (held.data as Lifetime)._maxAge : maxAgeUntil(new Date(end))
}
