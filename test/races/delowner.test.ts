import { audit, client, closeAfterAll, names } from '../support'
import { contenders, races, rounds, values } from './race'

closeAfterAll()

test('an add beside delOwner is ended and counted, or later and alive', async () => {
  const { prefix, stores } = await contenders(6)
  const [first, second, ...adders] = stores
  const race = races(5)
  const seen = { ended: 0, alive: 0 }
  const left: string[] = []
  const run = async (round: number): Promise<void> => {
    const owner_id = `user-${round}`
    left.push(owner_id)
    const except = round % 2 ? undefined : (await first!.add({ owner_id })).id
    const lifetime = [{}, { ttl: 60 }, { idle: 60 }][round % 3]
    await first!.add({ owner_id, ...lifetime })
    const keys: string[] = []
    const counts = values(
      await race<number>([
        () => first!.delOwner(owner_id, except ? { except } : {}),
        () => second!.delOwner(owner_id, except ? { except } : {}),
        ...adders.map((tokens) => async () => {
          keys.push((await tokens.add({ owner_id, ...lifetime })).key)
          return 0
        })
      ])
    )
    const opened = await Promise.all(keys.map((key) => second!.getKey(key)))
    const alive = opened.flatMap((token) => (token ? [token.id] : []))
    const kept = except ? [except] : []
    const listed = (await second!.list(owner_id)).map(({ id }) => id)
    expect(listed.toSorted()).toEqual([...kept, ...alive].sort())
    expect(counts.reduce((sum, n) => sum + n) + alive.length).toBe(1 + adders.length)
    seen.ended += adders.length - alive.length
    seen.alive += alive.length
  }
  await rounds(run, async () => {
    expect(await audit(client(), prefix)).toEqual([])
    await Promise.all(left.splice(0).map((owner_id) => second!.delOwner(owner_id)))
    expect(await names(client(), prefix)).toEqual({})
  })
  expect(Math.min(seen.ended, seen.alive)).toBeGreaterThan(0)
})

test('in two calls, a token is alive but unlisted', async () => {
  const { prefix, stores } = await contenders(1)
  const redis = client()
  const ids = await redis.zrange(`${prefix}:tokens:user-7`, '0', '-1')
  const late = await stores[0]!.add({ owner_id: 'user-7' })
  await redis.del(`${prefix}:tokens:user-7`, ...ids.map((id) => `${prefix}:id:${id}`))
  expect(await stores[0]!.getKey(late.key)).toEqual(late)
  expect(await stores[0]!.list('user-7')).toEqual([])
})
