import {
  closeAfterAll,
  endsBetween,
  expectCarried,
  findsNothing,
  noObject,
  open,
  redisNow,
  refuses,
  topology,
  valuesToCarry,
  viaCallback
} from './support'

closeAfterAll()

test('gives the value once', async () => {
  const { tokens, all } = open()
  for (const value of Object.values(valuesToCarry)) {
    const hash = await tokens.makeHash(value)
    expectCarried(await tokens.takeHash(hash), value)
    expect(await tokens.takeHash(hash)).toBeNull()
    expect(await tokens.getHash(hash)).toBeNull()
  }
  expect(await all()).toEqual({})
})

test('with a callback', async () => {
  const { tokens } = open()
  const hashes = [await tokens.makeHash(1), await tokens.makeHash(2)]
  expect(await viaCallback((done) => tokens.takeHash(hashes[0]!, done))).toBe(1)
  expect(await viaCallback((done) => tokens.takeHash(hashes[0]!, done))).toBeNull()
  expect(await viaCallback((done) => tokens.takeHash(hashes[1]!, {}, done))).toBe(2)
})

test('of many callers at once, on several connections, exactly one gets it', async () => {
  const { tokens, prefix } = open()
  const others = [tokens, open({ prefix }).tokens, open({ prefix }).tokens]
  for (let round = 0; round < 20; round++) {
    const hash = await tokens.makeHash(round)
    const taken = await Promise.all(
      others.flatMap((store) => [1, 2, 3, 4].map(() => store.takeHash(hash)))
    )
    expect(taken.filter((value) => value !== null)).toEqual([round])
  }
})

test('null for a hash that finds nothing, and once the time is over', async () => {
  const { tokens, all } = open()
  const from = await redisNow()
  const hash = await tokens.makeHash('a', 0.1)
  const made = await redisNow()
  for (const wrong of ['ABCDwxyz', 'x', '*', '\0', '\ud800', 'x'.repeat(100_000)]) {
    expect(await tokens.takeHash(wrong)).toBeNull()
  }
  await endsBetween(from + 100, made + 100, () => tokens.getHash(hash))
  expect(await tokens.takeHash(hash)).toBeNull()
  expect(await all()).toEqual({})
})

test('what is no text takes nothing, and Redis is not asked', () => findsNothing('takeHash', null))

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  const hash = await opened.tokens.makeHash('a')
  await refuses(
    opened,
    'takeHash',
    'options must be a plain object',
    ...noObject().flatMap((options) => [hash, undefined].map((given) => [given, options]))
  )
})

test('what is no text stays as it is', async () => {
  const { tokens, all, name } = open()
  await topology.redis().sadd(name('hash', 'ABCDwxyz'), 'a')
  const before = await all()
  await expect(tokens.takeHash('ABCDwxyz')).rejects.toMatchObject({
    code: 'TSRECORD',
    name: 'TokenstoreError'
  })
  expect(await all()).toEqual(before)
})

test('a text that is no JSON is taken, but not for a value', async () => {
  const { tokens, all, name } = open()
  for (const text of ['foo', '', 'nil', '{']) {
    await topology.redis().set(name('hash', 'ABCDwxyz'), text)
    await expect(tokens.takeHash('ABCDwxyz')).rejects.toMatchObject({
      code: 'TSRECORD',
      name: 'TokenstoreError'
    })
    expect(await all()).toEqual({})
  }
})
