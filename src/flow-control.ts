import type { Line, PendingCall } from './pending-call'
import { now, setImmediate } from './timers'

type Call = PendingCall<unknown>

// Commands under way at once: after a rest, and at most. Between them it doubles within a
// round trip as long as there is more to send.
const START = 128
const MOST = 8192
// Four times the usual answer, but not less, and Redis is at something slow.
const SILENCE_MS = 20
/** After so long Redis may have closed the connection, as it does with idle ones. */
export const REST_MS = 1000

const BEHIND = 'Redis is behind with earlier calls, and this was not sent'

/**
 * How much is under way to one server. Redis serves in order, so what lies in its sockets
 * for longer than the timeout is work for nobody, and holds up what was asked since. While
 * it is silent or late no more is sent than before, or less; the rest waits here, and is
 * given up unsent when it would be answered too late.
 */
export class FlowControl {
  readonly queue = new Set<Call>()
  readonly #line: Line
  /** Milliseconds for which an answer may be on its way before no more is sent. */
  readonly #slow: number
  /** When each command that has no answer was sent, in that order. */
  readonly #underWay = new Map<Call, number>()
  #limit = START
  /** Milliseconds of a quick answer, lately. */
  #usual = Infinity
  /** Of the last answer, or of the first command that has none. */
  #progressAt = now()
  #reducedAt = 0
  #looking = false

  constructor(line: Line) {
    this.#line = line
    this.#slow = line.timeout / 6
  }

  /** Sends a call now, or once enough of what was sent before is answered. */
  enter(call: Call): void {
    const at = now()
    const quiet = at - this.#progressAt
    const rested = this.#underWay.size === 0 && quiet > REST_MS
    const free = this.queue.size === 0 && this.#underWay.size < this.#limit
    if (free && !rested && !this.#isSilent(at)) return this.#send(call, at)
    if (call.hold(this.queue, () => BEHIND)) this.queue.add(call)
    if (rested) this.#limit = START
    // Answers, or the end of a connection that Redis closed at rest, may not be read yet.
    if (free) this.#lookSoon()
  }

  #send(call: Call, at: number): void {
    if (this.#underWay.size === 0) this.#progressAt = at
    this.#underWay.set(call, at)
    call.send(() => this.#answered(call))
  }

  #answered(call: Call): void {
    const at = now()
    const took = at - this.#underWay.get(call)!
    this.#underWay.delete(call)
    this.#progressAt = at
    this.#usual = Math.min(took, 1.1 * this.#usual)
    const wanted = this.queue.size > 0 || this.#limit < START
    if (wanted && took < this.#slow && this.#limit < MOST) this.#limit++
    if (took > 2 * this.#slow) this.#lookSoon()
    // What is sent now may take as long, or twice that; what is fresh goes in any case.
    this.#sendQueued(at, Math.min(2 * took, 3 * this.#slow))
  }

  #isSilent(at: number): boolean {
    const long = Math.min(Math.max(SILENCE_MS, 4 * this.#usual), this.#slow)
    return this.#underWay.size > 0 && at - this.#progressAt > long
  }

  /** Looks again when all has been read that has arrived: this process may be the slow one. */
  #lookSoon(): void {
    if (this.#looking) return
    this.#looking = true
    setImmediate(() => {
      this.#looking = false
      this.#look(now())
    })
  }

  #look(at: number): void {
    const size = this.#underWay.size
    const [oldest = at] = this.#underWay.values()
    if (this.#isSilent(at)) {
      this.#limit = Math.min(this.#limit, size)
    } else if (at - oldest > 2 * this.#slow && oldest > this.#reducedAt) {
      // Once for all that was under way together.
      this.#limit = Math.max(1, size >> 1)
      this.#reducedAt = at
    }
    this.#sendQueued(at, 0)
  }

  /** Sends what waits, as far as it may, but for what an answer would reach too late. */
  #sendQueued(at: number, takes: number): void {
    for (const call of this.queue) {
      if (!this.#line.ready) this.#line.dispatch(call)
      else if (this.#underWay.size >= this.#limit) return
      else if (call.deadline - at < takes) call.giveUp(BEHIND)
      else this.#send(call, at)
    }
  }
}
