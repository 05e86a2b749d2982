import { audit, client, closeAfterAll, keyspace } from '../support'
import { contenders, inTwoCalls, races, rounds, values } from './race'

closeAfterAll()

const N = 6

test('of many hashes made at once under one name exactly one is left', async () => {
  const { prefix, stores } = await contenders(N)
  const redis = client()
  const race = races(18)
  const wins = new Array<number>(N).fill(0)
  await rounds(async (round) => {
    const replaces = `reset:user-${round % 100}` // so that later rounds end what earlier ones left
    const hashes = values(
      await race(stores.map((tokens, i) => () => tokens.makeHash({ round, i }, { ttl: 60, replaces })))
    )
    const found = await Promise.all(hashes.map((hash) => stores[0]!.getHash(hash)))
    const left = found.findIndex((value) => value !== null)
    expect(found.filter((value) => value !== null)).toEqual([{ round, i: left }])
    expect(await redis.get(`${prefix}:latest:${replaces}`)).toBe(hashes[left])
    wins[left]!++
  })
  expect(Math.min(...wins)).toBeGreaterThan(0)
  expect(Object.keys(await keyspace(redis, prefix))).toHaveLength(2 * 100)
  expect(await audit(redis, prefix)).toEqual([])
})

test('a hash that is taken is never given twice', async () => {
  const { prefix, stores } = await contenders(N, { hashSize: 2 }) // 4096 hashes in all
  const race = races(19)
  const made = new Map<string, string>()
  const run = async (round: number): Promise<void> => {
    const hashes = values(await race(stores.map((tokens, i) => () => tokens.makeHash(`${round}/${i}`, 60))))
    for (const [i, hash] of hashes.entries()) {
      expect(made.has(hash)).toBe(false)
      made.set(hash, `${round}/${i}`)
    }
  }
  await rounds(run, async () => {
    expect(await audit(client(), prefix)).toEqual([])
    const found = await Promise.all([...made.keys()].map((hash) => stores[0]!.getHash(hash)))
    expect(found).toEqual([...made.values()])
    expect(await stores[0]!.reset()).toBe(made.size)
    made.clear()
  })
})

test('in two calls, more than one is left', async () => {
  const { prefix } = await contenders(1)
  const redis = client()
  await inTwoCalls(
    N,
    () => redis.get(`${prefix}:latest:name`),
    async (older, i) => {
      await redis.mset(`${prefix}:hash:${i}`, '1', `${prefix}:latest:name`, String(i))
      if (older !== null) await redis.del(`${prefix}:hash:${older}`)
    }
  )
  const left = await redis.mget(Array.from({ length: N }, (_, i) => `${prefix}:hash:${i}`))
  expect(left.filter((value) => value !== null).length).toBeGreaterThan(1)
})
