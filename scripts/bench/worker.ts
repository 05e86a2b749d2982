/** One contender in a process of its own, so that its CPU time, heap and compiled code are nobody else's. */
import { performance } from 'node:perf_hooks'
import { Redis } from 'ioredis'
import { library, open, type Attrs, type Contender, type Handle, type Name } from './adapters'

export interface Slice {
  calls: number
  seconds: number
  /** Of this process, in microseconds. */
  cpu: number
  /** Milliseconds. */
  p50: number
  p99: number
}

export interface Step {
  do: 'step'
  part: 'before' | 'run' | 'after'
  op: string
  size: number
  calls: number
  inFlight: number
}

/** What the parent asks for. */
export type Task =
  | { do: 'prove' }
  | { do: 'fill'; tokens: number; perOwner: number; attrs: Attrs; owner: string; padded?: boolean }
  | { do: 'time'; op: string; inFlight: number; ms: number }
  | { do: 'reset' }
  | { do: 'grow'; size: number }
  | Step

const ATTRS: Attrs = { name: 'Ada', role: 'admin', device: 'phone', ip: '192.0.2.7' }
const CHANGED: Attrs = { name: 'Ada', role: 'guest', device: 'phone', ip: '192.0.2.8' }
const FILLERS = 256

const [name, ...urls] = process.argv.slice(2) as [Name, ...string[]]
const standing: Handle[] = []
const fresh: Handle[] = []
let contender: Contender

const operations: Record<string, (call: number) => Promise<unknown>> = {
  getKey: (call) => contender.getKey(standing[call % standing.length]!),
  set: (call) => contender.set(standing[call % standing.length]!, CHANGED),
  add: async (call) => fresh.push(await contender.add(`new-${Math.floor(call / 10)}`, ATTRS)),
  del: () => contender.del(fresh.pop()!),
  'list 1': (call) => contender.list!(`list 1-${call % 50}`),
  'list 10': (call) => contender.list!(`list 10-${call % 50}`),
  'list 100': (call) => contender.list!(`list 100-${call % 10}`),
  'list 1000': (call) => contender.list!(`list 1000-${call % 3}`)
}

