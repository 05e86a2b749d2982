import type { Line, PendingCall } from './pending-call'
import { Rest } from './rest'
import { afterNextPoll, now } from './timers'

type Call = PendingCall<unknown>

// Commands under way at once: after a rest, and at most. Between them it doubles within a
// round trip as long as there is more to send.
const START = 128
const MOST = 8192
// Twice what an answer takes by itself, but not less, and Redis is at something slow.
const SILENCE_MS = 20
const PROBE_EVERY_MS = 100

const BEHIND = 'Redis is behind with earlier calls, and this was not sent'

/**
 * How much is under way to one server. Redis serves in order, so what lies in its sockets
 * for longer than the timeout is work for nobody, and holds up what was asked since. While
 * it is silent no more is sent, and while it is late, less; the rest waits here, and is
 * given up unsent when it would be answered too late.
 */
export class FlowControl {
  readonly queue = new Set<Call>()
  readonly #line: Line
  /** Milliseconds that commands may wait for each other; more are sent while it is half of it. */
  readonly #late: number
  /** When each command that has no answer was sent, in that order. */
  readonly #underWay = new Map<Call, number>()
  #limit = START
  /** Milliseconds that an answer takes by itself, on the network and in Redis. */
  #base = 0
  /** A command whose answer tells that. */
  #probed: Call | undefined
  #probedAt = -Infinity
  /** Whether Redis has been silent, though all was read that had arrived. */
  #stoodStill = false
  /** Of the last answer, or of the first command that has none. */
  #progressAt = now()
  /** When answers came again after Redis, or this process, had stood still. */
  #resumedAt = 0
  #reducedAt = 0
  #looking = false
  readonly #rest = new Rest()

  constructor(line: Line) {
    this.#line = line
    this.#late = line.timeout / 3
  }

  /** Sends a call now, or once enough of what was sent before is answered. */
  enter(call: Call): void {
    const at = now()
    const rested = this.#underWay.size === 0 && this.#rest.isLong
    const free = this.queue.size === 0 && this.#underWay.size < this.#limit
    if (free && !rested && !this.#isSilent(at)) return this.#send(call, at)
    if (call.hold(this.queue, () => BEHIND)) this.queue.add(call)
    if (rested) this.#limit = START
    // Answers, or the end of a connection that Redis closed at rest, may not be read yet.
    if (free) this.#lookSoon()
  }

  #send(call: Call, at: number): void {
    if (this.#underWay.size === 0) {
      this.#progressAt = at
      if (at - this.#probedAt > PROBE_EVERY_MS) this.#probe(call, at)
    }
    this.#underWay.set(call, at)
    call.send(() => this.#answered(call))
  }

  #answered(call: Call): void {
    const at = now()
    const sentAt = this.#underWay.get(call)!
    const took = at - sentAt
    if (this.#isSilent(at)) this.#resumedAt = at
    // What came first after a silence, or was sent alone, took so long by itself; no answer
    // takes less.
    const first = this.#stoodStill || call === this.#probed
    const alone = Math.min(at - this.#progressAt, this.#line.timeout / 2)
    this.#base = first ? alone : Math.min(this.#base, took)
    this.#stoodStill = false
    const heldUp = took - this.#base
    this.#underWay.delete(call)
    this.#progressAt = at
    this.#rest.begin()
    const wanted = this.queue.size > 0 || this.#limit < START
    if (wanted && heldUp < this.#late / 2 && this.#limit < MOST) this.#limit++
    if (heldUp > this.#late) this.#lookSoon()
    // What is sent now may take as long, or twice that; what is fresh goes in any case.
    const takes = at - Math.max(sentAt, this.#resumedAt)
    this.#sendQueued(at, Math.min(2 * takes, this.#line.timeout / 2))
  }

  /** Learns how long a command takes that was sent alone, unless this process is in its way. */
  #probe(call: Call, at: number): void {
    this.#probedAt = at
    afterNextPoll(() => {
      const open = this.#underWay.has(call) && now() - at < SILENCE_MS
      this.#probed = open ? call : undefined
    })
  }

  #isSilent(at: number): boolean {
    const quiet = at - this.#progressAt
    return this.#underWay.size > 0 && quiet > Math.max(SILENCE_MS, 2 * this.#base)
  }

  /** Looks again when all has been read that has arrived: this process may be the slow one. */
  #lookSoon(): void {
    if (this.#looking) return
    this.#looking = true
    afterNextPoll(() => {
      this.#looking = false
      this.#look(now())
    })
  }

  #look(at: number): void {
    const size = this.#underWay.size
    const [oldest = at] = this.#underWay.values()
    if (this.#isSilent(at)) {
      this.#stoodStill = true
      this.#limit = Math.min(this.#limit, size)
    } else if (at - oldest > this.#late + this.#base && oldest > this.#reducedAt) {
      // Once for all that was under way together.
      this.#limit = Math.max(1, size >> 1)
      this.#reducedAt = at
    }
    this.#sendQueued(at, 0)
  }

  /** Sends what waits, as far as it may, but for what an answer would reach too late. */
  #sendQueued(at: number, takes: number): void {
    for (const call of this.queue) {
      // None, when this process stood still; the call is told how much it has instead.
      const left = call.deadline - at
      if (!this.#line.ready) this.#line.dispatch(call)
      else if (this.#underWay.size >= this.#limit) return
      else if (left > 0 && left < takes) call.giveUp(BEHIND)
      else this.#send(call, at)
    }
  }
}
