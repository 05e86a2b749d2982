import { client, closeAfterAll, names } from '../support'
import { contenders, inTwoCalls, races, rounds, values } from './race'

closeAfterAll()

test('of del, delKey and delOwner of one token exactly one ends it', async () => {
  const { prefix, stores } = await contenders(7)
  const race = races(4)
  const wins = new Array<number>(stores.length).fill(0)
  await rounds(async (round) => {
    const owner_id = `user-${round}`
    const { id, key } = await stores[0]!.add({ owner_id, ...(round % 2 ? { ttl: 60 } : {}) })
    const results = values(
      await race<number | boolean>([
        ...stores.slice(0, 3).map((tokens) => () => tokens.del(id)),
        ...stores.slice(3, 6).map((tokens) => () => tokens.delKey(key)),
        () => stores[6]!.delOwner(owner_id)
      ])
    ).map(Number)
    expect(results.reduce((sum, ended) => sum + ended)).toBe(1)
    wins[results.indexOf(1)]!++
  })
  expect(Math.min(...wins)).toBeGreaterThan(0)
  expect(await names(client(), prefix)).toEqual({})
})

test('in two calls, more than one ends it', async () => {
  const { prefix, stores } = await contenders(1)
  const redis = client()
  const { key } = await stores[0]!.add({ owner_id: 'user-7' })
  const ended = await inTwoCalls(
    6,
    () => redis.exists(`${prefix}:key:${key}`),
    async (live) => live === 1 && (await redis.del(`${prefix}:key:${key}`)) >= 0
  )
  expect(ended.filter(Boolean).length).toBeGreaterThan(1)
})
