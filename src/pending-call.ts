import type { RedisClient } from './client'
import { errorOf, fromRedis, type TokenstoreError } from './errors'

/** What a call has to know of the connection that it goes over. */
export interface Line {
  readonly client: RedisClient
  /** Milliseconds. */
  readonly timeout: number
  /** Why there is no connection, as far as is known. */
  readonly lastError: string
  /** The calls that have not been sent, for want of a connection. */
  readonly waiting: Set<PendingCall<unknown>>
  /** Sends a call now, or once there is a connection. */
  dispatch(call: PendingCall<unknown>): void
}

// What a cluster answers for a slot that is moving or has moved, before anything was done.
// Scripts read with their root first, so that they fail as a whole, in the words of Redis 7
// or of Redis 8; the rest reaches us only from pipelines, which ioredis cannot redirect.
const NOT_HERE =
  /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN) |non local key|accessed during rehashing of the slot/
const RETRY_MS = 50

/** A call on its way: it is answered once, within the timeout of its line. */
export class PendingCall<T> {
  readonly operation: string
  /** When it is over, by `performance.now()`. */
  readonly deadline: number
  /** Whether it has been answered, in whatever way. */
  settled = false
  readonly #line: Line
  readonly #command: (call: PendingCall<T>) => Promise<T>
  readonly #resolve: (reply: T) => void
  readonly #reject: (error: TokenstoreError) => void
  readonly #timer: NodeJS.Timeout
  #retry: NodeJS.Timeout | undefined

  constructor(
    line: Line,
    operation: string,
    command: (call: PendingCall<T>) => Promise<T>,
    resolve: (reply: T) => void,
    reject: (error: TokenstoreError) => void
  ) {
    this.operation = operation
    this.deadline = performance.now() + line.timeout
    this.#line = line
    this.#command = command
    this.#resolve = resolve
    this.#reject = reject
    this.#timer = setTimeout(() => this.#late(), line.timeout)
  }

  send(): void {
    try {
      this.#command(this).then(
        (reply) => this.#answered(reply),
        (error: Error) => this.#refused(error)
      )
    } catch (error) {
      // ioredis throws when it pipelines by itself and no master has the slot.
      this.#refused(error as Error)
    }
  }

  fail(error: TokenstoreError): void {
    this.#settle()
    // Another master may have taken over from one that is gone, or hangs.
    if (error.code === 'TSUNAVAILABLE') this.#line.client.refreshSlotsCache?.()
    this.#reject(error)
  }

  #answered(reply: T): void {
    this.#settle()
    this.#resolve(reply)
  }

  #refused(error: Error): void {
    if (this.settled) return
    if (!NOT_HERE.test(error.message)) {
      return this.fail(fromRedis(this.operation, error))
    }
    this.#line.client.refreshSlotsCache?.()
    // Not by itself: without a connection ioredis would keep it, and send it after its time.
    this.#retry = setTimeout(() => this.#line.dispatch(this as PendingCall<unknown>), RETRY_MS)
  }

  #late(): void {
    const { timeout, lastError, waiting } = this.#line
    const why = lastError && `: ${lastError}`
    const what = waiting.has(this as PendingCall<unknown>)
      ? `no connection to Redis within ${timeout} ms${why}`
      : `no answer from Redis within ${timeout} ms; what was asked may still happen`
    this.fail(errorOf('TSUNAVAILABLE', `${this.operation}: ${what}`))
  }

  #settle(): void {
    this.settled = true
    clearTimeout(this.#timer)
    clearTimeout(this.#retry)
    this.#line.waiting.delete(this as PendingCall<unknown>)
  }
}