/** Calls with so many in flight, until the time is over or there is nothing left to call for. */
async function time(
  operation: (call: number) => Promise<unknown>,
  inFlight: number,
  ms: number,
  more: (call: number) => boolean
): Promise<Slice> {
  const latencies: number[] = []
  let calls = 0
  const cpuBefore = process.cpuUsage()
  const start = performance.now()
  async function caller(): Promise<void> {
    for (let before = performance.now(); before < start + ms && more(calls);) {
      await operation(calls++)
      const after = performance.now()
      latencies.push(after - before)
      before = after
    }
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  const sorted = Float64Array.from(latencies).sort()
  const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? 0
  return { calls, seconds, cpu: user + system, p50: at(0.5), p99: at(0.99) }
}

/** Whether the contender does the job at all, before anybody measures how fast. */
async function prove(): Promise<void> {
  const attrsOf = (found: object | null): string => {
    const { attrs, d, ...rest } = found as { attrs?: Attrs; d?: Attrs }
    return JSON.stringify(attrs ?? d ?? rest)
  }
  const expect = (what: string, found: string, wanted: string): void => {
    if (found !== wanted) throw new Error(`${name}: ${what} answers ${found} instead of ${wanted}`)
  }
  const tokens = await Promise.all([1, 2, 3].map(() => contender.add('prove', ATTRS)))
  const [first, second] = tokens as [Handle, Handle]
  expect('getKey', attrsOf(await contender.getKey(first)), JSON.stringify(ATTRS))
  await contender.set(first, CHANGED)
  expect('getKey after set', attrsOf(await contender.getKey(first)), JSON.stringify(CHANGED))
  await contender.del(second)
  expect('getKey after del', JSON.stringify(await contender.getKey(second)), 'null')
  if (contender.list) expect('list', String((await contender.list('prove')).length), '2')
  await contender.reset()
  expect('getKey after reset', JSON.stringify(await contender.getKey(first)), 'null')
}

/** Operations on numbered tokens of this library, in a store of any size: no list of tokens to keep. */
interface Sized {
  store: ReturnType<ReturnType<typeof library>['Tokenstore']>
  redis: Redis
}
const stores = new Map<number, Sized>()
const keyOf = (n: number): string => String(n).padStart(24, 'k')
const idOf = (n: number): string => `00000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`
const ownerOf = (n: number): string => `owner-${Math.floor(n / 10)}`
const STRIDE = 7919 // a prime, so that steps of it meet every token, far apart

type Growing = (sized: Sized, n: number) => Promise<unknown>
const issue: Growing = ({ store }, n) => store.add({ owner_id: ownerOf(n), attrs: ATTRS, key: keyOf(n), id: idOf(n) })
const end: Growing = ({ store }, n) => store.del(idOf(n))
/** What is timed, and what is done untimed before and after so that the next step finds the same store. */
const growing: Record<string, { run: Growing; before?: Growing; after?: Growing }> = {
  // What the same costs without us: even that grows, once the tables of Redis are larger than the caches of the CPU.
  'plain GET': { run: ({ redis }, n) => redis.get(`token:key:${keyOf(n)}`) },
  getKey: { run: ({ store }, n) => store.getKey(keyOf(n)) },
  get: { run: ({ store }, n) => store.get(idOf(n)) },
  set: { run: ({ store }, n) => store.set(idOf(n), CHANGED) },
  add: { before: end, run: issue },
  del: { run: end, after: issue },
  delKey: { run: ({ store }, n) => store.delKey(keyOf(n)), after: issue },
  rotate: {
    run: ({ store }, n) => store.rotate(idOf(n)),
    after: async (sized, n) => (await end(sized, n), issue(sized, n))
  },
  'list of 10': { run: ({ store }, n) => store.list(ownerOf(n)) },
  count: { run: ({ store }, n) => store.count(ownerOf(n)) }
}

async function all(calls: number, call: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0
  async function filler(): Promise<void> {
    while (next < calls) await call(next++)
  }
  await Promise.all(Array.from({ length: FILLERS }, filler))
}

let walked = 0
/** One part of a step: the next of the numbers are prepared, then timed, then put back. */
async function step({ part, op, size, calls, inFlight }: Step): Promise<Slice | undefined> {
  const operation = growing[op]![part]
  if (part === 'before') walked += calls
  if (!operation) return undefined
  const first = walked
  const each = (call: number): Promise<unknown> => operation(stores.get(size)!, ((first + call) * STRIDE) % size)
  if (part === 'run') return time(each, inFlight, Infinity, (call) => call < calls)
  await all(calls, each)
  return undefined
}

async function answer(task: Task): Promise<unknown> {
  switch (task.do) {
    case 'prove':
      return prove()
    case 'fill': {
      const { tokens, perOwner, attrs, owner, padded } = task
      standing.length = 0
      return all(tokens, async (n) => {
        const nth = Math.floor(n / perOwner)
        // Owners of 12 to 43 characters, so that no contender is lucky with the size classes of the allocator.
        standing.push(await contender.add(`${owner}-${nth}`.padEnd(padded ? 12 + (nth % 32) : 0, '-'), attrs))
      })
    }
    case 'time': {
      // What was added in the last slice is what del ends, all of it, so that nothing piles up.
      const { op, inFlight, ms } = task
      if (op === 'del') return time(operations.del!, inFlight, Infinity, () => fresh.length > 0)
      return time(operations[op]!, inFlight, ms, () => true)
    }
    case 'reset': {
      standing.length = 0
      const start = performance.now()
      await contender.reset()
      return (performance.now() - start) / 1000
    }
    case 'grow': {
      const url = urls[stores.size]!
      const sized = { store: library().Tokenstore({ redis: url, timeout: 60_000 }), redis: new Redis(url) }
      stores.set(task.size, sized)
      return all(task.size, (n) => issue(sized, n))
    }
    case 'step':
      return step(task)
  }
}

process.on('message', (task: Task) => {
  answer(task).then(
    (result) => process.send!({ result }),
    (error: Error) => process.send!({ error: error.stack ?? error.message })
  )
})
process.on('disconnect', () => process.exit())

async function main(): Promise<void> {
  contender = await open(name, urls[0]!)
  process.send!({ result: 'ready' })
}
void main()
