import {
  closeAfterAll,
  endsBetween,
  expectCarried,
  findsNothing,
  open,
  passed,
  redisNow,
  topology,
  valuesToCarry,
  viaCallback
} from './support'

closeAfterAll()

test('looks at a value as often as one likes, and changes nothing', async () => {
  const { tokens, all } = open()
  const made: [hash: string, value: unknown][] = []
  for (const value of Object.values(valuesToCarry)) made.push([await tokens.makeHash(value), value])
  const before = await all()
  for (const [hash, value] of [...made, ...made]) expectCarried(await tokens.getHash(hash), value)
  expect(await all()).toEqual(before)
})

test('with a callback', async () => {
  const { tokens } = open()
  const hash = await tokens.makeHash({ a: 1 })
  expect(await viaCallback((done) => tokens.getHash(hash, done))).toEqual({
    a: 1
  })
  await tokens.delHash(hash)
  expect(await viaCallback((done) => tokens.getHash(hash, done))).toBeNull()
})

test('null for a hash that finds nothing', async () => {
  const { tokens, all } = open()
  await tokens.makeHash('a', { replaces: 'a' })
  const before = await all()
  for (const hash of ['ABCDwxyz', 'x', '*', '\0', '\ud800', 'latest:a', 'x'.repeat(100_000)]) {
    expect(await tokens.getHash(hash)).toBeNull()
  }
  expect(await all()).toEqual(before)
})

test('null once the time is over, and nothing is left', async () => {
  const { tokens, all } = open()
  const from = await redisNow()
  const hash = await tokens.makeHash('a', { ttl: 0.1, replaces: 'a' })
  const made = await redisNow()
  await endsBetween(from + 100, made + 100, () => tokens.getHash(hash))
  await passed(made + 100)
  expect(await all()).toEqual({})
})

test('what is no text finds nothing, and Redis is not asked', () => findsNothing('getHash', null))

test("what is none of the store's is not taken for a value", async () => {
  const { tokens, all, name } = open()
  const redis = topology.redis()
  const at = name('hash', 'ABCDwxyz')
  for (const write of [
    () => redis.sadd(at, 'a'),
    ...['foo', '', 'nil', '{'].map((text) => () => redis.set(at, text))
  ]) {
    await redis.del(at)
    await write()
    const before = await all()
    await expect(tokens.getHash('ABCDwxyz')).rejects.toMatchObject({
      code: 'TSRECORD',
      name: 'TokenstoreError'
    })
    expect(await all()).toEqual(before)
  }
})
