import { client, closeAfterAll, names } from '../support'
import { contenders, inTwoCalls, races, rounds, values } from './race'

closeAfterAll()

const N = 6

test('of many takers of one hash exactly one gets the value', async () => {
  const { prefix, stores } = await contenders(N)
  const race = races(16)
  const wins = new Array<number>(N).fill(0)
  await rounds(async (round) => {
    const hash = await stores[0]!.makeHash({ round }, 60)
    const taken = values(await race(stores.map((tokens) => () => tokens.takeHash(hash))))
    expect(taken.filter((value) => value !== null)).toEqual([{ round }])
    wins[taken.findIndex((value) => value !== null)]!++
    expect(await stores[0]!.getHash(hash)).toBeNull()
  })
  expect(Math.min(...wins)).toBeGreaterThan(0)
  expect(await names(client(), prefix)).toEqual({})
})

test('a look takes nothing; of takers and deleters exactly one has the hash', async () => {
  const { prefix, stores } = await contenders(N)
  const race = races(17)
  const seen = { looked: 0, taken: 0, deleted: 0 }
  await rounds(async (round) => {
    const hash = await stores[0]!.makeHash(round, 60)
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
  })
  expect(Math.min(seen.looked, seen.taken, seen.deleted)).toBeGreaterThan(0)
  expect(await names(client(), prefix)).toEqual({})
})

test('in two calls, more than one gets the value', async () => {
  const { prefix, stores } = await contenders(1)
  const redis = client()
  const name = `${prefix}:hash:${await stores[0]!.makeHash('secret', 60)}`
  const taken = await inTwoCalls(
    N,
    () => redis.get(name),
    async (value) => {
      await redis.del(name)
      return value
    }
  )
  expect(taken.filter((value) => value !== null).length).toBeGreaterThan(1)
})
