import { client, closeAfterAll, until } from '../support'
import { HASHES, NOT_JSON, strayTypes, VALUES } from './cases'
import { type Arg, bytes, id, Root } from './root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

test.each(VALUES)('answers a value byte for byte, as often as it is asked: %s', async (_, value) => {
  const root = new Root(redis)
  await root.run('makehash', 'abc', value, HOUR, 'REPLACES', 'n')
  await root.run('makehash', 'def', '0', HOUR)
  await root.unchanged(async () => {
    for (let n = 0; n < 3; n++) expect(await root.run('gethash', 'abc')).toBe(bytes(value))
  })
})

test.each(HASHES)('a hash of %s', async (_, hash) => {
  const root = new Root(redis)
  await root.run('makehash', hash, '[1]', HOUR)
  await root.unchanged(async () => expect(await root.run('gethash', hash)).toBe('[1]'))
})

describe('nil, and nothing written', () => {
  test.each<[string, Arg]>([
    ['unknown', 'x'],
    ['in upper case', 'ABC'],
    ['a glob', '*'],
    ['long', 'x'.repeat(70_000)],
    ['bytes', Buffer.from([0, 0xff])]
  ])('a hash that is %s', async (_, hash) => {
    const root = new Root(redis)
    await root.run('makehash', 'abc', '1', HOUR)
    await root.unchanged(async () => expect(await root.run('gethash', hash)).toEqual(null))
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
    await root.unchanged(async () => expect(await root.run('gethash', 'abc')).toEqual(null))
  })

  test('one that expires by itself', async () => {
    const root = new Root(redis)
    await root.run('makehash', 'abc', '1', 30)
    await until(async () => (await redis.exists(root.at('hash', 'abc'))) === 0)
    expect(await root.run('gethash', 'abc')).toEqual(null)
  })

  test('the key, id or owner of a token, or a name of REPLACES', async () => {
    const root = new Root(redis)
    await root.run('add', 'the-key', id(1), 'o', '{}')
    await root.run('makehash', 'abc', '1', HOUR, 'REPLACES', 'n')
    await root.unchanged(async () => {
      for (const one of ['the-key', id(1), 'o', 'n']) expect(await root.run('gethash', one)).toEqual(null)
    })
  })
})

test('TSBADARG: any other number of KEYS or arguments, and an empty hash', async () => {
  const root = new Root(redis)
  await root.run('makehash', 'abc', '1', HOUR)
  await root.refusesOtherCounts('gethash', ['abc'])
  await root.refuses('TSBADARG', 'gethash', '')
})

describe('TSRECORD', () => {
  test.each(strayTypes('string'))('a %s where the value belongs', async (_, put) => {
    const root = new Root(redis)
    await put(redis, root.at('hash', 'abc'))
    await root.refuses('TSRECORD', 'gethash', 'abc')
  })

  test.each(NOT_JSON)('a text %j, which is no JSON', async (text) => {
    const root = new Root(redis)
    await redis.set(root.at('hash', 'abc'), text)
    await root.refuses('TSRECORD', 'gethash', 'abc')
  })
})

test('neighbours are neither read nor written, not even one with the name of the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':hash:', '2:hash:abc']) await redis.set(root.name + name, '"a neighbour"')
  const before = await root.state()
  expect(await root.run('gethash', 'abc')).toEqual(null)
  await root.run('makehash', 'abc', '1', HOUR)
  expect(await root.run('gethash', 'abc')).toEqual('1')
  expect(await root.state()).toMatchObject(before)
})
