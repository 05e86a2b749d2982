import {
  closeAfterAll,
  findsNothing,
  open,
  passed,
  redisNow,
  topology,
  valuesToCarry,
  viaCallback
} from './support'

closeAfterAll()

test('deletes a hash and its value, whatever it is', async () => {
  const { tokens, all } = open()
  const kept = await tokens.makeHash('kept')
  const before = await all()
  for (const value of Object.values(valuesToCarry)) {
    const hash = await tokens.makeHash(value)
    expect(await tokens.delHash(hash)).toBe(true)
    expect(await tokens.delHash(hash)).toBe(false)
    expect(await tokens.getHash(hash)).toBeNull()
  }
  expect(await all()).toEqual(before)
  expect(await tokens.getHash(kept)).toBe('kept')
})

test('with a callback', async () => {
  const { tokens } = open()
  const hash = await tokens.makeHash('a')
  expect(await viaCallback((done) => tokens.delHash(hash, done))).toBe(true)
  expect(await viaCallback((done) => tokens.delHash(hash, done))).toBe(false)
})

test('false for a hash that finds nothing, and nothing is written', async () => {
  const { tokens, all } = open()
  const ended = await tokens.makeHash('a', 0.05)
  await tokens.makeHash('a', { replaces: 'a' })
  await passed((await redisNow()) + 51)
  const before = await all()
  for (const hash of [ended, 'ABCDwxyz', 'x', '*', '\0', '\ud800', 'x'.repeat(100_000)]) {
    expect(await tokens.delHash(hash)).toBe(false)
  }
  expect(await all()).toEqual(before)
})

test('what is no text deletes nothing, and Redis is not asked', () =>
  findsNothing('delHash', false))

test('deletes whatever is under its name', async () => {
  const { tokens, all, name } = open()
  const redis = topology.redis()
  const at = name('hash', 'ABCDwxyz')
  for (const write of [
    () => redis.sadd(at, 'a'),
    ...['foo', '', 'nil', '{'].map((text) => () => redis.set(at, text))
  ]) {
    await write()
    expect(await tokens.delHash('ABCDwxyz')).toBe(true)
    expect(await all()).toEqual({})
  }
})
