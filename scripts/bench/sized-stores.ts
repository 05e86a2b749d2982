/**
 * Operations on numbered tokens of this library, in stores of any size: no list
 * of tokens to keep.
 */
import { Redis } from 'ioredis'
import { ATTRS, CHANGED } from './attrs'
import { library } from './library'
import { idOf, keyOf, ownerOf } from './numbered'
import { runCalls } from './run-calls'
import type { Slice, Step } from './tasks'
import { timeCalls } from './time-calls'

const FILLERS = 256
const STRIDE = 7919 // a prime: steps of it meet every token, far apart

interface SizedStore {
  store: ReturnType<ReturnType<typeof library>['Tokenstore']>
  redis: Redis
}

type Operation = (sized: SizedStore, n: number) => Promise<unknown>

const issue: Operation = ({ store }, n) =>
  store.add({
    owner_id: ownerOf(n),
    attrs: ATTRS,
    key: keyOf(n),
    id: idOf(n)
  })
const end: Operation = ({ store }, n) => store.del(idOf(n))
const issueAnew: Operation = async (sized, n) => {
  await end(sized, n)
  await issue(sized, n)
}
const codeAndTry: Operation = async ({ store }, n) => {
  const name = `login-${n}`
  return store.tryCode(name, await store.makeCode(name))
}

/**
 * What is timed, and what is done untimed before and after, so that the next
 * step finds the same store.
 */
interface Steps {
  before?: Operation
  run: Operation
  after?: Operation
}

const operations: Record<string, Steps> = {
  // What the same costs without us: even that grows, once the tables of Redis
  // are larger than the caches of the CPU.
  'plain GET': { run: ({ redis }, n) => redis.get(`token:key:${keyOf(n)}`) },
  getKey: { run: ({ store }, n) => store.getKey(keyOf(n)) },
  get: { run: ({ store }, n) => store.get(idOf(n)) },
  set: { run: ({ store }, n) => store.set(idOf(n), CHANGED) },
  change: {
    run: ({ store }, n) => store.change(idOf(n), { owner_id: `other-${ownerOf(n)}` }),
    after: issueAnew
  },
  add: { before: end, run: issue },
  del: { run: end, after: issue },
  delKey: { run: ({ store }, n) => store.delKey(keyOf(n)), after: issue },
  rotate: { run: ({ store }, n) => store.rotate(idOf(n)), after: issueAnew },
  refresh: {
    run: ({ store }, n) => store.refresh(keyOf(n)),
    after: async (sized, n) => {
      await end(sized, n)
      await sized.store.delKey(keyOf(n)) // known for a day else
      await issue(sized, n)
    }
  },
  'makeCode and tryCode': { run: codeAndTry },
  'list of 10': { run: ({ store }, n) => store.list(ownerOf(n)) },
  count: { run: ({ store }, n) => store.count(ownerOf(n)) }
}
export const GROWING = Object.keys(operations)

export class SizedStores {
  readonly #urls: string[]
  readonly #stores = new Map<number, SizedStore>()
  #walked = 0

  constructor(urls: string[]) {
    this.#urls = urls
  }

  /** Fills the next of the servers. */
  async grow(size: number): Promise<void> {
    const redis = this.#urls[this.#stores.size]!
    const sized = {
      store: library().Tokenstore({ redis, timeout: 60_000 }),
      redis: new Redis(redis)
    }
    this.#stores.set(size, sized)
    await runCalls(size, FILLERS, (n) => issue(sized, n))
  }

  /**
   * One part of a step: the next of the numbers are prepared, then timed, then
   * put back.
   */
  async step(task: Step): Promise<Slice | undefined> {
    const { part, op, size, calls, inFlight } = task
    const operation = operations[op]![part]
    if (part === 'before') this.#walked += calls
    if (!operation) return undefined
    const sized = this.#stores.get(size)!
    const first = this.#walked
    const each = (call: number): Promise<unknown> =>
      operation(sized, ((first + call) * STRIDE) % size)
    if (part === 'run') return timeCalls(each, inFlight, { calls })
    await runCalls(calls, FILLERS, each)
    return undefined
  }
}
