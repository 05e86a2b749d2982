import { EventEmitter } from 'node:events'
import type { Tokenstore } from '../main'
import type { HeldSession } from './held-session'
import { storedMaxAge } from './max-age'
import { Sessions, type SessionOptions } from './sessions'

export type SessionStoreOptions<Data extends object> = SessionOptions<Data>

/** What koa-session says of a call: the Koa context of its request. */
interface Call {
  ctx?: object & { sessionOptions?: { renew?: boolean; rolling?: boolean } }
}

/**
 * A store for koa-session. A session lives for its `maxAge` after its last use, one with
 * `maxAge: 'session'` for the option `idle`. `rolling` and `renew` renew the cookie with each
 * response, and write nothing.
 *
 * Renew the sid at login: set the user, then `await ctx.session.regenerate()`. That ends the
 * session and creates it again under a new sid, unless somebody else had ended it and its
 * `owner` is still the same: a logout stays one. (Without `owner` it is.)
 *
 * Emits `'gone'` with the id of a session that a request wanted to save, but that had ended
 * meanwhile.
 */
export class SessionStore<Data extends object = Record<string, unknown>> extends EventEmitter<{
  gone: [id: string]
}> {
  readonly #sessions: Sessions<Data>
  /** What each request loaded or saved last. */
  readonly #held = new WeakMap<object, HeldSession<Data>>()
  /** What a request loaded, but somebody else ended before it could. */
  readonly #lost = new WeakMap<object, HeldSession<Data>>()

  constructor(options: SessionStoreOptions<Data> = {}) {
    super()
    this.#sessions = new Sessions(options, storedMaxAge, (id) => this.emit('gone', id))
  }

  /** The sessions as tokens: to list, count and end those of an owner. */
  get tokens(): Tokenstore<Data, true> {
    return this.#sessions.tokens
  }

  /** The session of a sid, or null. A use of it. */
  async get(sid: string, _maxAge: unknown, { ctx = {} }: Call = {}): Promise<Data | null> {
    const held = await this.#sessions.load(sid)
    if (held === null) return null
    this.#held.set(ctx, held)
    // A use moves the end of the session, so none is ever seen near it, but its cookie may be.
    if (ctx.sessionOptions?.renew) ctx.sessionOptions.rolling = true
    return held.data
  }

  /**
   * Saves a session: a new one is created, one that was loaded is written where it was
   * changed, one that has ended since is not.
   */
  async set(sid: string, session: Data, _maxAge: unknown, { ctx = {} }: Call = {}): Promise<void> {
    const data = { ...session, _expire: undefined }
    const held = this.#heldFor(sid, data, ctx)
    this.#held.set(ctx, held)
    await held.save(data)
  }

  /** Ends a session: no save that is under way brings it back. */
  async destroy(sid: string, { ctx = {} }: Call = {}): Promise<void> {
    const held = this.#held.get(ctx)
    const ended = await this.#sessions.end(sid)
    if (held?.sid === sid && !ended) this.#lost.set(ctx, held)
    this.#held.delete(ctx)
  }

  #heldFor(sid: string, data: Data, ctx: object): HeldSession<Data> {
    const held = this.#held.get(ctx)
    if (held?.sid === sid) return held
    const lost = this.#lost.get(ctx)
    return lost && this.#sessions.isKept(lost.data, data) ? lost : this.#sessions.create(sid)
  }
}
