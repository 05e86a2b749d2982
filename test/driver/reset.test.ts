import type { Redis } from 'ioredis'
import { client, closeAfterAll, freshPrefix, keyspace, store } from '../support'

closeAfterAll()

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

/** The most commands that a client ever had under way at a time. */
function mostUnderWay(redis: Redis): () => number {
  const send = redis.sendCommand.bind(redis)
  let [underWay, most] = [0, 0]
  redis.sendCommand = (command, stream) => {
    most = Math.max(most, ++underWay)
    const settled = (): void => void underWay--
    command.promise.then(settled, settled)
    return send(command, stream)
  }
  return () => most
}

test.each([false, true])(
  'has more than one call under way, and at most 64, partitioned: %s',
  async (partitioned) => {
    const redis = client()
    const prefix = freshPrefix()
    const filling = store({ prefix, partitioned })
    await Promise.all(range(3000).map((i) => filling.add({ owner_id: `user-${i % 1000}` })))
    await Promise.all(range(1000).map((i) => filling.makeHash(i)))
    const most = mostUnderWay(redis)
    const tokens = store({ prefix, redis, partitioned })
    expect(await tokens.reset()).toBe(4000)
    expect(most()).toBeGreaterThan(8)
    expect(most()).toBeLessThanOrEqual(64)
    expect(await keyspace(redis, prefix)).toEqual({})
  }
)

test('two at once remove and count everything once', async () => {
  const prefix = freshPrefix()
  const stores = range(2).map(() => store({ prefix }))
  await Promise.all(range(2000).map((i) => stores[0]!.add({ owner_id: `user-${i % 100}` })))
  await Promise.all(range(500).map((i) => stores[0]!.makeHash(i)))
  const removed = await Promise.all(stores.map((tokens) => tokens.reset()))
  expect(removed[0]! + removed[1]!).toBe(2500)
  expect(await keyspace(client(), prefix)).toEqual({})
})

test('of a partitioned store leaves alone what is under no root of its own', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const tokens = store({ prefix, partitioned: true })
  const neighbours = [
    store({ prefix }),
    store({ prefix: `${prefix}x`, partitioned: true }),
    store({ prefix: `${prefix}:x`, partitioned: true })
  ]
  for (const each of [tokens, ...neighbours]) {
    for (let i = 0; i < 20; i++) {
      const { id } = await each.add({ owner_id: `user-${i}`, ttl: 1000 })
      if (i % 4 === 0) await each.rotate(id, { grace: 1000 })
      if (i % 5 === 0) await each.makeHash(i, { replaces: `user-${i}` })
    }
  }
  const strays = ['{AAA}:other:x', '{...}:key:x', 'key:x', '{AAA}key:x', '{AAA}']
  for (const stray of strays) await redis.set(`${prefix}:${stray}`, 'x')
  const before = await keyspace(redis, prefix)
  const own = Object.keys(before).filter((name) =>
    /^:\{[\w-]{3}\}:(key|id|tokens|hash|latest):/.test(name.slice(prefix.length))
  )
  expect(own.length).toBe(3 * 20 + 5 + 2 * 4)

  expect(await tokens.reset()).toBe(20 + 4)
  for (const name of own) delete before[name]
  expect(await keyspace(redis, prefix)).toEqual(before)
  for (const each of neighbours) expect(await each.reset()).toBe(20 + 4)
  expect(Object.keys(await keyspace(redis, prefix))).toEqual(
    strays.map((stray) => `${prefix}:${stray}`).sort()
  )
})

test('an owner set that is half dead is emptied all the same', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const tokens = store({ prefix })
  const added = await Promise.all(
    range(500).map((i) => tokens.add({ owner_id: 'user-7', ...(i % 2 ? { ttl: 1000 } : {}) }))
  )
  const dead = added.filter((_, i) => i % 3 === 0)
  await redis.del(dead.map(({ key }) => `${prefix}:key:${key}`))
  expect(await tokens.reset()).toBe(500 - dead.length)
  expect(await keyspace(redis, prefix)).toEqual({})
})

test('stops at the first call that Redis refuses, and says so', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const tokens = store({ prefix })
  await Promise.all(range(300).map((i) => tokens.add({ owner_id: `user-${i}` })))
  const rights = ['reset', 'on', '>p', '~*', '+@all', '-del']
  await redis.call('ACL', ['SETUSER', prefix, ...rights])
  const { host, port } = redis.options
  const refused = store({
    prefix,
    redis: { host, port, username: prefix, password: 'p' }
  })
  await expect(refused.reset()).rejects.toMatchObject({
    name: 'TokenstoreError',
    message: expect.stringMatching(/can't run this command|NOPERM|ACL failure/)
  })
  await redis.call('ACL', ['DELUSER', prefix])
  expect(await tokens.reset()).toBe(300)
  expect(await keyspace(redis, prefix)).toEqual({})
})
