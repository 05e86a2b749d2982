import { Store, type Session, type SessionData } from 'express-session'
import { settle, type Callback } from '../callbacks'
import type { Tokenstore } from '../main'
import { maxAgeOf, withEnd, withoutEnd } from './cookie'
import type { HeldSession } from './held-session'
import { logIn } from './login'
import { Sessions, type Limits, type SessionOptions } from './sessions'
import { with503 } from './with-503'

/** What a store takes of an Express request. */
interface Request {
  session: Session & Partial<SessionData>
  sessionID: string
}

/** What a request works on has a property with the request. */
type Handled = object & { req?: object }

/** A session as `all` gives it. */
export type ListedSession = SessionData & { id: string }

export type SessionStoreOptions = SessionOptions<SessionData>

/**
 * A store for express-session. Every method takes a callback, and returns a promise as well.
 * Emits `'gone'` with the id of a session that a request wanted to save, but that had ended
 * meanwhile.
 */
export class SessionStore extends Store {
  readonly #sessions: Sessions<SessionData>
  /** What was loaded of, or saved as, the objects that express-session handles. */
  readonly #held = new WeakMap<object, HeldSession<SessionData>>()
  /** By a session with a new sid: what it took the place of, but somebody else had ended. */
  readonly #lost = new WeakMap<object, HeldSession<SessionData>>()
  /** Gives a request a new session; set by express-session. */
  declare generate: (request: Request) => void

  constructor(options: SessionStoreOptions = {}) {
    super()
    this.#sessions = new Sessions(options, maxAgeOf, (id) => this.emit('gone', id))
  }

  /** The sessions as tokens: to list, count and end those of an owner. */
  get tokens(): Tokenstore<SessionData, true> {
    return this.#sessions.tokens
  }

