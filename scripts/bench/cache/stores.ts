/**
 * Stores of numbered tokens, with caches of any size. Those with a cache share
 * their tokens; those of the store without are others, of which Redis tells
 * nobody.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { ATTRS } from '../attrs'
import { library } from '../library'
import { idOf, keyOf, ownerOf } from '../numbered'
import { runCalls } from '../run-calls'
import { timeCalls } from '../time-calls'
import { PacedLoad } from './paced-load'
import { clock, type CacheTask, type Drawn, type Loaded, type Max, type Seen } from './tasks'
import { zipf } from './zipf'

const IN_FLIGHT = 64
const FILLERS = 256
const TRIES = 20
const MOST_MS = 30_000

/** A connection that counts the keys for which Redis is asked. */
class Counting extends Redis {
  asked = 0

  override sendCommand(...[command, stream]: Parameters<Redis['sendCommand']>): unknown {
    // EVALSHA digest 1 root TOUCH key [key ...]
    const { name, args } = command
    if (name === 'evalsha' && args[3] === 'TOUCH') this.asked += args.length - 4
    return super.sendCommand(command, stream)
  }
}

export interface CachedStore {
  store: ReturnType<ReturnType<typeof library>['Tokenstore']>
  redis: Counting
}

export class CachedStores {
  readonly #url: string
  readonly #stores = new Map<Max, CachedStore>()
  #draws: Uint32Array | undefined
  #drawn = 0
  #load: PacedLoad | undefined
  #loaded = 0
  #seen: Promise<Seen[]> | undefined

  constructor(url: string) {
    this.#url = url
  }

  async answer(task: CacheTask): Promise<unknown> {
    switch (task.do) {
      case 'issue':
        return this.#issue(task.max, task.from, task.to)
      case 'keep':
        return this.#keep(task.max, task.from, task.to)
      case 'draw':
        return this.#draw(task.max, task.size, task.ms)
      case 'load':
        this.#load = new PacedLoad(this.#of(task.max), task.load, this.#loaded)
        return undefined
      case 'unload':
        return this.#unload()
      case 'watch':
        this.#seen = this.#watch(task.max, task.from, task.to)
        this.#seen.catch(() => {}) // who asks for it is told
        return undefined
      case 'seen':
        return this.#seen
      case 'revoke':
        return this.#revoke(task.max, task.from, task.to)
    }
  }

  #of(max: Max): CachedStore {
    let opened = this.#stores.get(max)
    if (!opened) {
      const redis = new Counting(this.#url)
      const cache = max > 0 && { max }
      const prefix = max > 0 ? 'kept' : 'plain'
      const store = library().Tokenstore({ redis, prefix, cache, timeout: 60_000 })
      opened = { store, redis }
      this.#stores.set(max, opened)
    }
    return opened
  }

  #issue(max: Max, from: number, to: number): Promise<void> {
    const { store } = this.#of(max)
    return runCalls(to - from, FILLERS, (call) => {
      const n = from + call
      return store.add({ owner_id: ownerOf(n), attrs: ATTRS, key: keyOf(n), id: idOf(n) })
    })
  }

  /** From the last to the first, which are used last, and so stay. */
  async #keep(max: Max, from: number, to: number): Promise<void> {
    const read = (first: number, last: number): Promise<void> =>
      runCalls(last - first, FILLERS, (call) => store.getKey(keyOf(last - 1 - call)))
    const { store } = this.#of(max)
    const kept = to - from > max ? max / 2 : to - from
    for (let tries = 0; tries < TRIES; tries++) {
      await read(from, to)
      await sleep(20) // what was read is read again before it is kept
      if (await isAtOnce(() => read(from, from + kept))) return
    }
    throw new Error(`a cache of ${max} does not keep ${kept} tokens`)
  }

  async #draw(max: Max, size: number, ms: number): Promise<Drawn> {
    const { store, redis } = this.#of(max)
    const draws = (this.#draws ??= zipf(size))
    const before = redis.asked
    const call = (): Promise<unknown> => store.getKey(keyOf(draws[this.#drawn++ % draws.length]!))
    const slice = await timeCalls(call, IN_FLIGHT, { ms })
    return { ...slice, asked: redis.asked - before }
  }

  async #unload(): Promise<Loaded> {
    const loaded = await this.#load!.stop()
    this.#loaded += loaded.calls
    return loaded
  }

  /** Asks for each token in every turn of the loop, until it is gone. */
  #watch(max: Max, from: number, to: number): Promise<Seen[]> {
    const { store } = this.#of(max)
    const seen: Seen[] = []
    const deadline = clock() + MOST_MS
    const left = new Set(Array.from({ length: to - from }, (_, i) => i))
    async function ask(i: number): Promise<void> {
      const made = clock()
      if ((await store.getKey(keyOf(from + i))) || !left.delete(i)) return
      seen[i] = { made, answered: clock() }
    }
    return new Promise((resolve, reject) => {
      function turn(): void {
        for (const i of left) ask(i).catch(reject)
        if (left.size === 0) resolve(seen)
        else if (clock() < deadline) setImmediate(turn)
        else reject(new Error(`${left.size} revoked tokens are still answered`))
      }
      turn()
    })
  }

  /** When each `del` was answered. */
  async #revoke(max: Max, from: number, to: number): Promise<number[]> {
    const { store } = this.#of(max)
    const answered: number[] = []
    for (let n = from; n < to; n++) {
      await sleep(1)
      await store.del(idOf(n))
      answered.push(clock())
    }
    return answered
  }
}

/** Whether something needs no other turn of the loop. */
async function isAtOnce(run: () => Promise<void>): Promise<boolean> {
  let atOnce = true
  const next = setImmediate(() => (atOnce = false))
  await run()
  clearImmediate(next)
  return atOnce
}
