/** Calls of getKey and writes at a rate, whatever they take. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ATTRS, CHANGED } from '../attrs'
import { idOf, keyOf } from '../numbered'
import type { CachedStore } from './stores'
import type { Load, Loaded } from './tasks'

const STRIDE = 7919 // a prime: steps of it meet every token, far apart
/** What is due beyond waits: a machine may be too slow for the rate. */
const MOST_OPEN = 500

export class PacedLoad {
  readonly #opened: CachedStore
  readonly #load: Load
  readonly #asked: number
  readonly #start = performance.now()
  readonly #open = new Set<Promise<unknown>>()
  readonly #first: number
  #calls = 0
  #writes = 0
  #over = false
  #failure: unknown

  /** Its calls are numbered from `first`, so that the cold ones of two loads differ. */
  constructor(opened: CachedStore, load: Load, first: number) {
    this.#opened = opened
    this.#first = first
    this.#load = load
    this.#asked = opened.redis.asked
    this.#tick()
  }

  /** Resolves once all is answered. */
  async stop(): Promise<Loaded> {
    this.#over = true
    const seconds = this.#seconds()
    await nextTurn() // what is due is made first
    await Promise.all(this.#open)
    if (this.#failure) throw this.#failure as Error
    const asked = this.#opened.redis.asked - this.#asked
    return { calls: this.#calls, asked, writes: this.#writes, seconds }
  }

  #seconds(): number {
    return (performance.now() - this.#start) / 1000
  }

  /** Makes what is due by then. */
  #tick(): void {
    if (this.#over) return
    const { calls, writes, together } = this.#load
    const seconds = this.#seconds()
    while (this.#writes < Math.floor(writes * seconds)) this.#write(this.#writes++)
    const due = Math.floor(calls * seconds) - this.#calls
    for (let more = Math.min(due, MOST_OPEN - this.#open.size); more > 0; more--) {
      const call = this.#first + this.#calls++
      if (together) this.#getKey(call)
      else setImmediate(() => this.#getKey(call))
    }
    setTimeout(() => this.#tick(), 1)
  }

  #getKey(call: number): void {
    const { hot, size, coldEvery } = this.#load
    const cold = Math.floor(call / coldEvery) % (size - hot)
    const n = call % coldEvery === 0 ? hot + cold : (call * STRIDE) % hot
    this.#follow(this.#opened.store.getKey(keyOf(n)))
  }

  #write(write: number): void {
    const { hot } = this.#load
    const attrs = write % 2 ? ATTRS : CHANGED
    this.#follow(this.#opened.store.set(idOf((write * STRIDE) % hot), attrs))
  }

  #follow(call: Promise<unknown>): void {
    this.#open.add(call)
    call
      .then((token) => token ?? Promise.reject(new Error('a token is lost')))
      .catch((error: unknown) => (this.#failure = error))
      .finally(() => this.#open.delete(call))
  }
}
