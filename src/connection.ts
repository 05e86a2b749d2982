import type { Redis, RedisOptions } from 'ioredis'
import { isClient, keyPrefixOf, mastersOf, open, type Node, type RedisClient } from './client'
import { ConfirmedWrites, type Confirmed } from './confirm'
import { Cork } from './cork'
import { errorOf, errorText, type TokenstoreError } from './errors'
import { PendingCall, type Line } from './pending-call'
import { scripts, type ScriptName } from './scripts'

type Commands = Record<string, (...args: (string | number)[]) => Promise<unknown>>

// A name that shadows no method on a client which others share, and a new one whenever the
// script changes.
const COMMANDS = Object.fromEntries(
  Object.entries(scripts).map(([name, { sha1 }]) => [
    name,
    `tokenstore:${name}:${sha1.slice(0, 8)}`
  ])
) as Record<ScriptName, string>

/**
 * The connection to Redis: the caller's own, or one that this opens and closes. Adds to
 * ioredis that a call is sent once or not at all, is answered in time, and fails without
 * its arguments.
 */
export class Connection implements Line {
  readonly client: RedisClient
  readonly timeout: number
  readonly waiting = new Set<PendingCall<unknown>>()
  lastError = ''
  readonly #owned: boolean
  readonly #commands: Commands
  readonly #cork = new Cork()
  readonly #confirmed: ConfirmedWrites
  #stopListening: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(redis: RedisClient | RedisOptions | string, timeout: number) {
    this.timeout = timeout
    this.#owned = !isClient(redis)
    this.client = isClient(redis) ? redis : this.#watch(open(redis, timeout))
    this.#commands = this.client as unknown as Commands
    this.#confirmed = new ConfirmedWrites(this.client, timeout, (redis) => this.#watch(redis))
    for (const [name, command] of Object.entries(COMMANDS)) {
      if (command in this.client) continue
      const { lua } = scripts[name as ScriptName]
      this.client.defineCommand(command, { lua, numberOfKeys: 1 })
    }
  }

  get keyPrefix(): string {
    return keyPrefixOf(this.client)
  }

  /** The servers that hold names. */
  masters(): Promise<Node[]> {
    return this.send('reset', () => Promise.resolve(mastersOf(this.client)))
  }

  /**
   * Runs a script on a root. With `replicas`, a write is answered once so many replicas
   * have it.
   */
  run(
    script: ScriptName,
    root: string,
    args: readonly (string | number)[],
    replicas = 0
  ): Promise<unknown> {
    if (replicas > 0) {
      const name = this.keyPrefix + root
      const sent = this.send<Confirmed>(script, (call) =>
        this.#confirmed.send(call, script, [name, ...args], replicas)
      )
      return this.#confirmed.answer(script, replicas, sent)
    }
    return this.send(script, () => {
      // A batch of keys is large enough to be worth a write.
      if (script !== 'getkey') this.#cork.hold(this.client.stream)
      return this.#commands[COMMANDS[script]]!(root, ...args)
    })
  }

  /**
   * Sends a command as soon as the connection is ready. What is not sent within the timeout
   * never is: in ioredis's own queue it would still be, long after the caller was told that
   * it failed.
   */
  send<T>(operation: string, command: (call: PendingCall<T>) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const call = new PendingCall(this, operation, command, resolve, reject)
      this.dispatch(call as PendingCall<unknown>)
    })
  }

  dispatch(call: PendingCall<unknown>): void {
    if (this.#closing) call.fail(closed(call.operation))
    else if (this.client.status === 'ready') call.send()
    else this.#sendWhenReady(call)
  }

  /**
   * Closes what this opened, once what was sent is answered, within the timeout. The
   * caller's own client stays open.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stopListening?.()
    this.#stopListening = undefined
    for (const call of [...this.waiting]) call.fail(closed(call.operation))
    const answered = this.#confirmed.close()
    if (this.#owned && this.client.status === 'ready') {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise((resolve) => {
        timer = setTimeout(resolve, this.timeout)
      })
      await Promise.race([this.client.quit().catch(() => {}), late])
      clearTimeout(timer)
    }
    if (this.#owned) this.client.disconnect()
    await answered
  }

  /** Listens to a connection that this opened. */
  #watch(redis: Redis): Redis {
    type Problem = Error & { code?: string; command?: { name: string } }
    // Without a listener ioredis prints every failed attempt; here each call reports it.
    redis.on('error', (error: Problem) => {
      this.lastError = errorText(error) || (error.code ?? '')
      // ioredis takes a refused SELECT for no obstacle, and would go on in database 0.
      if (error.command?.name === 'select') redis.disconnect(true)
    })
    return redis
  }

  #sendWhenReady(call: PendingCall<unknown>): void {
    if (this.client.status === 'end') {
      const why = this.lastError || 'the client was closed'
      return call.fail(noConnection(call.operation, why))
    }
    this.waiting.add(call)
    if (this.client.status === 'wait') this.client.connect().catch(() => {})
    this.#stopListening ??= onceDecided(this.client, () => {
      this.#stopListening = undefined
      for (const call of [...this.waiting]) {
        this.waiting.delete(call)
        if (this.client.status === 'ready') call.send()
        else call.fail(noConnection(call.operation, 'the client was closed'))
      }
    })
  }
}

const undecided = new WeakMap<RedisClient, { callbacks: Set<() => void>; stop(): void }>()

/**
 * Calls back once, when the client is ready or given up. One pair of listeners serves all
 * stores that share it.
 */
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

function noConnection(operation: string, why: string): TokenstoreError {
  return errorOf('TSUNAVAILABLE', `${operation}: no connection to Redis: ${why}`)
}

function closed(operation: string): TokenstoreError {
  return errorOf('TSCLOSED', `${operation}: the store was closed by quit()`)
}
