import { once } from 'node:events'
import type { Redis, RedisOptions } from 'ioredis'
import { apart, ONE_CONNECTION } from './client'
import { fromRedis } from './errors'
import { clearTimeout, now, setTimeout, today, within } from './timers'

const CHANNEL = '__redis__:invalidate'
// Of a silence: so often it is proven that there is none.
const PROOFS = 4
// Pauses before another try: the first, the longest, and the longest when Redis refused.
const RETRY_MS = 50
const MAX_RETRY_MS = 1000
const REFUSED_MS = 10_000
// So many tries that fail while `server` answers: a proxy that closes what it does not know.
const REFUSED_AFTER = 5

const TRACKING: RedisOptions = {
  ...ONE_CONNECTION,
  // In RESP3, the default of ioredis 6, it would drop what Redis tells.
  protocol: 2,
  autoResubscribe: false
}

/** What a tracker hears. */
export interface Listener {
  /** A name was written or deleted. */
  changed(name: string): void
  /** All names of the server were deleted at once. */
  flushed(): void
  /** From here on changes may go untold. */
  lost(): void
  /** It cannot be told, and not for want of a connection. */
  refused(error: Error): void
}

export interface TrackerOptions {
  keyPrefix: string
  /** What the names begin with that it is told of, behind the prefix. */
  tracked: readonly string[]
  /** Milliseconds that it may go without a proof. */
  silence: number
  /** Milliseconds within which Redis must answer. */
  timeout: number
  /** A root that lies on the server of that name. */
  rootOf(name: string): string | undefined
}

/** When, by two clocks, something was asked, and the time of Redis when it was answered. */
interface Proof {
  at: number
  today: number
  /** Unix ms. */
  time: number
}

/**
 * Is told by one server which names change, on a connection of its own (client-side caching in
 * broadcasting mode, https://redis.io/docs/latest/develop/reference/client-side-caching/). Since
 * a silent connection looks like one on which nothing happens, it keeps proving that it is none:
 * Redis answers a PING behind all that it had to tell before.
 */
export class Tracker {
  /** What the server is called; '' for the only one. */
  readonly name: string
  /** The connection on which names of this server are read. */
  readonly server: Redis
  /** Why Redis does not tell, other than for want of a connection. */
  refused: Error | undefined
  /** What this has to put before a name, since `server` does not. */
  readonly #prefix: string
  readonly #tracked: readonly string[]
  readonly #silence: number
  readonly #timeout: number
  readonly #rootOf: TrackerOptions['rootOf']
  readonly #listener: Listener
  #closed = false
  #redis: Redis | undefined
  /** The socket of `server` that it speaks for. */
  #socket: unknown
  #proof: Proof | undefined
  /** How many tries have failed in a row though `server` answers. */
  #strange = 0
  #hurry = false
  #wake: (() => void) | undefined

  constructor(
    [name, server]: [name: string, server: Redis],
    { keyPrefix, tracked, silence, timeout, rootOf }: TrackerOptions,
    listener: Listener
  ) {
    this.name = name
    this.server = server
    this.#prefix = server.options.keyPrefix ? '' : keyPrefix
    this.#tracked = tracked.map((start) => keyPrefix + start)
    this.#silence = silence
    this.#timeout = timeout
    this.#rootOf = rootOf
    this.#listener = listener
    void this.#run()
  }

  /** Whether changes are told. */
  get hears(): boolean {
    return this.#proof !== undefined
  }

  get ended(): boolean {
    return this.#closed || this.server.status === 'end'
  }

  /** When the last proof was asked for, by `now()`. */
  get provenAt(): number {
    return this.#proof?.at ?? -Infinity
  }

