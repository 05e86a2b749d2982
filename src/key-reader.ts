import type { Connection } from './connection'
import { errorOf, type TokenstoreError } from './errors'

/**
 * What `getkey` answers for one key: the record, or null when no token is live, and when it
 * expires.
 */
export type Found = [record: string | null, expires_at: number]

interface Call {
  key: string
  resolve(found: Found): void
  reject(error: Error): void
}

// Large enough to share the cost of a command, small enough that Redis looks up one batch
// while this process makes or reads another: with 64 calls in flight 32 is a third faster
// than 64, or more.
const MAX_KEYS = 32

/**
 * Sends the `getkey` calls of one tick in batches: nearly all of a call's cost is per
 * command, on both sides. A lone call goes out in the same tick as well.
 */
export class KeyReader {
  readonly #connection: Connection
  readonly #max: number
  readonly #batches = new Map<string, Call[]>()

  constructor(connection: Connection, batch: boolean) {
    this.#connection = connection
    this.#max = batch ? MAX_KEYS : 1
  }

  read(root: string, use: 'TOUCH' | 'PEEK', key: string): Promise<Found> {
    return new Promise((resolve, reject) => {
      const name = use + root
      let batch = this.#batches.get(name)
      if (!batch) {
        batch = []
        this.#batches.set(name, batch)
        // After all the promises that are due now, whose continuations may ask for keys as well.
        if (this.#max > 1) process.nextTick(() => this.#flush(root, use))
      }
      batch.push({ key, resolve, reject })
      if (batch.length >= this.#max) this.#flush(root, use)
    })
  }

  /** Sends what is due, before the connection closes. */
  flush(): void {
    for (const name of [...this.#batches.keys()]) {
      const use = name.startsWith('TOUCH') ? 'TOUCH' : 'PEEK'
      this.#flush(name.slice(use.length), use)
    }
  }

  #flush(root: string, use: 'TOUCH' | 'PEEK'): void {
    const calls = this.#batches.get(use + root)
    if (!calls) return
    this.#batches.delete(use + root)
    void this.#send(root, use, calls)
  }

  async #send(root: string, use: 'TOUCH' | 'PEEK', calls: Call[]): Promise<void> {
    try {
      const reply = (await this.#connection.run('getkey', root, [
        use,
        ...calls.map(({ key }) => key)
      ])) as unknown[]
      calls.forEach(({ resolve }, i) =>
        resolve([reply[2 * i] as string | null, Number(reply[2 * i + 1])])
      )
    } catch (error) {
      const { code, message } = error as TokenstoreError
      if (code === 'TSRECORD' && calls.length > 1) {
        // Something strange under one key must not fail the callers of the others.
        for (const call of calls) void this.#send(root, use, [call])
      } else {
        for (const { reject } of calls) reject(errorOf(code, message))
      }
    }
  }
}
