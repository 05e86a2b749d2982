import {
  closeAfterAll,
  endOf,
  findsNothing,
  noObject,
  open,
  passed,
  redisNow,
  refuses,
  stored,
  topology,
  viaCallback
} from './support'

closeAfterAll()

test('revokes the token that a key opens, by all its names, and no other', async () => {
  const { tokens, all } = open()
  const kept = await tokens.add({ owner_id: 'user-7' })
  const before = await all()
  const token = await tokens.add({
    owner_id: 'user-7',
    attrs: { a: 1 },
    ttl: 100
  })
  expect(await tokens.delKey(token.key)).toBe(true)
  expect(Object.keys(await all())).toEqual(Object.keys(before))
  expect(await tokens.list('user-7')).toHaveLength(1)
  expect(await tokens.delKey(token.key)).toBe(false)
  expect(await tokens.get(token.id)).toBeNull()
  expect(await tokens.delKey(kept.key)).toBe(true)
  expect(await all()).toEqual({})
})

test('with a callback', async () => {
  const { tokens } = open()
  const { key } = await tokens.add({ owner_id: 'user-7' })
  expect(await viaCallback((done) => tokens.delKey(key, done))).toBe(true)
  expect(await viaCallback((done) => tokens.delKey(key, {}, done))).toBe(false)
})

test('false for a key that opens nothing, and nothing is written', async () => {
  const { tokens, all, spare } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const rotated = await tokens.add({ owner_id: 'user-7' })
  await tokens.rotate(rotated.id)
  const before = await all()
  for (const key of [
    rotated.key,
    spare('user-7').key,
    token.id,
    'x',
    '*',
    '\0',
    '\ud800',
    'x'.repeat(100_000)
  ]) {
    expect(await tokens.delKey(key)).toBe(false)
  }
  expect(await all()).toEqual(before)
})

test('a key within its grace revokes its token, and the other keys of it open nothing', async () => {
  const { tokens, all, name } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const second = (await tokens.rotate(token.id, { grace: 50 }))!
  const third = (await tokens.rotate(token.id, { grace: 50 }))!
  expect(await tokens.delKey(token.key)).toBe(true)
  for (const { key } of [token, second, third]) expect(await tokens.getKey(key)).toBeNull()
  expect(Object.keys(await all())).toEqual([name('key', second.key)])
  expect(await tokens.delKey(second.key)).toBe(false)
  expect(await all()).toEqual({})
})

test('a key whose grace is over revokes nothing', async () => {
  const { tokens } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  await tokens.rotate(token.id, { grace: 0.02 })
  await passed((await redisNow()) + 20)
  expect(await tokens.delKey(token.key)).toBe(false)
  expect(await tokens.count('user-7')).toBe(1)
})

test('the owner set lives no longer than the last of the others', async () => {
  const { tokens, name } = open()
  const late = await tokens.add({ owner_id: 'user-7', ttl: 1000 })
  const never = await tokens.add({ owner_id: 'user-7' })
  await tokens.delKey(never.key)
  expect(await endOf(name('tokens', 'user-7'))).toBe(late.expires_at)
})

test('what is no text revokes nothing, and Redis is not asked', () => findsNothing('delKey', false))

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  const { key } = await opened.tokens.add({ owner_id: 'user-7' })
  await refuses(
    opened,
    'delKey',
    'options must be a plain object',
    ...noObject().flatMap((options) => [key, undefined].map((given) => [given, options]))
  )
})

test("what is none of the store's stays as it is", async () => {
  const { tokens, all, spare, name } = open()
  const redis = topology.redis()
  const { key, id } = spare('user-7')
  const fails = async (gone: string): Promise<void> => {
    const before = await all()
    await expect(tokens.delKey(gone)).rejects.toMatchObject({
      code: 'TSRECORD',
      name: 'TokenstoreError'
    })
    expect(await all()).toEqual(before)
  }
  await redis.hset(name('key', key), 'a', '1')
  await fails(key)
  await redis.del(name('key', key))
  for (const stray of [
    'text',
    `{"owner_id":"user-7","attrs":{},"key":"${stored(key)}","id":"${id}"}`
  ]) {
    await redis.set(name('key', key), stray)
    await fails(key)
  }
  const token = await tokens.add({ owner_id: 'user-7' })
  await redis.del(name('tokens', 'user-7'))
  await redis.sadd(name('tokens', 'user-7'), token.id)
  await fails(token.key)
})
