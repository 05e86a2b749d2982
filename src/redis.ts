import { Redis, type Cluster, type RedisOptions } from 'ioredis'
import * as check from './check'
import { Confirmer } from './confirm'
import { Cork, type Corkable } from './cork'
import { errorOf, errorText, fromRedis, type TokenstoreError } from './errors'
import { slotOf } from './layout'
import { scripts, type ScriptName } from './scripts'

type Listener = (...args: unknown[]) => void

/** What the store uses of an ioredis `Redis` or `Cluster`, so that a client of another ioredis version fits too. */
export interface RedisClient {
  readonly status: string
  readonly isCluster?: boolean
  readonly options: { keyPrefix?: string }
  readonly stream?: Corkable
  defineCommand(name: string, definition: { lua: string; numberOfKeys?: number }): void
  connect(): Promise<unknown>
  disconnect(): void
  quit(): Promise<unknown>
  refreshSlotsCache?(): void
  on(event: string, listener: Listener): unknown
  off(event: string, listener: Listener): unknown
}

type Commands = Record<string, (...args: (string | number)[]) => Promise<unknown>>

/** One node of what the store is connected to, as far as a walk over its names needs it. */
export interface Node {
  scan(cursor: string, match: 'MATCH', pattern: string, count: 'COUNT', n: number): Promise<[string, string[]]>
}

/** A call on its way. */
export interface Call {
  /** When it is over, by `performance.now()`. */
  readonly deadline: number
  /** Whether it has been answered, in whatever way. */
  settled: boolean
}

interface Waiting extends Call {
  send(): void
  fail(error: TokenstoreError): void
}

// A name that shadows no method on a client which others share, and a new one whenever the script changes.
const COMMANDS = Object.fromEntries(
  Object.entries(scripts).map(([name, { sha1 }]) => [name, `tokenstore:${name}:${sha1.slice(0, 8)}`])
) as Record<ScriptName, string>

// What a cluster answers for a slot that is moving or has moved, before anything was done. Scripts read with their root
// first, so that they fail as a whole, in the words of Redis 7 or of Redis 8; the rest reaches us only from pipelines, which
// ioredis cannot redirect.
const NOT_HERE = /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN) |non local key|accessed during rehashing of the slot/
const RETRY_MS = 50

/**
 * The connection to Redis: the caller's own, or one that this opens and closes.
 * Adds to ioredis that a call is sent once or not at all, is answered in time, and fails without its arguments.
 */
export class Connection {
  readonly #client: RedisClient
  readonly #commands: Commands
  readonly #owned: boolean
  readonly #timeout: number
  readonly #cork = new Cork()
  readonly #waiting = new Set<Waiting>()
  /** By the server they write to. */
  readonly #confirmers = new Map<string, Confirmer>()
  readonly #unconfirmed = new Set<Promise<unknown>>()
  #stopListening: (() => void) | undefined
  #lastError = ''
  #closing: Promise<void> | undefined

