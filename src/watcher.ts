import { EventEmitter } from 'node:events'
import * as check from './check'
import type { Context } from './context'
import type { Name } from './layout'
import type { Triple } from './record'
import { clearInterval, clearTimeout, nextTick, setInterval, setTimeout } from './timers'
import { unlessForeign } from './walk'

interface Events {
  /** A token that was expected to live has been revoked or has expired: its id, once. */
  revoked: [id: string]
  /** For a while nothing may have been told; all ids are asked for again as soon as it is. */
  gap: []
}

// Ids that are asked for at a time: so few that other calls hardly wait.
const IN_FLIGHT = 32
// So often it looks whether it is told again.
const LOOK_MS = 200
// The clocks of Redis and of this process differ a little.
const MIN_TIMER_MS = 5
// A timer of Node can be set to 25 days.
const MAX_TIMER_MS = 86_400_000

/**
 * Tells when tokens end, made by `watch()`. An id is asked for at once, whenever Redis tells
 * that it changed, when its token should expire, and after a gap; so each end is told, at the
 * latest after the gap in which it came.
 */
export class Watcher extends EventEmitter<Events> {
  readonly #context: Context
  /** The ids that are expected to live, with the timers of those that expire. */
  readonly #expected = new Map<string, NodeJS.Timeout | undefined>()
  /** Those to be asked for now, by server: one that hangs holds up no other. */
  readonly #queues = new Map<string, { due: Set<string>; inFlight: number }>()
  /** Those to be asked for once it is told what changes. */
  readonly #later = new Set<string>()
  #moves: number
  #closed = false
  readonly #stop: () => void

  constructor(context: Context) {
    super()
    this.#context = context
    const { tracking } = context
    this.#moves = tracking.moves
    const told = {
      changed: ({ family, rest }: Name) => family === 'id' && this.#ask([rest]),
      flushed: () => this.#ask(this.#expected.keys()),
      lost: () => this.#lost(),
      closed: () => this.close()
    }
    const events = Object.entries(told) as [keyof typeof told, () => void][]
    for (const [event, listener] of events) tracking.on(event, listener)
    const timer = setInterval(() => this.#askLater(), LOOK_MS).unref()
    this.#stop = () => {
      clearInterval(timer)
      for (const [event, listener] of events) tracking.off(event, listener)
    }
  }

  /** Watches for the end of a token; one that is gone already is told at once. */
  expect(id: string): void {
    check.text('id', id)
    if (this.#closed) return
    if (!this.#expected.has(id)) this.#expected.set(id, undefined)
    this.#ask([id])
  }

  /** Watches for the end of a token no longer. */
  forget(id: string): void {
    clearTimeout(this.#expected.get(id))
    this.#expected.delete(id)
    this.#later.delete(id)
  }

  /** Watches for nothing any more. */
  close(): void {
    this.#closed = true
    this.#stop()
    for (const id of [...this.#expected.keys()]) this.forget(id)
    this.#context.tracking.rest()
  }

  #lost(): void {
    this.#allLater()
    // What a listener throws is the caller's uncaught exception.
    nextTick(() => this.emit('gap'))
  }

  #allLater(): void {
    for (const id of this.#expected.keys()) this.#later.add(id)
  }

  #askLater(): void {
    const { tracking, layout } = this.#context
    const { moves } = tracking
    if (moves !== this.#moves) this.#allLater()
    this.#moves = moves
    for (const id of this.#later) {
      const root = layout.idRoot(id)
      if (root !== null && !tracking.of(root)?.hears) continue
      this.#later.delete(id)
      this.#ask([id])
    }
  }

  #ask(ids: Iterable<string>): void {
    const { tracking, layout } = this.#context
    for (const id of ids) {
      if (!this.#expected.has(id)) continue
      const root = layout.idRoot(id)
      const server = root === null ? '' : tracking.serverOf(root)
      if (!this.#queues.has(server)) this.#queues.set(server, { due: new Set(), inFlight: 0 })
      this.#queues.get(server)!.due.add(id)
      this.#askDue(server)
    }
  }

  #askDue(server: string): void {
    const queue = this.#queues.get(server)!
    for (const id of queue.due) {
      if (queue.inFlight === IN_FLIGHT) return
      queue.due.delete(id)
      if (!this.#expected.has(id)) continue
      queue.inFlight++
      void this.#look(id).finally(() => {
        queue.inFlight--
        this.#askDue(server)
      })
    }
  }

  async #look(id: string): Promise<void> {
    const { tracking, layout } = this.#context
    const root = layout.idRoot(id)
    const tracker = root === null ? undefined : tracking.of(root)
    const heard = tracker?.hears
    try {
      const found = root === null ? null : await this.#get(root, id)
      if (!this.#expected.has(id)) return
      if (found === null) return this.#tell(id)
      const age = tracker?.age ?? Infinity
      const expires_at = Number(found[2])
      // What happens from here on may not be told, or the time of Redis is not known.
      if (!heard || age === Infinity) this.#later.add(id)
      else if (expires_at > 0) this.#lookAgain(id, expires_at - tracker.timeAt(age))
    } catch {
      this.#later.add(id)
    }
  }

  #get(root: string, id: string): Promise<Triple | null> {
    const found = this.#context.run('get', root, [id]) as Promise<Triple | null>
    return found.catch(unlessForeign(null))
  }

  #lookAgain(id: string, ms: number): void {
    clearTimeout(this.#expected.get(id))
    const delay = Math.min(Math.max(ms, MIN_TIMER_MS), MAX_TIMER_MS)
    this.#expected.set(id, setTimeout(() => this.#ask([id]), delay).unref())
  }

  #tell(id: string): void {
    nextTick(() => {
      if (!this.#expected.has(id)) return
      this.forget(id)
      this.emit('revoked', id)
    })
  }
}
