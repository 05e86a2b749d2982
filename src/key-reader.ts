import type { Cache } from './cache'
import type { Connection } from './connection'
import { raise, type Failure, type TokenstoreError } from './errors'
import { nextTick, now } from './timers'

/**
 * What `getkey` answers for one key: the record, or null when no token is live, and when it
 * expires.
 */
export type Found = [record: string | null, expires_at: number]

interface Call {
  key: string
  resolve(found: Found): void
  reject(failure: Failure): void
}

// Large enough to share the cost of a command, small enough that Redis looks up one batch
// while this process makes or reads another: with 64 calls in flight 32 is a third faster
// than 64, or more.
const MAX_KEYS = 32

// From here on half of them go first: else Redis is idle while this process makes or reads
// them, and the other way round.
const WORTH_HALVING = 8

// Failures that say nothing of the keys.
const OF_NO_KEY = new Set(['TSUNAVAILABLE', 'TSCLOSED', 'TSVERSION'])

/**
 * Sends the `getkey` calls of one tick in batches: nearly all of a call's cost is per
 * command, on both sides. A lone call waits for no other.
 */
export class KeyReader {
  readonly #connection: Connection
  readonly #cache: Cache | undefined
  readonly #max: number
  #underWay = 0
  readonly #batches = new Map<string, Call[]>()

  constructor(connection: Connection, batch: boolean, cache: Cache | undefined) {
    this.#connection = connection
    this.#cache = cache
    this.#max = batch ? MAX_KEYS : 1
  }

  read(root: string, use: 'TOUCH' | 'PEEK', key: string): Promise<Found> {
    const found = new Promise<Found>((resolve, reject) => {
      const name = use + root
      let batch = this.#batches.get(name)
      if (!batch) {
        batch = []
        this.#batches.set(name, batch)
        // After all the promises that are due now, whose continuations may ask for keys as well.
        if (this.#max > 1) nextTick(() => this.#flush(root, use))
      }
      batch.push({ key, resolve, reject })
      if (batch.length >= this.#max) this.#flush(root, use)
    })
    return found.catch(raise)
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
    const deadline = now() + this.#connection.timeout
    const halved = calls.length >= WORTH_HALVING && calls.length < this.#max
    if (halved && this.#underWay === 0) {
      void this.#send(root, use, calls.splice(0, calls.length >> 1), deadline)
    }
    void this.#send(root, use, calls, deadline)
  }

  async #send(root: string, use: 'TOUCH' | 'PEEK', calls: Call[], deadline: number): Promise<void> {
    this.#underWay++
    const keys = calls.map(({ key }) => key)
    const keep = this.#cache?.begin(root)
    try {
      const args = [use, ...keys]
      const reply = (await this.#connection.run('getkey', root, args, 0, deadline)) as unknown[]
      keep?.(keys, reply)
      calls.forEach(({ resolve }, i) =>
        resolve([reply[2 * i] as string | null, Number(reply[2 * i + 1])])
      )
    } catch (error) {
      const failure = error as TokenstoreError
      if (calls.length === 1 || OF_NO_KEY.has(failure.code)) {
        for (const { reject } of calls) reject(failure)
      } else {
        // Something strange under one key must not fail the callers of the others.
        for (const call of calls) void this.#send(root, use, [call], deadline)
      }
    } finally {
      this.#underWay--
    }
  }
}
