import { startRedis } from '../../scripts/redis-server'
import { monitor } from '../driver/monitor'
import { store } from '../support'
import {
  closeAfterAll,
  endOf,
  findsNothing,
  listed,
  noObject,
  open,
  passed,
  redisNow,
  refuses,
  stored,
  topology,
  usedTill,
  viaCallback
} from './support'

closeAfterAll()

test('the token that a key opens, and null for a key that opens none', async () => {
  const { tokens, all, spare } = open()
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  const before = await all()
  expect(await tokens.getKey(token.key)).toEqual(token)
  for (const key of [
    spare('user-7').key,
    token.id,
    token.key.toLowerCase() + '-',
    token.key.slice(0, -1),
    'x',
    '*',
    '\0',
    '\ud800',
    '😀'.repeat(12),
    'x'.repeat(100_000)
  ]) {
    expect(await tokens.getKey(key)).toBeNull()
  }
  expect(await all()).toEqual(before)
  await tokens.del(token.id)
  expect(await tokens.getKey(token.key)).toBeNull()
  expect(await all()).toEqual({})
})

test('with a callback', async () => {
  const { tokens, spare } = open()
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  expect(await viaCallback((done) => tokens.getKey(token.key, done))).toEqual(token)
  expect(await viaCallback((done) => tokens.getKey(token.key, { touch: false }, done))).toEqual(
    token
  )
  expect(await viaCallback((done) => tokens.getKey(token.key, undefined, done))).toEqual(token)
  expect(await viaCallback((done) => tokens.getKey(spare('user-7').key, done))).toBeNull()
})

test('many calls of one tick answer each its own', async () => {
  const { tokens, spare } = open()
  const added = await Promise.all(
    Array.from({ length: 600 }, (_, i) => tokens.add({ owner_id: `user-${i % 7}` }))
  )
  const keys = added.flatMap(({ key, owner_id }) => [key, spare(owner_id).key, key])
  const found = await Promise.all(keys.map((key) => tokens.getKey(key)))
  expect(found).toEqual(added.flatMap((token) => [token, null, token]))
})

describe('a use', () => {
  test('moves the end of a token with idle, everywhere alike', async () => {
    const { tokens, all } = open({ touchEvery: 0.001 })
    const token = await tokens.add({
      owner_id: 'user-7',
      idle: 100,
      attrs: { a: 1 }
    })
    await passed(token.expires_at! - 100_000 + 5)
    const from = await redisNow()
    const used = (await tokens.getKey(token.key))!
    expect(used.expires_at! - 100_000).toBeGreaterThanOrEqual(from)
    expect(used).toEqual(usedTill(token, used.expires_at!))
    expect(await tokens.get(token.id)).toEqual(listed(used))
    expect((await tokens.list('user-7'))[0]!.expires_at).toBe(used.expires_at)
    expect(Object.values(await all())).toContainEqual({
      type: 'zset',
      value: [token.id, String(used.expires_at)],
      expires: true
    })
  })

  test('is none with touch: false, nor are get, list, count and set', async () => {
    const { tokens, all } = open({ touchEvery: 0.001 })
    const token = await tokens.add({ owner_id: 'user-7', idle: 100 })
    await passed(token.expires_at! - 100_000 + 5)
    const before = await all()
    expect(await tokens.getKey(token.key, { touch: false })).toEqual(token)
    await Promise.all([tokens.get(token.id), tokens.list('user-7'), tokens.count('user-7')])
    expect(await all()).toEqual(before)
    expect((await tokens.set(token.id, {}))!.expires_at).toBe(token.expires_at)
  })

  test('is written only once it moves the end by touchEvery, a tenth of idle when not said', async () => {
    for (const [touchEvery, idle, every] of [
      [0.4, 100, 400],
      [undefined, 10, 1000]
    ] as const) {
      const { tokens, all } = open({ touchEvery })
      const token = await tokens.add({ owner_id: 'user-7', idle })
      const due = token.expires_at! - idle * 1000 + every
      const before = await all()
      for (;;) {
        const asked = await redisNow()
        const used = (await tokens.getKey(token.key))!
        if (used.expires_at !== token.expires_at) {
          expect(used.expires_at! - token.expires_at!).toBeGreaterThanOrEqual(every)
          expect(used.used_at).toBeGreaterThanOrEqual(asked)
          expect(used.used_at).toBeLessThanOrEqual(await redisNow())
          break
        }
        expect(asked).toBeLessThan(due)
        expect(used).toEqual(token)
        expect(await all()).toEqual(before)
      }
    }
  })

  test('never moves the end past ttl', async () => {
    const { tokens, name } = open({ touchEvery: 0.001 })
    const token = await tokens.add({ owner_id: 'user-7', ttl: 100, idle: 99.8 })
    const ends = token.expires_at! + 200
    let last = token.expires_at!
    // Until a use by which idle alone would end later than ttl.
    for (let asked = 0; asked <= ends - 99_800;) {
      asked = await redisNow()
      const { expires_at, used_at } = (await tokens.getKey(token.key))!
      expect(expires_at).toBeGreaterThanOrEqual(last)
      expect(expires_at).toBeLessThanOrEqual(ends)
      // In the end later than this, since the end stands still.
      expect(used_at).toBe(expires_at! - 99_800)
      last = expires_at!
    }
    expect(last).toBe(ends)
    for (const at of [name('key', token.key), name('id', token.id), name('tokens', 'user-7')]) {
      expect(await endOf(at)).toBe(ends)
    }
  })

  test('costs a token without idle nothing', async () => {
    const { tokens, all } = open({ touchEvery: 0.001 })
    const [never, ttl] = [
      await tokens.add({ owner_id: 'user-7' }),
      await tokens.add({ owner_id: 'user-7', ttl: 1000 })
    ]
    await passed(ttl.expires_at! - 1_000_000 + 5)
    const before = await all()
    expect(await tokens.getKey(never.key)).toEqual(never)
    expect(await tokens.getKey(ttl.key)).toEqual(ttl)
    expect(await all()).toEqual(before)
  })

  test('costs a token without idle no more than the look in the script', async () => {
    // The same scripts, on a cluster that nothing can watch as one.
    if (topology.config.redis) return
    const server = await startRedis()
    const tokens = store({
      ...topology.config,
      redis: server.url,
      touchEvery: 0.001
    })
    const watching = await monitor(server.url)
    try {
      for (const lifetime of [{}, { ttl: 1000 }]) {
        const { key, id } = await tokens.add({ owner_id: 'user-7', ...lifetime })
        const at = (name: string): unknown => expect.stringContaining(name)
        const record = at(`:key:${stored(key)}`)
        await watching.called()
        expect(await tokens.getKey(key)).toMatchObject({ key })
        // Of one that expires, whether revocation finds it.
        const further = [
          ['mget', at(`:id:${id}`)],
          ['zscore', at(':tokens:user-7'), id],
          ['pexpiretime', record]
        ]
        expect(await watching.called()).toEqual([
          ['mget', record, expect.any(String)],
          ...('ttl' in lifetime ? further : [])
        ])
      }
      const { key } = await tokens.add({ owner_id: 'user-7', idle: 1000 })
      await watching.called()
      await tokens.getKey(key)
      expect((await watching.called()).length).toBeGreaterThan(2) // so that more would be seen
    } finally {
      watching.close()
      await tokens.quit()
      await server.stop()
    }
  })

  test.each([-3_600_000, 3_600_000])(
    'is the same by an app whose clock is %i ms off',
    async (off) => {
      const now = Date.now
      const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() + off)
      try {
        const { tokens } = open({ touchEvery: 0.001 })
        const token = await tokens.add({ owner_id: 'user-7', idle: 100 })
        await passed(token.expires_at! - 100_000 + 5)
        const from = await redisNow()
        const { expires_at } = (await tokens.getKey(token.key))!
        expect(expires_at! - 100_000).toBeGreaterThanOrEqual(from)
        expect(expires_at! - 100_000).toBeLessThanOrEqual(await redisNow())
      } finally {
        clock.mockRestore()
      }
    }
  )
})

