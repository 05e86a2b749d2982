import { limitArgs } from '../args'
import * as check from '../check'
import { CONFIG_NAMES, readConfig, type Settings } from '../config'
import { Tokenstore } from '../main'
import { Store } from '../store'
import { setImmediate } from '../timers'
import type { Config, NewToken } from '../types'
import { changedFields, fieldsOf, type Fields } from './fields'
import { HeldSession } from './held-session'
import { ownerId } from './owner-id'
import { with503 } from './with-503'

/** At most so many sessions of an owner, see `add` of the Tokenstore. */
export type Limits = Pick<NewToken, 'limit' | 'onLimit'>

/** What the stores of all frameworks take. */
export interface SessionOptions<Data extends object> extends Limits, Omit<Config, 'digest'> {
  /**
   * A store with `digest: true` to keep the sessions in, instead of the options of a
   * new one.
   */
  tokens?: Tokenstore<Data, true> | undefined
  /** Whose session it is. One without an owner is nobody's: no list shows it. */
  owner?: ((session: Data) => string | number | null | undefined) | undefined
  /** Seconds that a session lives after its last use when its cookie has no age. Default 86400. */
  idle?: number | null | undefined
  /** Seconds after which a session ends, used or not. Default: never. */
  ttl?: number | null | undefined
  /**
   * What to do when a session that the client already had gets an owner without a new id, by
   * which somebody else may have planted it: nothing, a warning once (the default), or an error
   * and no write.
   */
  onPromote?: 'allow' | 'warn' | 'refuse' | undefined
  /**
   * Whether a save writes only the fields that its request changed, over those of a faster
   * one. Default true; false writes what the request has.
   */
  merge?: boolean | undefined
}

const OWN_NAMES = ['tokens', 'owner', 'limit', 'onLimit', 'onPromote', 'merge']

const DAY_MS = 86_400_000

/** The sessions of a web framework as tokens, each under the digest of its sid. */
export class Sessions<Data extends object> {
  readonly tokens: Tokenstore<Data, true>
  readonly owner: (session: Data) => string | undefined
  readonly limits: Limits
  readonly onPromote: 'allow' | 'warn' | 'refuse'
  readonly merge: boolean
  /** Called with the id of a session that a request wanted to save, but which has ended. */
  readonly gone: (id: string) => void
  /** Milliseconds. */
  readonly idle: number | null
  readonly ttl: number | null
  #turn: Promise<void> | undefined
  /** How long a session lives after its last use, by its cookie: milliseconds, or null. */
  readonly maxAge: (session: Data) => number | null

  constructor(
    options: SessionOptions<Data>,
    maxAge: (session: Data) => number | null,
    gone: (id: string) => void
  ) {
    this.maxAge = maxAge
    this.gone = gone
    check.object('options', options, [...OWN_NAMES, ...CONFIG_NAMES])
    const { tokens, owner, idle, ttl, limit, onLimit, ...more } = options
    const { onPromote = 'warn', merge = true, ...config } = more
    const lifetimes = { idle: idle === undefined ? DAY_MS / 1000 : idle, ttl }
    const given = Object.entries(config).flatMap(([name, value]) =>
      value === undefined ? [] : name
    )
    if (given.includes('digest')) check.fail('options', 'without digest: a session always has one')
    if (tokens !== undefined && given.length > 0)
      check.fail('options', `without ${given[0]} when tokens is given`)
    const whole = { ...config, ...lifetimes, digest: true } as const
    const settings = suitable(tokens === undefined ? readConfig(whole) : Store.settingsOf(tokens))
    this.idle = check.lifetime('idle', idle, settings.idle ?? DAY_MS)
    this.ttl = check.lifetime('ttl', ttl, settings.ttl)
    if (owner !== undefined && typeof owner !== 'function')
      check.fail('owner', 'a function from a session to the id of its owner')
    this.owner = (session) => ownerId(owner?.(session))
    this.limits = { limit, onLimit }
    limitArgs(this.limits)
    if (!['allow', 'warn', 'refuse'].includes(onPromote))
      check.fail('onPromote', "'allow', 'warn' or 'refuse'")
    this.onPromote = onPromote
    this.merge = check.boolean('merge', merge)
    // Last, since it opens a connection.
    this.tokens = tokens ?? Tokenstore<Data>(whole)
  }

  /** The session of a sid, or null. A use of it. */
  async load(sid: unknown): Promise<HeldSession<Data> | null> {
    await this.#othersOfThisTurn()
    const token = await with503(this.tokens.getKey(sid))
    return token === null ? null : new HeldSession(this, String(sid), token)
  }

  /**
   * Each request comes in a tick of its own, but those that the event loop found together load
   * their sessions together: `getKey` sends the calls of one tick in one command.
   */
  #othersOfThisTurn(): Promise<void> {
    this.#turn ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#turn = undefined
        resolve()
      })
    })
    return this.#turn
  }

  /** A session that is not saved yet. */
  create(sid: string): HeldSession<Data> {
    return new HeldSession(this, sid)
  }

  /** Whether what was one session is, under a new sid, still the same login. */
  isKept(before: Data, now: Data): boolean {
    const owner = this.owner(before)
    if (owner !== this.owner(now)) return false
    return owner !== undefined || changedFields(before as Fields, fieldsOf(now)).length === 0
  }

  /** Ends the session of a sid. False when there was none. */
  end(sid: unknown): Promise<boolean> {
    return with503(this.tokens.delKey(sid))
  }
}

function suitable(settings: Settings | undefined): Settings {
  if (!settings?.digest) check.fail('tokens', 'a Tokenstore with digest: true')
  if (settings.layout.tagPattern !== '')
    check.fail('prefix', 'one with a hash tag, such as {token}: a sid has none to find its slot by')
  return settings
}