  constructor(redis: RedisClient | RedisOptions | string, timeout: number) {
    this.#owned = !isClient(redis)
    this.#client = isClient(redis) ? redis : this.#watch(open(redis, timeout))
    this.#commands = this.#client as unknown as Commands
    this.#timeout = timeout
    for (const [name, command] of Object.entries(COMMANDS)) {
      if (command in this.#client) continue
      this.#client.defineCommand(command, { lua: scripts[name as ScriptName].lua, numberOfKeys: 1 })
    }
  }

  /** What ioredis puts before every key; SCAN patterns and replies it leaves alone. */
  get keyPrefix(): string {
    return keyPrefixOf(this.#client)
  }

  /** The servers that hold names: the one, or every master of a cluster. */
  nodes(): Promise<Node[]> {
    const client = this.#client as unknown as Node & { nodes(role: 'master'): Node[] }
    // A cluster knows its masters only once it is connected.
    return this.send('reset', () => Promise.resolve(isCluster(this.#client) ? client.nodes('master') : [client]))
  }

  /** Runs a script on a root. With `replicas`, a write is answered once so many replicas have it. */
  run(script: ScriptName, root: string, args: readonly (string | number)[], replicas = 0): Promise<unknown> {
    if (replicas > 0) return this.#confirmed(script, root, args, replicas)
    return this.send(script, () => {
      // A batch of keys is large enough to be worth a write.
      if (script !== 'getkey') this.#cork.hold(this.#client.stream)
      return this.#commands[COMMANDS[script]]!(root, ...args)
    })
  }

  async #confirmed(
    script: ScriptName,
    root: string,
    args: readonly (string | number)[],
    replicas: number
  ): Promise<unknown> {
    const name = this.keyPrefix + root
    const sent = this.send(script, (call) => this.#confirmerOf(name).run(call, script, [name, ...args], replicas))
    this.#unconfirmed.add(sent)
    const [reply, confirmed, why] = await sent.finally(() => this.#unconfirmed.delete(sent))
    // Also when there was nothing to do: what an earlier, unconfirmed call did may be undone yet.
    if (confirmed >= replicas) return reply
    const because = why && `: ${why}`
    throw errorOf('TSREPLICATION', `${script}: done, but confirmed by ${confirmed} of ${replicas} replicas${because}`)
  }

  /**
   * Sends a command as soon as the connection is ready. What is not sent within the timeout never is:
   * in ioredis's own queue it would still be, long after the caller was told that it failed.
   */
  send<T>(operation: string, command: (call: Call) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let retry: NodeJS.Timeout | undefined
      const settle = (): void => {
        call.settled = true
        clearTimeout(timer)
        clearTimeout(retry)
        this.#waiting.delete(call)
      }
      const fail = (error: TokenstoreError): void => {
        settle()
        // Another master may have taken over from one that is gone, or hangs.
        if (error.code === 'TSUNAVAILABLE') this.#client.refreshSlotsCache?.()
        reject(error)
      }
      const failed = (error: Error): void => {
        if (call.settled) return
        if (!NOT_HERE.test(error.message)) return fail(fromRedis(operation, error))
        this.#client.refreshSlotsCache?.()
        retry = setTimeout(send, RETRY_MS)
      }
      const send = (): void => {
        this.#waiting.delete(call)
        try {
          command(call).then((reply) => {
            settle()
            resolve(reply)
          }, failed)
        } catch (error) {
          // ioredis throws when it pipelines by itself and no master has the slot.
          failed(error as Error)
        }
      }
      const call: Waiting = { deadline: performance.now() + this.#timeout, settled: false, send, fail }
      const timer = setTimeout(() => {
        const why = this.#lastError && `: ${this.#lastError}`
        const what = this.#waiting.has(call)
          ? `no connection to Redis within ${this.#timeout} ms${why}`
          : `no answer from Redis within ${this.#timeout} ms; what was asked may still happen`
        fail(errorOf('TSUNAVAILABLE', `${operation}: ${what}`))
      }, this.#timeout)
      if (this.#closing) fail(closed(operation))
      else if (this.#client.status === 'ready') send()
      else this.#whenReady(operation, call)
    })
  }

  /** Closes what this opened, once what was sent is answered, within the timeout. The caller's own client stays open. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stopListening?.()
    this.#stopListening = undefined
    for (const call of [...this.#waiting]) call.fail(closed('a call'))
    const answered = Promise.allSettled(this.#unconfirmed)
    if (this.#owned && this.#client.status === 'ready') {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise((resolve) => (timer = setTimeout(resolve, this.#timeout)))
      await Promise.race([this.#client.quit().catch(() => {}), late])
      clearTimeout(timer)
    }
    if (this.#owned) this.#client.disconnect()
    await answered
    for (const confirmer of this.#confirmers.values()) confirmer.disconnect()
  }

  /** What sends the confirmed writes to the server that holds a name. */
  #confirmerOf(name: string): Confirmer {
    const [server, redis] = serverOf(this.#client, name)
    let confirmer = this.#confirmers.get(server)
    if (!confirmer || confirmer.ended) {
      confirmer = new Confirmer(this.#watch(apart(redis, isCluster(this.#client), this.#timeout)))
      this.#confirmers.set(server, confirmer)
    }
    return confirmer
  }

  /** Listens to a connection that this opened. */
  #watch(redis: Redis): Redis {
    // Without a listener ioredis prints every failed attempt; here each call reports it.
    redis.on('error', (error: Error & { code?: string; command?: { name: string } }) => {
      this.#lastError = errorText(error) || (error.code ?? '')
      // ioredis takes a refused SELECT for no obstacle, and would go on in database 0.
      if (error.command?.name === 'select') redis.disconnect(true)
    })
    return redis
  }

  #whenReady(operation: string, call: Waiting): void {
    if (this.#client.status === 'end') {
      const why = this.#lastError || 'the client was closed'
      return call.fail(errorOf('TSUNAVAILABLE', `${operation}: no connection to Redis: ${why}`))
    }
    this.#waiting.add(call)
    if (this.#client.status === 'wait') this.#client.connect().catch(() => {})
    this.#stopListening ??= onceDecided(this.#client, () => {
      this.#stopListening = undefined
      const error = errorOf('TSUNAVAILABLE', 'no connection to Redis: the client was closed')
      for (const call of [...this.#waiting]) {
        if (this.#client.status === 'ready') call.send()
        else call.fail(error)
      }
    })
  }
}

const undecided = new WeakMap<RedisClient, { callbacks: Set<() => void>; stop(): void }>()

/** Calls back once, when the client is ready or given up. One pair of listeners serves all stores that share it. */
function onceDecided(client: RedisClient, callback: () => void): () => void {
  let waiting = undecided.get(client)
  if (!waiting) {
    const callbacks = new Set<() => void>()
    const decide = (): void => {
      if (client.status !== 'ready' && client.status !== 'end') return
      stop()
      for (const each of callbacks) each()
    }
    const stop = (): void => {
      client.off('ready', decide)
      client.off('end', decide)
      undecided.delete(client)
    }
    undecided.set(client, (waiting = { callbacks, stop }))
    client.on('ready', decide)
    client.on('end', decide)
  }
  const { callbacks, stop } = waiting
  callbacks.add(callback)
  return () => {
    if (callbacks.delete(callback) && callbacks.size === 0) stop()
  }
}

function closed(operation: string): TokenstoreError {
  return errorOf('TSCLOSED', `${operation}: the store was closed by quit()`)
}

export function isCluster(redis: RedisClient | RedisOptions | string): boolean {
  return isClient(redis) && redis.isCluster === true
}

export function keyPrefixOf(redis: RedisClient | RedisOptions | string): string {
  if (typeof redis === 'string') return ''
  return (isClient(redis) ? redis.options.keyPrefix : redis.keyPrefix) ?? ''
}

export function isClient(redis: RedisClient | RedisOptions | string): redis is RedisClient {
  return typeof redis === 'object' && redis !== null && 'defineCommand' in redis
}

/** The server that holds a name, and what it is called: the one, or a master of a cluster. */
function serverOf(client: RedisClient, name: string): [server: string, redis: Redis] {
  if (!isCluster(client)) return ['', client as unknown as Redis]
  const cluster = client as unknown as Cluster
  const server = cluster.slots[slotOf(name)]?.[0]
  const redis = cluster.nodes('master').find(({ options: { host, port } }) => `${host}:${port}` === server)
  if (!server || !redis) throw new Error('CLUSTERDOWN no master is known for the slot')
  return [server, redis]
}

// A command whose answer is lost is reported at once and never sent again: the second run of a takehash would answer
// nil, that of a set could undo a newer one.
const ONCE: RedisOptions = { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 }
const prompt = (timeout: number): RedisOptions => ({
  // A master that hangs, or whose machine is gone, does not close its connections: one that is silent while calls wait
  // is closed here, just after they were told, and the next one may lead to a successor. (ioredis has a failoverDetector
  // for Sentinel, but a message that comes while it connects makes it give up for good.)
  socketTimeout: timeout + 100,
  // ioredis keeps the process up for so long, 2 s by default, when a client whose connection is down already is told to
  // disconnect.
  disconnectTimeout: 100
})

function open(redis: RedisOptions | string, timeout: number): Redis {
  const options: RedisOptions = {
    ...prompt(timeout),
    // The pauses of ioredis 6 grow to 5 s, so that calls go on failing, each after its timeout, when Redis is long back.
    retryStrategy: (times) => Math.min(2 ** (times - 1) * 50, 500) + Math.random() * 200,
    // A master that has become a replica keeps its connections too.
    reconnectOnError: ({ message }) => message.startsWith('READONLY')
  }
  let client: Redis
  if (typeof redis === 'object') client = new Redis({ host: '127.0.0.1', port: 6379, ...options, ...redis })
  else {
    try {
      client = new Redis(redis, options)
    } catch {
      // What Node throws repeats the URL, and so the password.
      check.fail('redis', 'a valid URL, with what is special in a user or a password percent-encoded')
    }
  }
  // Whatever the caller's options, or those in the URL, say.
  Object.assign(client.options, ONCE)
  return client
}

/** Another connection to the same server and database, on which nothing is sent unless it is sent at once. */
function apart(redis: Redis, ofCluster: boolean, timeout: number): Redis {
  return redis.duplicate({
    ...prompt(timeout),
    ...ONCE,
    db: redis.condition?.select ?? redis.options.db,
    keyPrefix: '',
    lazyConnect: false,
    enableOfflineQueue: false,
    // A node that is gone may be gone for good.
    ...(ofCluster ? { retryStrategy: () => null } : {})
  })
}
