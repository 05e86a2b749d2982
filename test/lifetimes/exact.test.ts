import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { scripts, type Token } from '../../src/main'
import { client, closeAfterAll, freshPrefix, random, store } from '../support'

closeAfterAll()

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

const MOMENTS = 1000
const EVICTED = 50
const OWNERS = ['user-1', 'user-2', 'user-3']

test('list is exact at every moment, count once list has seen what was evicted', async () => {
  const redis = client({}, server.url)
  const prefix = freshPrefix()
  const tokens = store({ prefix, redis: server.url })
  const rng = random(41)
  const below = (n: number): number => Math.floor(rng() * n)
  const issued: Token[] = []
  const unseen = new Set<string>()
  const seen = { exact: 0, evicted: 0, expired: 0, most: 0 }
  // How much ends within a moment, or before it can be evicted, is up to the machine.
  for (let moment = 0; seen.exact < MOMENTS || seen.evicted < EVICTED; moment++) {
    const owner_id = OWNERS[below(OWNERS.length)]!
    const ttl = below(4) ? { ttl: (5 + below(150)) / 1000 } : {}
    const idle = below(3) ? {} : { idle: (5 + below(100)) / 1000 }
    issued.push(await tokens.add({ owner_id, ...ttl, ...idle }))
    const some = issued[Math.max(0, issued.length - 1 - below(30))]!
    const action = below(6)
    if (action === 0) {
      seen.evicted += await redis.del(`${prefix}:key:${some.key}`)
      unseen.add(some.owner_id)
    }
    if (action === 1) await tokens.del(some.id)
    if (action === 2) await tokens.getKey(some.key)

    // Time only takes tokens away, so what is there before and after bounds what is there between.
    const asked = OWNERS[below(OWNERS.length)]!
    const own = issued.filter((token) => token.owner_id === asked)
    const names = own.map(({ key }) => `${prefix}:key:${key}`)
    if (names.length === 0) continue
    const calls = [
      redis
        .pipeline()
        .mget(names)
        .eval(scripts.count.lua, 1, prefix, asked)
        .eval(scripts.list.lua, 1, prefix, asked),
      redis
        .pipeline()
        .mget(names)
        .eval(scripts.list.lua, 1, prefix, asked)
        .eval(scripts.count.lua, 1, prefix, asked)
    ]
    const listFirst = unseen.delete(asked) ? 1 : moment % 2
    const replies = (await calls[listFirst]!.mget(names).exec())!.map(([error, reply]) => {
      if (error) throw error
      return reply
    })
    const alive = (records: unknown): string[] =>
      own.filter((_, i) => (records as (string | null)[])[i] !== null).map(({ id }) => id)
    const [before, after] = [alive(replies[0]), alive(replies[3])]
    const [count, list] = (listFirst ? [replies[2], replies[1]] : [replies[1], replies[2]]) as [
      number,
      unknown[]
    ]
    const listed = list
      .slice(1)
      .flatMap((part, i) => (i % 3 === 1 ? [(JSON.parse(part as string) as Token).id] : []))
    const ends = list.slice(1).flatMap((part, i) => (i % 3 === 2 ? [Number(part) || Infinity] : []))
    expect(ends).toEqual(ends.toSorted((a, b) => (a < b ? -1 : Number(a > b))))
    expect(count).toBeLessThanOrEqual(before.length)
    expect(count).toBeGreaterThanOrEqual(after.length)
    expect(before).toEqual(expect.arrayContaining(listed))
    expect(listed).toEqual(expect.arrayContaining(after))
    if (before.length === after.length) {
      seen.exact++
      expect(count).toBe(before.length)
      expect(listed.toSorted()).toEqual(before.toSorted())
    }
    seen.most = Math.max(seen.most, count)
  }
  seen.expired =
    issued.length -
    (await tokens.count('user-1')) -
    (await tokens.count('user-2')) -
    (await tokens.count('user-3'))
  expect(seen.expired).toBeGreaterThan(EVICTED)
  expect(seen.most).toBeGreaterThan(10)
})
