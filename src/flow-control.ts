import type { Line, PendingCall } from './pending-call'
import { now, setImmediate } from './timers'

type Call = PendingCall<unknown>

// Commands under way at once: after a rest, and while answers come quickly, which keeps
// Redis busy, also behind a network of milliseconds.
const START = 64
const MOST = 256
// When no answer comes for so long, what is under way is slow, or something else is.
const STALL_MS = 20
const MAX_QUEUED = 100_000
const REST_MS = 1000

const BEHIND = 'Redis is behind with earlier calls, and this was not sent'

/**
 * How much is under way to one server. Redis serves in order, so what lies in its sockets
 * for longer than the timeout is work for nobody, and holds up what was asked since. No more
 * is sent than is answered in a small part of the timeout (additive increase, multiplicative
 * decrease); the rest waits here, and is given up unsent when it would be answered too late.
 */
export class FlowControl {
  readonly queue = new Set<Call>()
  readonly #line: Line
  #limit = START
  #unanswered = 0
  #fastest = Infinity
  /** Of the last answer, or of the first command that has none. */
  #progressAt = now()
  #slowedAt = 0

  constructor(line: Line) {
    this.#line = line
  }

  /** Sends a call now, or once enough of what was sent before is answered. */
  enter(call: Call): void {
    const at = now()
    if (this.queue.size === MAX_QUEUED) return call.giveUp(BEHIND)
    const quiet = at - this.#progressAt
    const rested = this.#unanswered === 0 && quiet > REST_MS
    const stalled = this.#unanswered > 0 && quiet > Math.max(STALL_MS, 4 * this.#fastest)
    if (stalled) this.#limit = Math.min(this.#limit, this.#unanswered)
    if (this.queue.size === 0 && this.#unanswered < this.#limit && !rested) {
      return this.#send(call, at)
    }
    call.hold(this.queue, () => BEHIND)
    if (rested && this.queue.size === 1) {
      this.#limit = START
      // Redis closes idle connections; that this is one may be read in this turn of the loop.
      setImmediate(() => this.#sendQueued(at, 0))
    }
  }

  #send(call: Call, at: number): void {
    if (this.#unanswered++ === 0) this.#progressAt = at
    call.send(() => this.#answered(at))
  }

  #answered(sentAt: number): void {
    const at = now()
    const took = at - sentAt
    this.#unanswered--
    this.#progressAt = at
    this.#fastest = Math.min(this.#fastest, took)
    this.#adapt(took - this.#fastest, sentAt, at)
    // At a command's usual pace, but twice as long to be sure; what is fresh always goes.
    this.#sendQueued(at, Math.min(2 * took, this.#line.timeout / 2))
  }

  /** Sets the limit by how long an answer was held up by others. */
  #adapt(heldUp: number, sentAt: number, at: number): void {
    const slow = this.#line.timeout / 8
    const wanted = this.queue.size > 0 || this.#limit < START
    if (heldUp < slow / 2 && wanted && this.#limit < MOST) this.#limit++
    // Once for all that was under way together.
    if (heldUp > slow && sentAt > this.#slowedAt) {
      this.#limit = Math.max(1, this.#unanswered >> 1)
      this.#slowedAt = at
    }
  }

  /** Sends what waits, as far as it may, but for what an answer would reach too late. */
  #sendQueued(at: number, takes: number): void {
    for (const call of this.queue) {
      if (!this.#line.ready) this.#line.dispatch(call)
      else if (this.#unanswered >= this.#limit) return
      else if (call.deadline - at < takes) call.giveUp(BEHIND)
      else this.#send(call, at)
    }
  }
}
