import { client, closeAfterAll, names } from '../support'
import { breaks, connected, contenders, races, rounds, values, type Tokens } from './race'

closeAfterAll()

const N = 6

function roundsOf(
  maker: Tokens,
  take: (i: number, hash: string) => Promise<unknown>,
  wins: number[] = []
): (round: number) => Promise<void> {
  const race = races(16)
  return async (round) => {
    const hash = await maker.makeHash({ round }, 600)
    const taken = values(await race(Array.from({ length: N }, (_, i) => () => take(i, hash))))
    expect(taken.filter((value) => value !== null)).toEqual([{ round }])
    wins[taken.findIndex((value) => value !== null)]!++
    expect(await maker.getHash(hash)).toBeNull()
  }
}

test('of many takers of one hash exactly one gets the value', async () => {
  const { prefix, stores } = await contenders(N)
  const wins = new Array<number>(N).fill(0)
  await rounds(
    roundsOf(stores[0]!, (i, hash) => stores[i]!.takeHash(hash), wins),
    { seen: wins }
  )
  expect(Math.min(...wins)).toBeGreaterThan(0)
  expect(await names(client(), prefix)).toEqual({})
})

test('a look takes nothing; of takers and deleters exactly one has the hash', async () => {
  const { prefix, stores } = await contenders(N)
  const race = races(17)
  const seen = { looked: 0, taken: 0, deleted: 0 }
  const run = async (round: number): Promise<void> => {
    const hash = await stores[0]!.makeHash(round, 600)
    const calls = [
      ...stores.slice(0, 2).map((tokens) => (): Promise<unknown> => tokens.getHash(hash)),
      ...stores.slice(2, 4).map((tokens) => (): Promise<unknown> => tokens.takeHash(hash)),
      ...stores.slice(4).map((tokens) => (): Promise<unknown> => tokens.delHash(hash))
    ]
    const results = values(await race(calls))
    const taken = results.slice(2, 4).filter((value) => value !== null)
    const deleted = results.slice(4).filter(Boolean)
    expect([...taken, ...deleted]).toHaveLength(1)
    if (taken.length) expect(taken).toEqual([round])
    seen.taken += taken.length
    seen.deleted += deleted.length
    seen.looked += results.slice(0, 2).filter((value) => value !== null).length
  }
  await rounds(run, { seen })
  expect(Math.min(seen.looked, seen.taken, seen.deleted)).toBeGreaterThan(0)
  expect(await names(client(), prefix)).toEqual({})
})

test('in two calls, more than one gets the value', async () => {
  const { prefix, stores } = await contenders(1)
  const clients = await connected(N)
  await breaks(
    roundsOf(stores[0]!, async (i, hash) => {
      const value = await clients[i]!.get(`${prefix}:hash:${hash}`)
      await clients[i]!.del(`${prefix}:hash:${hash}`)
      return value === null ? null : (JSON.parse(value) as unknown)
    })
  )
})
