import { EventEmitter } from 'node:events'
import { masterOf, serverOf, slotServersOf } from './client'
import type { Connection } from './connection'
import { errorText } from './errors'
import { readName, someRoots, type Layout, type Name } from './layout'
import { now, sleep } from './timers'
import { Tracker } from './tracker'

interface Events {
  /** A name of the store was written or deleted. */
  changed: [Name]
  /** All names of a server were deleted at once. */
  flushed: []
  /** From here on changes may go untold. */
  lost: []
  /** It is over, by `close`. */
  closed: []
}

const POLL_MS = 10
// No more often are the slots of a cluster compared, whoever asks.
const LOOK_MS = 100

/** What the servers of a store tell of it, by a tracker for each that is made when needed. */
export class Tracking extends EventEmitter<Events> {
  readonly #silence: number
  readonly #connection: Connection
  readonly #layout: Layout
  readonly #someRoots: readonly string[]
  readonly #trackers = new Map<string, Tracker>()
  /** The root that was asked for last, by server. */
  readonly #roots = new Map<string, string>()
  #slots: (string | undefined)[] = []
  #moves = 0
  #lookedAt = -Infinity
  #closed = false

  constructor(connection: Connection, layout: Layout, silence: number) {
    super()
    this.setMaxListeners(0)
    this.#connection = connection
    this.#layout = layout
    this.#someRoots = someRoots(layout)
    this.#silence = silence
  }

  /** The tracker of the server that holds a root; undefined when none is known. */
  of(root: string): Tracker | undefined {
    if (this.#closed) return undefined
    const { client, keyPrefix } = this.#connection
    let server
    try {
      server = masterOf(client, keyPrefix + root)
    } catch {
      return undefined
    }
    const [name, redis] = server
    if (redis.status === 'end') return undefined
    this.#roots.set(name, root)
    let tracker = this.#trackers.get(name)
    if (!tracker || tracker.server !== redis || tracker.ended) {
      tracker?.close()
      tracker = this.#track(server)
      this.#trackers.set(name, tracker)
    }
    return tracker
  }

  /** What the server is called that holds a root; '' for the only one. */
  serverOf(root: string): string {
    const { client, keyPrefix } = this.#connection
    return serverOf(client, keyPrefix + root)
  }

  /** Counts how often slots of a cluster were seen to have moved. */
  get moves(): number {
    if (now() - this.#lookedAt < LOOK_MS) return this.#moves
    this.#lookedAt = now()
    const slots = slotServersOf(this.#connection.client)
    if (slots.some((server, slot) => server !== this.#slots[slot])) this.#moves++
    this.#slots = slots
    return this.#moves
  }

  /** Resolves when every server tells; rejects with the error of one that cannot. */
  async ready(): Promise<void> {
    const deadline = now() + this.#connection.timeout
    const trackers = (): (Tracker | undefined)[] => this.#someRoots.map((root) => this.of(root))
    for (const tracker of trackers()) tracker?.hasten()
    while (!trackers().every((tracker) => tracker?.hears)) {
      if (this.#closed) throw new Error('TSCLOSED watch: the store was closed by quit()')
      const refused = trackers().find((tracker) => tracker?.refused)?.refused
      if (refused) throw refused
      if (now() > deadline) throw new Error('Redis did not tell in time what changes')
      await sleep(POLL_MS)
    }
  }

  /** Asks for proofs now. */
  hasten(): void {
    for (const tracker of this.#trackers.values()) if (tracker.hears) tracker.hasten()
  }

  /** Closes the connections, unless somebody listens. */
  rest(): void {
    if (this.listenerCount('changed') > 0) return
    for (const tracker of this.#trackers.values()) tracker.close()
    this.#trackers.clear()
  }

  close(): void {
    this.#closed = true
    this.emit('closed')
    this.removeAllListeners()
    this.rest()
  }

  #track(server: ReturnType<typeof masterOf>): Tracker {
    const { keyPrefix, timeout } = this.#connection
    const { tracked } = this.#layout
    const rootOf = (name: string): string | undefined =>
      [this.#roots.get(name)!, ...this.#someRoots].find((root) => this.serverOf(root) === name)
    const options = { keyPrefix, tracked, silence: this.#silence, timeout, rootOf }
    return new Tracker(server, options, {
      changed: (name) => {
        const found = readName(this.#layout, name.slice(keyPrefix.length))
        if (found) this.emit('changed', found)
      },
      flushed: () => this.emit('flushed'),
      lost: () => this.emit('lost'),
      refused: warn
    })
  }
}

const warned = new Set<string>()

function warn(error: Error): void {
  const why = errorText(error)
  if (warned.has(why)) return
  warned.add(why)
  const then = 'a cache asks Redis for each token, and watch() tells nothing'
  process.emitWarning(`Redis does not tell what changes, so ${then}: ${why}`, 'TokenstoreWarning')
}
