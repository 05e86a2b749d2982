import { Store, type Session, type SessionData } from 'express-session'
import { settle, type Callback } from '../callbacks'
import * as check from '../check'
import type { Tokenstore } from '../main'
import { maxAgeOf, withEnd, withoutEnd } from './cookie'
import type { HeldSession } from './held-session'
import { ownerId, served, Sessions, type Limits, type SessionOptions } from './sessions'

/** What a store takes of an Express request. */
interface Request {
  session: Session & Partial<SessionData>
  sessionID: string
}

export type SessionStoreOptions = Omit<SessionOptions<SessionData>, 'onGone'>

/**
 * A store for express-session. Every method takes a callback, and returns a promise as well.
 * Emits `'gone'` with the id of a session that a request wanted to save, but that had ended
 * meanwhile.
 */
export class SessionStore extends Store {
  readonly #sessions: Sessions<SessionData>
  /** What was loaded of, or saved as, the objects that express-session handles. */
  readonly #held = new WeakMap<object, HeldSession<SessionData>>()
  /** Gives a request a new session; set by express-session. */
  declare generate: (request: Request) => void

  constructor(options: SessionStoreOptions = {}) {
    super()
    const onGone = (id: string): boolean => this.emit('gone', id)
    this.#sessions = new Sessions({ ...options, onGone }, maxAgeOf)
  }

  /** The sessions as tokens: to list, count and end those of an owner. */
  get tokens(): Tokenstore<SessionData, true> {
    return this.#sessions.tokens
  }

  /** The session of a sid, or null. A use of it, so that `touch` need not write. */
  override get(sid: string, callback?: Callback<SessionData | null>): Promise<SessionData | null> {
    return settle(this.#get(sid), callback)
  }

  /**
   * Saves a session: a new one is created, one that was loaded is written where it was changed,
   * one that has ended since is not.
   */
  override set(sid: string, session: SessionData, callback?: Callback<void>): Promise<void> {
    return settle(this.#set(sid, session), callback)
  }

  /** Writes the lifetime of a session when that of its cookie has changed. */
  override touch(sid: string, session: SessionData, callback?: Callback<void>): Promise<void> {
    return settle(this.#touch(sid, session), callback)
  }

  /** Ends a session: no save that is under way brings it back. */
  override destroy(sid: string, callback?: Callback<void>): Promise<void> {
    return settle(this.#destroy(sid), callback)
  }

  /** Ends the session of a request and gives it a new, empty one. */
  override regenerate(request: Request, callback?: Callback<void>): Promise<void> {
    return settle(this.#regenerate(request), callback)
  }

  /**
   * Logs an owner in: the session of the request gets a new sid, keeps its data, and is the
   * owner's, at most `limit` of whom there are. The old sid is ended. Owner and limit are
   * written in one step with the session.
   * @throws LimitError when `limit` is reached and `onLimit` is `'reject'`; the request keeps
   * its session
   */
  login(
    request: Request,
    owner: string | number,
    options?: Limits,
    callback?: Callback<void>
  ): Promise<void> {
    return settle(this.#login(request, owner, options), callback)
  }

  /** All sessions, each with the public `id` of its token. Walks the whole store. */
  override all(callback?: Callback<SessionData[]>): Promise<SessionData[]> {
    return settle(this.#all(), callback)
  }

  /** How many sessions there are. Walks the whole store. */
  override length(callback?: Callback<number>): Promise<number> {
    return settle(
      this.#all().then(({ length }) => length),
      callback
    )
  }

  /** Ends all sessions: all that is in the store, see `Tokenstore.reset`. */
  override clear(callback?: Callback<void>): Promise<void> {
    return settle(
      served(this.tokens.reset()).then(() => {}),
      callback
    )
  }

  /** Called by express-session to make the object that a request works on of what `get` gave. */
  override createSession(request: Request, data: SessionData): Session & SessionData {
    const held = this.#held.get(data)
    const session = super.createSession(request as never, data)
    if (held) this.#held.set(session, held)
    return session
  }

  async #get(sid: string): Promise<SessionData | null> {
    const held = await this.#sessions.load(sid)
    if (held === null) return null
    const session = withEnd(held.data, held.expires_at)
    this.#held.set(session, held)
    return session
  }

  async #set(sid: string, session: SessionData): Promise<void> {
    const held = this.#heldAs(sid, session) ?? this.#sessions.create(sid)
    this.#held.set(session, held)
    await held.save(withoutEnd(session))
  }

  async #touch(sid: string, session: SessionData): Promise<void> {
    const { cookie } = withoutEnd(session)
    const held = this.#heldAs(sid, session) ?? (await this.#sessions.load(sid))
    await held?.save({ ...held.data, cookie })
  }

  async #destroy(sid: string): Promise<void> {
    await this.#sessions.end(sid)
  }

  async #regenerate(request: Request): Promise<void> {
    try {
      await this.#sessions.end(request.sessionID)
    } finally {
      this.generate(request)
    }
  }

  async #login(request: Request, owner: unknown, limits?: Limits): Promise<void> {
    const owner_id = ownerId(owner) ?? check.fail('owner', 'a string or a number')
    const { session, sessionID } = request
    const old = this.#heldAs(sessionID, session)
    this.generate(request)
    const { session: renewed, sessionID: sid } = request
    Object.assign(renewed, session)
    const held = this.#sessions.create(sid)
    this.#held.set(renewed, held)
    try {
      // Of one owner the old session would count against the limit.
      if (old?.owner_id === owner_id) await this.#sessions.end(sessionID)
      await held.save(withoutEnd(renewed), {
        owner_id,
        ...this.#sessions.limits,
        ...limits
      })
      await this.#sessions.end(sessionID)
    } catch (error) {
      Object.assign(request, { session, sessionID })
      throw error
    }
  }

  async #all(): Promise<SessionData[]> {
    const sessions: SessionData[] = []
    for await (const { id, attrs, expires_at } of this.tokens.all())
      sessions.push({ ...withEnd(attrs, expires_at), id } as SessionData)
    return sessions
  }

  /** What an object was loaded of or saved as, under this very sid. */
  #heldAs(sid: string, session: object): HeldSession<SessionData> | undefined {
    const held = this.#held.get(session)
    return held?.sid === sid ? held : undefined
  }
}
