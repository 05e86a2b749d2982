import type { FastifySessionObject, SessionStore as Store } from '@fastify/session'
import { LRUCache } from 'lru-cache'
import { EventEmitter } from 'node:events'
import { settle, type Callback } from '../callbacks'
import * as check from '../check'
import { digestOf } from '../digest'
import type { Tokenstore } from '../main'
import { maxAgeOf } from './cookie'
import type { HeldSession } from './held-session'
import { logIn } from './login'
import { Sessions, type Limits, type SessionOptions } from './sessions'

/** What an app says that a session has: `Session` of fastify. */
type Session = Parameters<Store['set']>[1]
type Cookie = Session['cookie']

/** What a store takes of a Fastify request. */
interface Request {
  /** Null after its destroy(). */
  session: FastifySessionObject | null
  readonly server: {
    decryptSession(cookie: string, request: Request, callback: (error?: Error) => void): void
  }
}

export type SessionStoreOptions = SessionOptions<Session>

/** The property of a session that was loaded which says so. JSON leaves it out. */
const LOADED = 'tokenstore:loaded'

class Loaded {
  toJSON(): void {}
}

const MAX_ASKED = 10_000

/** What was found under a sid. */
interface Asked {
  live: boolean
  owner_id: string | undefined
}

/**
 * A store for @fastify/session. Every method takes a callback, and returns a promise as well.
 * Emits `'gone'` for a session that a request wanted to save, but that had ended meanwhile:
 * with its id, or with null when that request has tried to reload it since.
 *
 * A session that was loaded has one property more, `'tokenstore:loaded'`, which is not stored.
 *
 * A sid that was asked for in vain, or was ended, is never made a session of, so an
 * `idGenerator` has to draw sids at random, as that of @fastify/session does.
 */
export class SessionStore extends EventEmitter<{ gone: [id: string | null] }> implements Store {
  readonly #sessions: Sessions<Session>
  /** What was loaded with a mark, or saved as an object of @fastify/session. */
  readonly #held = new WeakMap<object, HeldSession<Session>>()
  /**
   * Sids that a client has or had, by their digests: none of them is created again. An app may
   * delete the mark of a session that was loaded, and a request that reloads one in vain gets an
   * empty one with its sid.
   */
  readonly #asked = new LRUCache<string, Asked>({ max: MAX_ASKED })
  /** While regenerate() saves a session under a new sid: whose it was, if others had ended it. */
  #lost: string | undefined

  constructor(options: SessionStoreOptions = {}) {
    super()
    check.plain('options', options)
    this.#sessions = new Sessions(options, maxAgeOf, (id) => this.emit('gone', id))
  }

  /** The sessions as tokens: to list, count and end those of an owner. */
  get tokens(): Tokenstore<Session, true> {
    return this.#sessions.tokens
  }

  /**
   * The public id of the session of a request, by which `tokens` knows it; undefined before its
   * first save.
   */
  idOf({ session }: Pick<Request, 'session'>): string | undefined {
    return session ? this.#heldAs(session.sessionId, session)?.id : undefined
  }

