/**
 * One contender in a process of its own, so that its CPU time, heap and
 * compiled code are nobody else's.
 */
import { ATTRS, CHANGED, type Attrs } from './attrs'
import { CachedStores } from './cache/stores'
import { open, type Contender, type Handle, type Name } from './contenders'
import { LISTS, listOps, sizeOf } from './lists'
import { runCalls } from './run-calls'
import { SizedStores } from './sized-stores'
import type { Fill, Task } from './tasks'
import { timeCalls } from './time-calls'

const FILLERS = 256

const [name, ...urls] = process.argv.slice(2) as [Name, ...string[]]
const standing: Handle[] = []
const fresh: Handle[] = []
const sized = new SizedStores(urls)
const cached = new CachedStores(urls[0]!)
let contender: Contender

type Operation = (call: number) => Promise<unknown>

const operations: Record<string, Operation> = {
  getKey: (call) => contender.getKey(standing[call % standing.length]!),
  set: (call) => contender.set(standing[call % standing.length]!, CHANGED),
  add: async (call) => {
    fresh.push(await contender.add(`new-${Math.floor(call / 10)}`, ATTRS))
  },
  del: () => contender.del(fresh.pop()!)
}

for (const op of listOps) {
  const owners = LISTS[sizeOf(op)]!
  operations[op] = (call) => contender.list!(`${op}-${call % owners}`)
}

/** Whether the contender does the job at all, before its speed is measured. */
async function prove(): Promise<void> {
  const attrsOf = (found: object | null): string => {
    const { attrs, d, ...rest } = found as { attrs?: Attrs; d?: Attrs }
    return JSON.stringify(attrs ?? d ?? rest)
  }
  const expect = (what: string, found: string, wanted: string): void => {
    if (found === wanted) return
    throw new Error(`${name}: ${what} answers ${found} instead of ${wanted}`)
  }
  const tokens: Handle[] = []
  for (const ttl of [undefined, undefined, 60]) {
    tokens.push(await contender.add('prove', ATTRS, ttl))
  }
  const [first, second] = tokens as [Handle, Handle]
  const attrs = async (): Promise<string> => attrsOf(await contender.getKey(first))
  expect('getKey', await attrs(), JSON.stringify(ATTRS))
  await contender.set(first, CHANGED)
  expect('getKey after set', await attrs(), JSON.stringify(CHANGED))
  await contender.del(second)
  const ended = await contender.getKey(second)
  expect('getKey after del', JSON.stringify(ended), 'null')
  const listed = await contender.list?.('prove')
  if (listed) expect('list', String(listed.length), '2')
  await contender.reset()
  const removed = await contender.getKey(first)
  expect('getKey after reset', JSON.stringify(removed), 'null')
}

async function fill(task: Fill): Promise<void> {
  const { tokens, perOwner, attrs, owner, ttl, padded } = task
  standing.length = 0
  await runCalls(tokens, FILLERS, async (n) => {
    const nth = Math.floor(n / perOwner)
    // Owners of 12 to 43 characters, so that no contender is lucky with the
    // size classes of the allocator.
    const length = padded ? 12 + (nth % 32) : 0
    const padding = `${owner}-${nth}`.padEnd(length, '-')
    standing.push(await contender.add(padding, attrs, ttl))
  })
}

async function answer(task: Task): Promise<unknown> {
  switch (task.do) {
    case 'prove':
      return prove()
    case 'fill':
      return fill(task)
    case 'time': {
      // What was added in the last slice is what del ends, all of it, so that
      // nothing piles up.
      const { op, inFlight, ms } = task
      const until = op === 'del' ? { calls: fresh.length } : { ms }
      return timeCalls(operations[op]!, inFlight, until)
    }
    case 'warm':
      return runCalls(standing.length, FILLERS, (n) => contender.getKey(standing[n]!))
    case 'reset': {
      standing.length = 0
      const start = performance.now()
      await contender.reset()
      return (performance.now() - start) / 1000
    }
    case 'grow':
      return sized.grow(task.size)
    case 'step':
      return sized.step(task)
    default:
      return cached.answer(task)
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
