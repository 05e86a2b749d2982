import { Redis, type RedisOptions } from 'ioredis'
import { fromRedis, TokenstoreError, UnavailableError } from './errors'
import { scripts, type ScriptName } from './scripts'

type Listener = (...args: unknown[]) => void

/** What the store uses of an ioredis `Redis` or `Cluster`, so that a client of another ioredis version fits too. */
export interface RedisClient {
  readonly status: string
  readonly isCluster?: boolean
  readonly options: { keyPrefix?: string }
  defineCommand(name: string, definition: { lua: string; numberOfKeys?: number }): void
  connect(): Promise<unknown>
  disconnect(): void
  quit(): Promise<unknown>
  on(event: string, listener: Listener): unknown
  off(event: string, listener: Listener): unknown
}

type Commands = Record<string, (...args: (string | number)[]) => Promise<unknown>>

/** One node of what the store is connected to, as far as a walk over its names needs it. */
export interface Node {
  scan(cursor: string, match: 'MATCH', pattern: string, count: 'COUNT', n: number): Promise<[string, string[]]>
}

// A name that shadows no method on a client which others share, and a new one whenever the script changes.
const COMMANDS = Object.fromEntries(
  Object.entries(scripts).map(([name, { sha1 }]) => [name, `tokenstore:${name}:${sha1.slice(0, 8)}`])
) as Record<ScriptName, string>

/**
 * The connection to Redis: the caller's own, or one that this opens and closes.
 * Adds to ioredis that a call is sent once or not at all, is answered in time, and fails without its arguments.
 */
export class Connection {
  readonly #client: RedisClient
  readonly #commands: Commands
  readonly #owned: boolean
  readonly #timeout: number
  readonly #waiting = new Set<{ send(): void; fail(error: Error): void }>()
  #stopListening: (() => void) | undefined
  #lastError = ''
  #closing: Promise<void> | undefined

  constructor(redis: RedisClient | RedisOptions | string, timeout: number) {
    this.#owned = !isClient(redis)
    this.#client = isClient(redis) ? redis : open(redis)
    this.#commands = this.#client as unknown as Commands
    this.#timeout = timeout
    for (const [name, command] of Object.entries(COMMANDS)) {
      if (command in this.#client) continue
      this.#client.defineCommand(command, { lua: scripts[name as ScriptName].lua, numberOfKeys: 1 })
    }
    if (this.#owned) {
      // Without a listener ioredis prints every failed attempt; here each call reports it.
      this.#client.on('error', (error) => {
        const { message, code } = error as Error & { code?: string }
        this.#lastError = message || (code ?? '')
      })
    }
  }

  get isCluster(): boolean {
    return this.#client.isCluster === true
  }

  /** What ioredis puts before every key; SCAN patterns and replies it leaves alone. */
  get keyPrefix(): string {
    return this.#client.options.keyPrefix ?? ''
  }

  /** The servers that hold names: the one, or every master of a cluster. */
  nodes(): Node[] {
    const client = this.#client as unknown as Node & { nodes(role: 'master'): Node[] }
    return this.isCluster ? client.nodes('master') : [client]
  }

  /** Runs a script on a root. */
  run(script: ScriptName, root: string, args: readonly (string | number)[]): Promise<unknown> {
    return this.send(script, () => this.#commands[COMMANDS[script]]!(root, ...args))
  }

  /**
   * Sends a command as soon as the connection is ready. What is not sent within the timeout never is:
   * in ioredis's own queue it would still be, long after the caller was told that it failed.
   */
  send<T>(operation: string, command: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        clearTimeout(timer)
        this.#waiting.delete(call)
        reject(error)
      }
      const send = (): void => {
        this.#waiting.delete(call)
        command().then(
          (reply) => {
            clearTimeout(timer)
            resolve(reply)
          },
          (error: Error) => fail(fromRedis(operation, error))
        )
      }
      const call = { send, fail }
      const timer = setTimeout(() => {
        const waited = this.#waiting.has(call)
        const why = this.#lastError && `: ${this.#lastError}`
        const what = waited ? `no connection to Redis within ${this.#timeout} ms${why}` : this.#silence()
        fail(new UnavailableError('TSUNAVAILABLE', `${operation}: ${what}`))
      }, this.#timeout)
      if (this.#closing) fail(new TokenstoreError('TSCLOSED', `${operation}: the store was closed by quit()`))
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
    for (const call of [...this.#waiting]) call.fail(new TokenstoreError('TSCLOSED', 'the store was closed by quit()'))
    if (!this.#owned) return
    if (this.#client.status === 'ready') {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise((resolve) => (timer = setTimeout(resolve, this.#timeout)))
      await Promise.race([this.#client.quit().catch(() => {}), late])
      clearTimeout(timer)
    }
    this.#client.disconnect()
  }

  #silence(): string {
    return `no answer from Redis within ${this.#timeout} ms; what was asked may still happen`
  }

  #whenReady(operation: string, call: { send(): void; fail(error: Error): void }): void {
    if (this.#client.status === 'end') {
      const why = this.#lastError || 'the client was closed'
      return call.fail(new UnavailableError('TSUNAVAILABLE', `${operation}: no connection to Redis: ${why}`))
    }
    this.#waiting.add(call)
    if (this.#client.status === 'wait') this.#client.connect().catch(() => {})
    this.#stopListening ??= this.#listen()
  }

  #listen(): () => void {
    const onReady = (): void => {
      if (this.#client.status !== 'ready') return
      this.#stopListening?.()
      for (const call of [...this.#waiting]) call.send()
    }
    const onEnd = (): void => {
      this.#stopListening?.()
      const error = new UnavailableError('TSUNAVAILABLE', 'no connection to Redis: the client was closed')
      for (const call of [...this.#waiting]) call.fail(error)
    }
    this.#client.on('ready', onReady)
    this.#client.on('end', onEnd)
    return () => {
      this.#client.off('ready', onReady)
      this.#client.off('end', onEnd)
      this.#stopListening = undefined
    }
  }
}

function isClient(redis: RedisClient | RedisOptions | string): redis is RedisClient {
  return typeof redis === 'object' && 'defineCommand' in redis
}

function open(redis: RedisOptions | string): RedisClient {
  // A command whose answer is lost is reported at once and never sent again: the second run of a takehash would
  // answer nil, that of a set could undo a newer one.
  const once: RedisOptions = { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 }
  return typeof redis === 'string'
    ? new Redis(redis, once)
    : new Redis({ host: '127.0.0.1', port: 6379, ...once, ...redis })
}