  /**
   * The public id of the session of a request, by which `tokens` knows it; undefined before its
   * first save.
   */
  idOf({ session, sessionID }: Request): string | undefined {
    return this.#heldAs(sessionID, session)?.id
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

  /**
   * Writes the lifetime of a session when that of its cookie has changed. Else it calls back
   * before it returns: then express-session sends its response in one piece.
   */
  override touch(sid: string, session: SessionData, callback?: Callback<void>): Promise<void> {
    const held = this.#heldAs(sid, session)
    if (!isSaved(held, session)) return settle(this.#touch(sid, session, held), callback)
    callback?.(null)
    return Promise.resolve()
  }

  /** Ends a session: no save that is under way brings it back. */
  override destroy(sid: string, callback?: Callback<void>): Promise<void> {
    return unseen(settle(this.#destroy(sid), callback))
  }

  /** Ends the session of a request and gives it a new, empty one. */
  override regenerate(request: Request, callback?: Callback<void>): Promise<void> {
    return unseen(settle(this.#regenerate(request), callback))
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
    options?: Limits | Callback<void>,
    callback?: Callback<void>
  ): Promise<void> {
    const [limits, done] = typeof options === 'function' ? [{}, options] : [options, callback]
    return settle(this.#login(request, owner, limits), done)
  }

  /** All sessions, each with the public `id` of its token. Walks the whole store. */
  override all(callback?: Callback<ListedSession[]>): Promise<ListedSession[]> {
    return settle(with503(this.#all()), callback)
  }

  /** How many sessions there are. Walks the whole store. */
  override length(callback?: Callback<number>): Promise<number> {
    return settle(with503(this.#length()), callback)
  }

  /** Ends all sessions: all that is in the store, see `Tokenstore.reset`. */
  override clear(callback?: Callback<void>): Promise<void> {
    return settle(
      with503(this.tokens.reset()).then(() => {}),
      callback
    )
  }

  /** The session of a sid as a request works on it, or undefined. A use of it. */
  override load(
    sid: string,
    callback?: Callback<(Session & SessionData) | undefined>
  ): Promise<(Session & SessionData) | undefined> {
    return settle(this.#load(sid), callback)
  }

  /** Called by express-session to make the object that a request works on of what `get` gave. */
  override createSession(request: Request, data: SessionData): Session & SessionData {
    const held = this.#held.get(data)
    const session = super.createSession(request as never, data)
    if (held) this.#hold(session, held)
    return session
  }

  async #get(sid: string): Promise<SessionData | null> {
    const held = await this.#sessions.load(sid)
    if (held === null) return null
    const session = withEnd(held.data, held.expires_at)
    this.#held.set(session, held)
    return session
  }

  async #load(sid: string): Promise<(Session & SessionData) | undefined> {
    const data = await this.#get(sid)
    const request = { sessionID: sid, sessionStore: this }
    return data === null ? undefined : this.createSession(request as never, data)
  }

  async #set(sid: string, session: SessionData): Promise<void> {
    const data = withoutEnd(session)
    const known = this.#heldAs(sid, session) ?? this.#heir(session, data)
    const held = known ?? this.#sessions.create(sid)
    this.#hold(session, held)
    await held.save(data)
  }

  /**
   * What a session that was regenerated took the place of, if somebody else had ended that and
   * nobody new has logged in: then it stays ended.
   */
  #heir(session: object, data: SessionData): HeldSession<SessionData> | undefined {
    const lost = this.#lost.get(session)
    return lost && lost.owner_id === this.#sessions.owner(data) ? lost : undefined
  }

  async #touch(
    sid: string,
    session: SessionData,
    known: HeldSession<SessionData> | undefined
  ): Promise<void> {
    const { cookie } = withoutEnd(session)
    const held = known ?? (await this.#sessions.load(sid))
    await held?.saveOnly({ cookie })
  }

  async #destroy(sid: string): Promise<void> {
    await this.#sessions.end(sid)
  }

  async #regenerate(request: Request): Promise<void> {
    const old = this.#heldAs(request.sessionID, request.session)
    let lost: HeldSession<SessionData> | undefined
    try {
      const ended = await this.#sessions.end(request.sessionID)
      if (!ended) lost = old
    } finally {
      this.#held.delete(request)
      this.generate(request)
    }
    if (lost) this.#lost.set(request.session, lost)
  }

  async #login(request: Request, owner: unknown, limits?: Limits): Promise<void> {
    const { session, sessionID } = request
    const old = { sid: sessionID, held: this.#heldAs(sessionID, session) }
    try {
      this.generate(request)
      const { session: renewed, sessionID: sid } = request
      Object.assign(renewed, session)
      const held = this.#sessions.create(sid)
      this.#hold(renewed, held)
      await logIn(this.#sessions, old, held, withoutEnd(renewed), { owner, ...limits })
    } catch (error) {
      Object.assign(request, { session, sessionID })
      throw error
    }
  }

  async #all(): Promise<ListedSession[]> {
    const sessions: ListedSession[] = []
    for await (const { id, attrs, expires_at } of this.tokens.all())
      sessions.push({ ...withEnd(attrs, expires_at), id })
    return sessions
  }

  async #length(): Promise<number> {
    let sessions = 0
    for (const tokens = this.tokens.all(); !(await tokens.next()).done;) sessions++
    return sessions
  }

  #hold(session: Handled, held: HeldSession<SessionData>): void {
    this.#held.set(session, held)
    // Without a request it is a field of the session, if anything.
    if (session.req && typeof session.req === 'object') this.#held.set(session.req, held)
  }

  /** What a session was loaded of or saved as, under this very sid. */
  #heldAs(sid: string, session: Handled | undefined): HeldSession<SessionData> | undefined {
    // By its request, should the app have put a Proxy around it.
    const known = [session, session?.req].map((object) => object && this.#held.get(object))
    return known.find((held) => held?.sid === sid)
  }
}

/** Whether a touch has nothing to do. When that cannot be told, the touch says why. */
function isSaved(held: HeldSession<SessionData> | undefined, session: SessionData): boolean {
  try {
    return held?.isSaved({ cookie: withoutEnd(session).cookie }) ?? false
  } catch {
    return false
  }
}

/** Nobody sees the promise of a `session.destroy()` without a callback, should it reject. */
function unseen<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
