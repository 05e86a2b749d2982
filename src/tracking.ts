import { EventEmitter } from 'node:events'
import { masterOf, serverOf } from './client'
import type { Connection } from './connection'
import { readName, someRoots, type Layout, type Name } from './layout'
import { Tracker } from './tracker'

interface Events {
  /** A name of the store was written or deleted. */
  changed: [Name]
  /** All names of a server were deleted at once. */
  flushed: []
  /** All has been told that happened on a server before this was asked. */
  proven: []
  /** From here on changes may go untold. */
  lost: []
  /** A server cannot tell, and not for want of a connection. */
  refused: [Error]
  /** It is over, by `close`. */
  closed: []
}

/** What the servers of a store tell of it, by a tracker for each that is made when needed. */
export class Tracking extends EventEmitter<Events> {
  readonly #connection: Connection
  readonly #layout: Layout
  readonly #silence: number
  readonly #trackers = new Map<string, Tracker>()
  #closed = false

  constructor(connection: Connection, layout: Layout, silence: number) {
    super()
    this.setMaxListeners(0)
    this.#connection = connection
    this.#layout = layout
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
    let tracker = this.#trackers.get(server[0])
    if (!tracker || tracker.server !== server[1] || tracker.ended) {
      tracker?.close()
      tracker = this.#track(server)
      this.#trackers.set(server[0], tracker)
    }
    tracker.root = root
    return tracker
  }

  /** Whether a root still lies on the server of a tracker. */
  isAt(root: string, { name }: Tracker): boolean {
    if (name === '') return true
    const { client, keyPrefix } = this.#connection
    return serverOf(client, keyPrefix + root) === name
  }

  /** Resolves when every server tells; rejects with the error of one that cannot. */
  async ready(): Promise<void> {
    const trackers = (): (Tracker | undefined)[] =>
      someRoots(this.#layout).map((root) => this.of(root))
    for (const tracker of trackers()) tracker?.hasten()
    await new Promise<void>((resolve, reject) => {
      const end = (): void => {
        this.off('proven', look).off('refused', refused).off('closed', closed)
      }
      const look = (): void => {
        if (!trackers().every((tracker) => tracker?.hears)) return
        end()
        resolve()
      }
      const refused = (error: Error): void => {
        end()
        reject(error)
      }
      const closed = (): void =>
        refused(new Error('TSCLOSED watch: the store was closed by quit()'))
      this.on('proven', look).on('refused', refused).on('closed', closed)
      look()
    })
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
    const options = { keyPrefix, tracked, silence: this.#silence, timeout }
    return new Tracker(server, options, {
      changed: (name) => {
        const found = readName(this.#layout, name.slice(keyPrefix.length))
        if (found) this.emit('changed', found)
      },
      flushed: () => this.emit('flushed'),
      proven: () => this.emit('proven'),
      lost: () => this.emit('lost'),
      refused: (error) => this.emit('refused', error)
    })
  }
}
