import { client, closeAfterAll, names } from '../support'
import { contenders, races, rounds, values } from './race'

closeAfterAll()

test('after del has answered the token is gone, whatever set began before', async () => {
  const { prefix, stores } = await contenders(6)
  const [deleter, ...setters] = stores
  const race = races(3)
  let before = 0
  let after = 0
  await rounds(async (round) => {
    const { id, key } = await deleter!.add({ owner_id: 'user-7', attrs: { round } })
    const del = async (): Promise<unknown> => {
      expect(await deleter!.del(id)).toBe(true)
      return deleter!.getKey(key) // sent while answers to set may still be under way
    }
    const [left, ...written] = values(
      await race([del, ...setters.map((tokens, i) => (): Promise<unknown> => tokens.set(id, { i }))])
    )
    expect(left).toBeNull()
    for (const token of written) {
      if (token === null) after++
      else before++
    }
    expect(await deleter!.get(id)).toBeNull()
  })
  expect(before).toBeGreaterThan(0)
  expect(after).toBeGreaterThan(0)
  expect(await names(client(), prefix)).toEqual({})
})

test('in two calls, set revives the token', async () => {
  const { prefix, stores } = await contenders(1)
  const redis = client()
  const { id, key } = await stores[0]!.add({ owner_id: 'user-7' })
  const record = await redis.get(`${prefix}:key:${key}`)
  expect(await stores[0]!.del(id)).toBe(true)
  await redis.set(`${prefix}:key:${key}`, record!)
  expect(await stores[0]!.getKey(key)).not.toBeNull()
})