  /** The session of a sid, or null. A use of it, so that a save need not write. */
  get(sid: string, callback?: Callback<Session | null>): Promise<Session | null> {
    return settle(this.#get(sid), callback)
  }

  /**
   * Saves a session: a new one is created, one that was loaded is written where it was changed,
   * one that has ended since is not. Nothing is sent when nothing was changed.
   */
  set(sid: string, session: Session, callback?: Callback<void>): Promise<void> {
    return settle(this.#set(sid, session), callback)
  }

  /** Ends a session: no save that is under way brings it back. */
  destroy(sid: string, callback?: Callback<void>): Promise<void> {
    const owner_id = this.#asked.get(digestOf(sid))?.owner_id
    this.#note(sid, null)
    let lost: string | undefined
    const destroyed = this.#sessions
      .end(sid)
      .then((ended) => void (lost = ended ? undefined : owner_id))
    // In this callback regenerate() saves the session under its new sid.
    const told: typeof callback = (error) => {
      this.#lost = lost
      try {
        callback?.(error)
      } finally {
        this.#lost = undefined
      }
    }
    return settle(destroyed, callback && told)
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

  async #get(sid: string): Promise<Session | null> {
    let held: HeldSession<Session> | null = null
    try {
      held = await this.#sessions.load(sid)
    } finally {
      // When Redis did not answer, too: then a reload leaves the same empty session.
      this.#note(sid, held)
    }
    if (held === null) return null
    const mark = new Loaded()
    this.#held.set(mark, held)
    return Object.assign(asLoaded(held.data), { [LOADED]: mark })
  }

  async #set(sid: string, session: Session): Promise<void> {
    const stored = asStored(session)
    const lost = this.#lost !== undefined && this.#sessions.owner(stored) === this.#lost
    if (lost) this.#note(sid, null)
    const known = this.#heldAs(sid, session)
    const asked = this.#asked.get(digestOf(sid))
    // One that is new is sent at once: a destroy right behind it must come later.
    const created = known ?? (asked ? undefined : this.#sessions.create(sid))
    const held = created ?? (asked?.live ? await this.#sessions.load(sid) : null)
    if (held === null) return void this.emit('gone', null)
    this.#held.set(session, held)
    await held.save(stored)
  }

  async #login(request: Request, owner: unknown, limits?: Limits): Promise<void> {
    const session = request.session ?? (await newSession(request))
    const sid = session.sessionId
    const old = { sid, held: this.#heldAs(sid, session) }
    try {
      const renewed = await newSession(request)
      // Not its symbols, by which @fastify/session knows its sid.
      Object.assign(renewed, Object.fromEntries(Object.entries(session)))
      const held = this.#sessions.create(renewed.sessionId)
      this.#held.set(renewed, held)
      await logIn(this.#sessions, old, held, asStored(renewed), { owner, ...limits })
      // Writes nothing. @fastify/session sends the cookie of a session that it has saved.
      await renewed.save()
    } catch (error) {
      request.session = session
      throw error
    }
  }

  /** What an object was loaded of or saved as, under this very sid. */
  #heldAs(sid: string, session: object): HeldSession<Session> | undefined {
    const { [LOADED]: mark = session } = session as { [LOADED]?: Loaded }
    const held = this.#held.get(session) ?? this.#held.get(mark)
    return held?.sid === sid ? held : undefined
  }

  #note(sid: string, held: HeldSession<Session> | null): void {
    this.#asked.set(digestOf(sid), { live: held !== null, owner_id: held?.owner_id })
  }
}

/**
 * A session as it is stored. When one ends whose cookie has an age is what Redis says, so its
 * cookie does not.
 */
function asStored(session: Session): Session {
  if (!session.cookie) return session
  const cookie = JSON.parse(JSON.stringify(session.cookie)) as Cookie
  const ends = { expires: fixedEnd(cookie) ?? undefined, originalExpires: undefined }
  return { ...session, cookie: { ...cookie, ...ends } }
}

/**
 * A session as @fastify/session takes it. It counts a cookie with an age from now, and a session
 * as ended at the `expires` of its cookie; null keeps that of its own options out.
 */
function asLoaded(session: Session): Session {
  if (!session.cookie) return session
  return { ...session, cookie: { ...session.cookie, expires: fixedEnd(session.cookie) } }
}

/** When a session ends, used or not; null for one whose cookie has an age, or no end. */
function fixedEnd({ originalMaxAge, expires }: Cookie): Date | null {
  const end = new Date(originalMaxAge == null && expires ? expires : NaN)
  return Number.isNaN(end.getTime()) ? null : end
}

/** Gives a request a new session. */
function newSession(request: Request): Promise<FastifySessionObject> {
  return new Promise((resolve, reject) => {
    // No signed cookie is empty, so no session is loaded.
    request.server.decryptSession('', request, (error) =>
      error ? reject(error) : resolve(request.session!)
    )
  })
}