  /** Milliseconds since then, by the clock that went further: one stops while a machine sleeps. */
  get age(): number {
    const proof = this.#proof
    // Another connection may lead to another server.
    if (!proof || this.server.stream !== this.#socket) return Infinity
    return Math.max(now() - proof.at, today() - proof.today)
  }

  /** Unix ms, no earlier than the time of Redis, unless its clock was set since the proof. */
  timeAt(age: number): number {
    return this.#proof!.time + age
  }

  /** Asks for a proof now, not only when the next is due; without one tries anew. */
  hasten(): void {
    this.#hurry = true
    if (!this.hears) this.refused = undefined
    this.#wake?.()
  }

  /** The texts under names, read from this very server. */
  async texts(names: string[]): Promise<(string | null)[]> {
    return this.#answer(this.server.mget(names.map((name) => this.#prefix + name)))
  }

  close(): void {
    this.#closed = true
    this.#disconnect()
    this.#wake?.()
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.ended) {
      try {
        await this.#begin()
        for (;;) {
          await this.#prove()
          failures = 0
          this.#strange = 0
          this.refused = undefined
          await this.#pause(this.#hurry ? 0 : this.#silence / PROOFS)
        }
      } catch (error) {
        failures++
        this.#disconnect()
        await this.#failed(error as Error)
      }
      const longest = this.refused ? REFUSED_MS : MAX_RETRY_MS
      await this.#pause(Math.min(RETRY_MS * 2 ** failures, longest))
    }
    this.close()
  }

  async #failed(error: Error): Promise<void> {
    const unavailable = fromRedis('', error).code === 'TSUNAVAILABLE'
    const answers = unavailable && (await this.#answer(this.server.ping()).catch(() => false))
    this.#strange = answers ? this.#strange + 1 : 0
    if (this.#closed || (unavailable && this.#strange < REFUSED_AFTER)) return
    this.refused = error
    this.#listener.refused(error)
  }

  #connect(): Redis {
    const redis = apart(this.server, TRACKING)
    redis.on('error', () => {})
    redis.on('connect', () => redis.stream.unref())
    redis.on('close', () => {
      if (redis !== this.#redis) return
      this.#lose()
      this.#wake?.()
    })
    redis.on('messageBuffer', (_channel: Buffer, names: Buffer[] | null) => {
      if (names === null) this.#listener.flushed()
      // Anybody may publish a text there.
      else if (Array.isArray(names)) for (const name of names) this.#listener.changed(String(name))
    })
    this.#redis = redis
    return redis
  }

  async #begin(): Promise<void> {
    const redis = this.#connect()
    // The one may still be connecting, too.
    await this.#answer(Promise.all([this.server.ping(), once(redis, 'ready')]))
    // Another one, from here on, may lead to another server than that which is asked who it is.
    this.#socket = this.server.stream
    const id = await this.#answer(redis.client('ID'))
    const prefixes = this.#tracked.flatMap((start) => ['PREFIX', start])
    const tracking = ['TRACKING', 'ON', 'REDIRECT', id, 'BCAST', ...prefixes]
    await this.#answer(redis.call('CLIENT', ...tracking))
    const [read, told] = await this.#answer(Promise.all([this.server, redis].map(runIdOf)))
    if (read !== told) throw new Error('it led to another server')
    await this.#answer(redis.subscribe(CHANNEL))
  }

  /** One at a time, or what happened before it was asked might be told behind the answer. */
  async #prove(): Promise<void> {
    this.#hurry = false
    const root = this.#rootOf(this.name)
    // A cluster has moved them all away.
    if (root === undefined) this.#closed = true
    if (root === undefined) throw new Error('it holds no names of the store')
    const asked = { at: now(), today: today() }
    const answers = [
      this.#redis!.ping(),
      // A master that was deposed answers PING, but not for its names.
      this.server.exists(this.#prefix + root),
      this.server.time()
    ] as const
    const [, , time] = await this.#answer(Promise.all(answers))
    if (this.server.stream !== this.#socket) throw new Error('the connection was lost')
    const [seconds, micros] = time.map(Number) as [number, number]
    this.#proof = { ...asked, time: seconds * 1000 + micros / 1000 }
  }

  #answer<T>(promise: Promise<T>): Promise<T> {
    return within(this.#timeout, promise)
  }

  #disconnect(): void {
    this.#lose()
    this.#redis?.disconnect()
    this.#redis = undefined
  }

  #lose(): void {
    const heard = this.hears
    this.#proof = undefined
    if (heard) this.#listener.lost()
  }

  async #pause(ms: number): Promise<void> {
    if (this.#closed) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref()
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** What tells two servers apart, also behind the same address. */
async function runIdOf(redis: Redis): Promise<string> {
  const [, id] = /^run_id:(\w+)/m.exec(await redis.info('server')) ?? []
  if (id === undefined) throw new Error('NORUNID in what INFO answers')
  return id
}
