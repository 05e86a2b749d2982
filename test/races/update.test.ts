import type { Token } from '../../src/main'
import { audit, client, closeAfterAll, names } from '../support'
import { breaks, contenders, races, rounds, ROUNDS, values, type Tokens } from './race'

closeAfterAll()

const N = 4

type Change = (attrs: Record<string, unknown>) => Promise<Record<string, unknown>>
type Update = (i: number, id: string, change: Change) => Promise<Token | null>

function roundsOf(adder: Tokens, update: Update): (round: number) => Promise<void> {
  const race = races(14)
  return async (round) => {
    const { id, key } = await adder.add({ owner_id: `user-${round % 20}`, attrs: { n: 0, by: [] } })
    const changes = Array.from({ length: N }, (_, i): Change => async ({ n, by }) => {
      if (i === 0) await Promise.resolve()
      return { n: Number(n) + 1, by: [...(by as number[]), i] }
    })
    const results = values(await race(changes.map((change, i) => () => update(i, id, change))))
    expect(results.map((token) => token!.attrs.n).sort()).toEqual([1, 2, 3, 4])
    const { attrs } = (await adder.getKey(key))!
    expect(attrs.n).toBe(N)
    expect((attrs.by as number[]).toSorted()).toEqual([0, 1, 2, 3])
  }
}

test('concurrent updates are all applied, over several stores', async () => {
  const { prefix, stores } = await contenders(N)
  let runs = 0
  const run = roundsOf(stores[0]!, (i, id, change) =>
    stores[i]!.update(id, (attrs) => {
      runs++
      return change(attrs)
    })
  )
  await Promise.all(Array.from({ length: ROUNDS }, (_, round) => run(round)))
  expect(runs).toBeGreaterThan(N * ROUNDS) // some met, and ran again
  expect(await audit(client(), prefix)).toEqual([])
})

test('in two calls, an update is lost', async () => {
  const { stores } = await contenders(N)
  await breaks(
    roundsOf(stores[0]!, async (i, id, change) => {
      const seen = await stores[i]!.get(id)
      return stores[i]!.set(id, await change(seen!.attrs))
    })
  )
})

test('many updates of one token at once are all applied', async () => {
  const { prefix, stores } = await contenders(N)
  const { id } = await stores[0]!.add({ owner_id: 'user-7', attrs: { n: 0 } })
  for (let round = 0; round < ROUNDS / 50; round++) {
    await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        stores[i % N]!.update(id, ({ n }) => ({ n: Number(n) + 1 }))
      )
    )
  }
  expect((await stores[0]!.get(id))!.attrs).toEqual({ n: ROUNDS })
  expect(await audit(client(), prefix)).toEqual([])
})

test('an update beside del is applied before it or answers null, and never revives', async () => {
  const { prefix, stores } = await contenders(N)
  const [deleter, ...updaters] = stores
  const race = races(15)
  const seen = { applied: 0, ended: 0 }
  const run = async (round: number): Promise<void> => {
    const { id, key } = await deleter!.add({ owner_id: 'user-7', attrs: { n: 0 } })
    const wait =
      round % 2
        ? (): Promise<unknown> => deleter!.get(id)
        : (): Promise<unknown> => Promise.resolve()
    const [ended, ...updated] = values(
      await race<unknown>([
        () => wait().then(() => deleter!.del(id)),
        ...updaters.map((tokens) => () => tokens.update(id, ({ n }) => ({ n: Number(n) + 1 })))
      ])
    )
    expect(ended).toBe(true)
    for (const token of updated) seen[token === null ? 'ended' : 'applied']++
    expect(await deleter!.getKey(key)).toBeNull()
  }
  await rounds(run, { seen })
  expect(Math.min(seen.applied, seen.ended)).toBeGreaterThan(0)
  expect(await names(client(), prefix)).toEqual({})
})
