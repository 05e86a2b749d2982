import type { Redis, RedisOptions } from 'ioredis'
import type { Args } from './args'
import {
  isClient,
  keyPrefixOf,
  mastersOf,
  open,
  serverOf,
  type Node,
  type RedisClient
} from './client'
import { ConfirmedWrites, type Confirmed } from './confirm'
import { Cork } from './cork'
import { errorText, raise, type Failure } from './errors'
import { FlowControl } from './flow-control'
import { PendingCall, type Line } from './pending-call'
import { scripts, type ScriptName } from './scripts'
import { clearTimeout, now, setTimeout } from './timers'
import { Watchdog } from './watchdog'

type Commands = Record<string, (...args: Args) => Promise<unknown>>

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
  readonly #commands: Commands
  readonly #cork = new Cork()
  readonly #confirmed: ConfirmedWrites
  /** By the server that they go to. */
  readonly #flows = new Map<string, FlowControl>()
  /** The calls that wait for a connection. */
  readonly #waiting = new Set<PendingCall<unknown>>()
  /** Of the connection that this opened. */
  readonly #watchdog: Watchdog | undefined
  readonly #unheard = (): void => this.#watchdog?.unheard()
  #lastError = ''
  #stopListening: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(redis: RedisClient | RedisOptions | string, timeout: number) {
    this.timeout = timeout
    if (isClient(redis)) {
      this.client = redis
    } else {
      const opened = this.#watch(open(redis))
      this.#watchdog = new Watchdog(opened, timeout)
      this.client = opened
    }
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

  get ready(): boolean {
    // A connection that Redis closed stays ready to ioredis for the rest of the turn.
    return this.client.status === 'ready' && this.client.stream?.writable !== false
  }

  /** The servers that hold names. */
  masters(operation: string): Promise<Node[]> {
    return this.send(operation, () => Promise.resolve(mastersOf(this.client)))
  }

  /** Asks each of them whether it answers. */
  async ping(): Promise<void> {
    await this.send('ping', () => Promise.all(mastersOf(this.client).map((node) => node.ping())))
  }

  /**
   * Runs a script on a root. With `replicas`, a write is answered once so many replicas
   * have it.
   */
  run(
    script: ScriptName,
    root: string,
    args: Readonly<Args>,
    replicas = 0,
    deadline = now() + this.timeout
  ): Promise<unknown> {
    const name = this.keyPrefix + root
    if (replicas > 0) {
      const command = (call: PendingCall<Confirmed>): Promise<Confirmed> =>
        this.#confirmed.send(call, script, [name, ...args], replicas)
      return this.#confirmed.answer(script, replicas, this.#call(script, command, deadline))
    }
    const command = (): Promise<unknown> => {
      // A batch of keys is large enough to be worth a write.
      if (script !== 'getkey') this.#cork.hold(this.client.stream)
      return this.#commands[COMMANDS[script]]!(root, ...args)
    }
    return this.#call(script, command, deadline, name)
  }

  /**
   * Sends a command as soon as the connection is ready. What is not sent within the timeout
   * never is: in ioredis's own queue it would still be, long after the caller was told that
   * it failed.
   */
  send<T>(operation: string, command: () => Promise<T>): Promise<T> {
    return this.#call(operation, command, now() + this.timeout)
  }

  /** With a name, the call is subject to the flow control of the server that holds it. */
  #call<T>(
    operation: string,
    command: (call: PendingCall<T>) => Promise<T>,
    deadline: number,
    name?: string
  ): Promise<T> {
    const call = new PendingCall(this, operation, command, deadline, name)
    call.onLate = this.#unheard
    if (this.#closing) call.fail(closed(operation))
    else this.dispatch(call as PendingCall<unknown>)
    return call.reply.catch(raise)
  }

  dispatch(call: PendingCall<unknown>): void {
    if (!this.ready) this.#sendWhenReady(call)
    else if (call.name === undefined) call.send()
    else this.#flowTo(call.name).enter(call)
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
    for (const call of [...this.#waiting]) call.fail(closed(call.operation))
    const answered = this.#confirmed.close()
    if (this.#watchdog) await this.#quit()
    await answered
  }

  async #quit(): Promise<void> {
    const queued = [...this.#flows.values()].flatMap(({ queue }) => [...queue])
    const answered = Promise.allSettled(queued.map(({ reply }) => reply))
      .then(() => this.client.status === 'ready' && this.client.quit())
      .catch(() => {})
    let timer: NodeJS.Timeout | undefined
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, this.timeout)
    })
    await Promise.race([answered, late])
    clearTimeout(timer)
    this.client.disconnect()
  }

  #flowTo(name: string): FlowControl {
    const server = serverOf(this.client, name)
    let flow = this.#flows.get(server)
    if (!flow) this.#flows.set(server, (flow = new FlowControl(this)))
    return flow
  }

  /** Listens to a connection that this opened. */
  #watch(redis: Redis): Redis {
    type Problem = Error & { code?: string; command?: { name: string } }
    // Without a listener ioredis prints every failed attempt; here each call reports it.
    redis.on('error', (error: Problem) => {
      this.#lastError = errorText(error) || (error.code ?? '')
      // ioredis takes a refused SELECT for no obstacle, and would go on in database 0.
      if (error.command?.name === 'select') redis.disconnect(true)
    })
    return redis
  }

  #sendWhenReady(call: PendingCall<unknown>): void {
    if (this.#closing) return call.fail(closed(call.operation))
    const { status } = this.client
    if (status === 'end') {
      return call.giveUp(`no connection to Redis: ${this.#lastError || 'the client was closed'}`)
    }
    const held = call.hold(this.#waiting, () => {
      const why = this.#lastError && `: ${this.#lastError}`
      return `no connection to Redis within ${this.timeout} ms${why}`
    })
    if (held) this.#waiting.add(call)
    if (status === 'wait') this.client.connect().catch(() => {})
    this.#stopListening ??= onceDecided(this.client, () => {
      this.#stopListening = undefined
      // The connection may be over again before all of them are sent.
      for (const call of [...this.#waiting]) this.dispatch(call)
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

function closed(operation: string): Failure {
  return { code: 'TSCLOSED', message: `${operation}: the store was closed by quit()` }
}