test('what is no text opens nothing, and Redis is not asked', () => findsNothing('getKey', null))

test('wrong arguments are refused', async () => {
  const opened = open()
  const { key } = await opened.tokens.add({ owner_id: 'user-7', idle: 100 })
  await refuses(
    opened,
    'getKey',
    'options must be a plain object',
    ...noObject().map((wrong) => [key, wrong])
  )
  await refuses(opened, 'getKey', 'options must be a plain object with nothing but touch', [
    key,
    { Touch: false }
  ])
  // Also beside a key that was not sent.
  await refuses(opened, 'getKey', 'options must be a plain object', [undefined, { Touch: false }])
  await refuses(
    opened,
    'getKey',
    'touch must be true or false',
    ...[null, 0, 1, 'false'].map((touch) => [key, { touch }])
  )
})

test("what is none of the store's is not taken for a token", async () => {
  const { tokens, all, spare, name } = open()
  const redis = topology.redis()
  const token = await tokens.add({ owner_id: 'user-7' })
  const { key, id } = spare('user-7')
  const strays = [
    'text',
    '{}',
    `{"owner_id":"user-7","attrs":{},"key":"${stored(key)}","id":"${id}"}`,
    `{"id":"${id}","owner_id":"user-7","attrs":[]}`,
    `{"id":"${id}","owner_id":"user-7"}`
  ]
  for (const stray of strays) {
    await redis.set(name('key', key), stray)
    const before = await all()
    await expect(tokens.getKey(key)).rejects.toMatchObject({
      code: 'TSRECORD',
      name: 'TokenstoreError'
    })
    // A stranger under one key does not fail those who ask for another in the
    // same tick.
    const [good, bad] = await Promise.allSettled([tokens.getKey(token.key), tokens.getKey(key)])
    expect(good).toMatchObject({ status: 'fulfilled', value: { id: token.id } })
    expect(bad).toMatchObject({
      status: 'rejected',
      reason: { code: 'TSRECORD' }
    })
    expect(await all()).toEqual(before)
  }
})

test('what is no text reads as not there', async () => {
  const { tokens, all, spare, name } = open()
  const { key } = spare('user-7')
  await topology.redis().hset(name('key', key), 'a', '1')
  const before = await all()
  expect(await tokens.getKey(key)).toBeNull()
  expect(await all()).toEqual(before)
})

test('what only looks like an old key opens nothing', async () => {
  const { tokens, all, spare, name } = open()
  const { key, id } = spare('user-7')
  for (const text of [`${id} 9999999999999`, `${id} 1`]) {
    await topology.redis().set(name('key', key), text)
    const before = await all()
    expect(await tokens.getKey(key)).toBeNull()
    expect(await all()).toEqual(before)
  }
})
