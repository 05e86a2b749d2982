import { EventEmitter } from 'node:events'
import * as check from './check'
import type { Context } from './context'
import type { Name } from './layout'
import type { Triple } from './record'
import { clearTimeout, nextTick, setTimeout, today } from './timers'
import type { Tracker } from './tracker'
import { unlessForeign } from './walk'

interface Events {
  /** A token that was expected to live has been revoked or has expired: its id, once. */
  revoked: [id: string]
  /** For a while nothing may have been told; all ids are asked for again as soon as it is. */
  gap: []
}

// Ids that are asked for at a time: so few that other calls hardly wait.
const IN_FLIGHT = 32
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
  /** Those to be asked for now, and those that must wait for a proof that changes are told. */
  readonly #due = new Set<string>()
  readonly #later = new Set<string>()
  #inFlight = 0
  #closed = false
  readonly #stop: () => void

  constructor(context: Context) {
    super()
    this.#context = context
    const { tracking } = context
    const hears = {
      changed: ({ family, rest }: Name) => family === 'id' && this.#ask([rest]),
      flushed: () => this.#ask(this.#expected.keys()),
      lost: () => this.#lost(),
      proven: () => this.#askLater(),
      closed: () => this.close()
    }
    const events = Object.entries(hears) as [keyof typeof hears, () => void][]
    for (const [event, heard] of events) tracking.on(event, heard)
    this.#stop = () => {
      for (const [event, heard] of events) tracking.off(event, heard)
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
  }

  /** Watches for nothing any more. */
  close(): void {
    this.#closed = true
    this.#stop()
    for (const id of [...this.#expected.keys()]) this.forget(id)
    this.#context.tracking.rest()
  }

  #lost(): void {
    for (const id of this.#expected.keys()) this.#later.add(id)
    // What a listener throws is the caller's uncaught exception.
    nextTick(() => this.emit('gap'))
  }

  #askLater(): void {
    const ids = [...this.#later]
    this.#later.clear()
    this.#ask(ids)
  }

  #ask(ids: Iterable<string>): void {
    for (const id of ids) if (this.#expected.has(id)) this.#due.add(id)
    for (const id of this.#due) {
      if (this.#inFlight === IN_FLIGHT) return
      this.#due.delete(id)
      this.#inFlight++
      void this.#look(id).finally(() => {
        this.#inFlight--
        this.#ask([])
      })
    }
  }

  async #look(id: string): Promise<void> {
    const { tracking, layout } = this.#context
    const root = layout.idRoot(id)
    const tracker = root === null ? undefined : tracking.of(root)
    // What happens from here on may not be told.
    if (root !== null && !tracker?.hears) this.#later.add(id)
    try {
      const found = root === null ? null : await this.#get(root, id)
      if (!this.#expected.has(id)) return
      const expires_at = Number(found?.[2] ?? 0)
      if (found === null) this.#tell(id)
      else if (expires_at > 0) this.#lookAgain(id, expires_at - timeBy(tracker))
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
    this.forget(id)
    nextTick(() => this.emit('revoked', id))
  }
}

/** Unix ms by the clock of Redis; by that of this machine when it is not known. */
function timeBy(tracker: Tracker | undefined): number {
  const age = tracker?.age ?? Infinity
  return age < Infinity ? tracker!.timeAt(age) : today()
}
