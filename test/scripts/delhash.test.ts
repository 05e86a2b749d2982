import { client, closeAfterAll, until } from '../support'
import { HASHES, NOT_JSON, strayTypes, VALUES } from './cases'
import { type Arg, expectState, id, Root } from './root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

test.each(VALUES)('deletes a hash with any value, once: %s', async (_, value) => {
  const root = new Root(redis)
  await root.run('makehash', 'def', '0', HOUR)
  const before = await root.state()
  await root.run('makehash', 'abc', value, HOUR)
  expect(await root.run('delhash', 'abc')).toBe(1)
  expectState(await root.state(), before)
  await root.unchanged(async () => expect(await root.run('delhash', 'abc')).toBe(0))
})

test.each(HASHES)('a hash of %s', async (_, hash) => {
  const root = new Root(redis)
  await root.run('makehash', hash, '[1]', HOUR)
  expect(await root.run('delhash', hash)).toBe(1)
  expect(await root.state()).toEqual({})
})

describe('0, and nothing written', () => {
  test.each<[string, Arg]>([
    ['unknown', 'x'],
    ['in upper case', 'ABC'],
    ['a glob', '*'],
    ['long', 'x'.repeat(70_000)],
    ['bytes', Buffer.from([0, 0xff])]
  ])('a hash that is %s', async (_, hash) => {
    const root = new Root(redis)
    await root.run('makehash', 'abc', '1', HOUR)
    await root.unchanged(async () => expect(await root.run('delhash', hash)).toEqual(0))
  })

  test.each<[string, (root: Root) => Promise<unknown>]>([
    ['was taken', (root) => root.run('takehash', 'abc')],
    ['was deleted', (root) => root.run('delhash', 'abc')],
    ['was replaced', (root) => root.run('makehash', 'def', '2', HOUR, 'REPLACES', 'n')],
    ['has expired', (root) => root.later(HOUR + 1)]
  ])('a hash that %s', async (_, end) => {
    const root = new Root(redis)
    await root.run('makehash', 'abc', '1', HOUR, 'REPLACES', 'n')
    await end(root)
    await root.unchanged(async () => expect(await root.run('delhash', 'abc')).toEqual(0))
  })

  test('one that expires by itself', async () => {
    const root = new Root(redis)
    await root.run('makehash', 'abc', '1', 30)
    await until(async () => (await redis.exists(root.at('hash', 'abc'))) === 0)
    expect(await root.run('delhash', 'abc')).toEqual(0)
  })

  test('the key, id or owner of a token, or a name of REPLACES', async () => {
    const root = new Root(redis)
    await root.run('add', 'the-key', id(1), 'o', '{}')
    await root.run('makehash', 'abc', '1', HOUR, 'REPLACES', 'n')
    await root.unchanged(async () => {
      for (const one of ['the-key', id(1), 'o', 'n']) expect(await root.run('delhash', one)).toEqual(0)
    })
  })
})

test('TSBADARG: any other number of KEYS or arguments, and an empty hash', async () => {
  const root = new Root(redis)
  await root.run('makehash', 'abc', '1', HOUR)
  await root.refusesOtherCounts('delhash', ['abc'])
  await root.refuses('TSBADARG', 'delhash', '')
})

describe('TSRECORD', () => {
  test.each(strayTypes('string'))('a %s where the value belongs', async (_, put) => {
    const root = new Root(redis)
    await put(redis, root.at('hash', 'abc'))
    await root.refuses('TSRECORD', 'delhash', 'abc')
  })

  test.each(NOT_JSON)('a text %j, which is no JSON', async (text) => {
    const root = new Root(redis)
    await redis.set(root.at('hash', 'abc'), text)
    await root.refuses('TSRECORD', 'delhash', 'abc')
  })
})

test('neighbours are neither read nor written, not even one with the name of the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':hash:', '2:hash:abc']) await redis.set(root.name + name, '"a neighbour"')
  const before = await root.state()
  expect(await root.run('delhash', 'abc')).toEqual(0)
  await root.run('makehash', 'abc', '1', HOUR)
  expect(await root.run('delhash', 'abc')).toEqual(1)
  expect(await root.state()).toMatchObject(before)
})
