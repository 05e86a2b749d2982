import { isCluster, type RedisClient } from './client'
import { errorText, fromRedis, type Failure } from './errors'
import { clearTimeout, now, setImmediate, setTimeout } from './timers'

/** What a call has to know of the connection that it goes over. */
export interface Line {
  readonly client: RedisClient
  /** Milliseconds. */
  readonly timeout: number
  /** Whether a command would be written at once. */
  readonly ready: boolean
  /** Sends a call now, or once there is a connection. */
  dispatch(call: PendingCall<unknown>): void
}

// What a cluster answers for a slot that is moving or has moved, before anything was done.
// Scripts read with their root first, so that they fail as a whole, in the words of Redis 7
// or of Redis 8; the rest reaches us only from pipelines, which ioredis cannot redirect.
const NOT_HERE =
  /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN) |non local key|accessed during rehashing of the slot/
const CLUSTER_MODE =
  'the server is in cluster mode: redis must be an ioredis Cluster, all slots of which are' +
  ' assigned, or with a single master the prefix have a hash tag, such as {token}'
// ioredis sends a script that is unknown once more, but it may be forgotten once more.
const UNKNOWN_SCRIPT = /^NOSCRIPT /
const RETRY_MS = 50
// A timer that fires so late was held up by a turn of the loop.
const STILL_MS = 20

// So that memory has an end, whatever is asked of a Redis that does not answer.
const MAX_QUEUED = 100_000

interface Queue {
  readonly size: number
  delete(call: unknown): unknown
}

/** A call on its way: it is answered once, by its deadline. */
export class PendingCall<T> {
  readonly operation: string
  /** When it is over, by `now()`. */
  deadline: number
  /** A name on the server that it goes to, if it goes to a single one. */
  readonly name: string | undefined
  /** Rejects with a `Failure`. */
  readonly reply: Promise<T>
  /** Whether it has been answered, in whatever way. */
  settled = false
  /** Told when no answer came in time. */
  onLate: (() => void) | undefined
  readonly #line: Line
  readonly #command: (call: PendingCall<T>) => Promise<T>
  #timer: NodeJS.Timeout
  #extended = false
  #resolve!: (reply: T) => void
  #reject!: (failure: Failure) => void
  #retry: NodeJS.Timeout | undefined
  #queue: Queue | undefined
  /** Why nothing of it is under way. */
  #unsent: (() => string) | undefined

  constructor(
    line: Line,
    operation: string,
    command: (call: PendingCall<T>) => Promise<T>,
    deadline: number,
    name?: string
  ) {
    this.operation = operation
    this.deadline = deadline
    this.name = name
    this.#line = line
    this.#command = command
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#timer = setTimeout(() => this.#late(), deadline - now())
  }

  /**
   * Waits in a queue, which it leaves when it is sent or given up: then `why` says what held
   * it up. False, and given up at once, when that is full.
   */
  hold(queue: Queue, why: () => string): boolean {
    this.release()
    const fits = queue.size < MAX_QUEUED
    if (fits) {
      this.#queue = queue
      this.#unsent = why
    } else {
      this.giveUp(why())
    }
    return fits
  }

  /** Leaves its queue, to be sent. */
  release(): void {
    this.#queue?.delete(this)
    this.#queue = undefined
    this.#unsent = undefined
  }

  /** `done` is told when the command is over, be it after the deadline. */
  send(done?: () => void): void {
    this.release()
    try {
      this.#command(this).then(
        (reply) => {
          this.#answered(reply)
          done?.()
        },
        (error: Error) => {
          this.#refused(error)
          done?.()
        }
      )
    } catch (error) {
      // ioredis throws when it pipelines by itself and no master has the slot.
      this.#refused(error as Error)
      done?.()
    }
  }

  /** Rejects as unavailable. */
  giveUp(why: string): void {
    this.fail({ code: 'TSUNAVAILABLE', message: `${this.operation}: ${why}` })
  }

  fail(failure: Failure): void {
    this.#settle()
    this.#reject(failure)
  }

  #answered(reply: T): void {
    this.#settle()
    this.#resolve(reply)
  }

  #refused(error: Error): void {
    if (this.settled) return
    const said = `Redis answered ${errorText(error)}`
    const notHere = NOT_HERE.test(error.message)
    if (notHere && !isCluster(this.#line.client)) return this.giveUp(`${said}; ${CLUSTER_MODE}`)
    const failure = fromRedis(this.operation, error)
    const again = notHere || UNKNOWN_SCRIPT.test(error.message)
    if (again || failure.code === 'TSUNAVAILABLE') this.#lookForMasters()
    if (!again) return this.fail(failure)
    this.#unsent = () => said
    // Not by itself: without a connection ioredis would keep it, and send it after its time.
    this.#retry = setTimeout(() => this.#line.dispatch(this as PendingCall<unknown>), RETRY_MS)
  }

  /** Another one may have taken over from one that is gone, or hangs. */
  #lookForMasters(): void {
    this.#line.client.refreshSlotsCache?.()
  }

  #late(): void {
    // What this process stood still does not count, once: nothing could be sent or read.
    const still = Math.min(now() - this.deadline, this.#line.timeout)
    if (still > STILL_MS && !this.#extended) {
      this.#extended = true
      this.deadline += still
      this.#timer = setTimeout(() => this.#late(), still)
      return
    }
    // After a turn of the loop that took long, the answer may lie in the socket.
    setImmediate(() => {
      if (this.settled) return
      const within = `within ${this.#line.timeout} ms`
      const unanswered = (): string =>
        `no answer from Redis ${within}; what was asked may still happen`
      this.giveUp((this.#unsent ?? unanswered)())
      this.#lookForMasters()
      this.onLate?.()
    })
  }

  #settle(): void {
    this.settled = true
    clearTimeout(this.#timer)
    clearTimeout(this.#retry)
    this.release()
  }
}
