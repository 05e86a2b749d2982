import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import type { Token } from '../../src/main'
import { client, closeAfterAll, freshPrefix, random, store, until } from '../support'
import { dump } from './model'

closeAfterAll()

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

const TOKENS = 1000
const OWNERS = 150

test('after the last token of every owner nothing is left, without any further call', async () => {
  const redis = client({}, server.url)
  const prefix = freshPrefix()
  const rng = random(31)
  const between = (from: number, to: number): number =>
    (from + Math.floor(rng() * (to - from))) / 1000
  const tokens = store({ prefix, redis: server.url, touchEvery: 0.01 })
  const added: Token[] = await Promise.all(
    Array.from({ length: TOKENS }, (_, i) => {
      // Long enough that none ends before what follows is done, even on a machine that stands
      // still for a while.
      const ttl = i % 3 === 0 ? null : between(7000, 9000)
      const idle = i % 3 === 1 ? null : between(7000, 8500)
      return tokens.add({ owner_id: `user-${Math.floor(rng() * OWNERS)}`, attrs: { i }, ttl, idle })
    })
  )
  await sleep(20)
  await Promise.all(
    added.map(async ({ id, key }, i) => {
      if (i % 2) await tokens.getKey(key)
      if (i % 5 === 0) await tokens.rotate(id, { grace: between(6000, 11000) })
      if (i % 7 === 0) await tokens.set(id, { i, again: true })
      if (i % 11 === 0) await tokens.getKey(key) // by a key within its grace, some of them
      if (i % 5 === 1) await tokens.rotate(id)
      if (i % 4 === 0)
        await tokens.makeHash({ i }, { ttl: between(6500, 8500), replaces: `reset:${i % 50}` })
      if (i % 6 === 0) await tokens.makeHash({ i }, { ttl: between(6500, 8500) })
    })
  )

  // Everything has its end by now: the last calls of this test to the store are behind it.
  const { names } = await dump(redis, prefix)
  const families = [...names.keys()].map((name) => name.split(':')[0])
  const counts = ['key', 'id', 'tokens', 'hash', 'latest'].map(
    (family) => families.filter((f) => f === family).length
  )
  expect(Math.min(...counts)).toBeGreaterThan(10)
  const records = [...names].filter(([name]) => name.startsWith('key:'))
  const longest = new Map<string, number>()
  for (const [, { value, ends }] of records) {
    if (!(value as string).startsWith('{')) continue // an old key
    const { owner_id } = JSON.parse(value as string) as Token
    longest.set(owner_id, Math.max(longest.get(owner_id) ?? 0, ends))
  }
  const sets = [...names].filter(([name]) => name.startsWith('tokens:'))
  expect(new Map(sets.map(([name, { ends }]) => [name.slice('tokens:'.length), ends]))).toEqual(
    longest
  )

  await until(async () => (await redis.dbsize()) === 0, 30_000)
  expect(await redis.dbsize()).toBe(0)
})

test('an idle token lives on while it is used, never past its ttl, and ends as one', async () => {
  const redis = client({}, server.url)
  const prefix = freshPrefix()
  // Longer than any pause between two uses.
  const tokens = store({ prefix, redis: server.url, idle: 6, ttl: 7, touchEvery: 0.001 })
  const { key, id, expires_at: unused } = await tokens.add({ owner_id: 'user-7' })
  const end = Number(JSON.parse((await redis.get(`${prefix}:key:${key}`))!).ends_at)
  expect(unused).toBe(end - 1000)
  for (let seen = unused!; ; await sleep(10)) {
    const token = await tokens.getKey(key)
    if (!token) break
    expect(token.expires_at).toBeGreaterThanOrEqual(seen)
    expect(token.expires_at).toBeLessThanOrEqual(end)
    seen = token.expires_at!
    const { names } = await dump(redis, prefix)
    const ends = [...names.values()].map((entry) => entry.ends)
    if (ends.length) expect(ends).toEqual([seen, seen, seen])
  }
  expect(Date.now()).toBeGreaterThanOrEqual(end)
  expect(await tokens.get(id)).toBeNull()
  await until(async () => (await redis.dbsize()) === 0)
})
