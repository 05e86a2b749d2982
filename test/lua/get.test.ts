import { type Arg, bytes, client, closeAfterAll, until } from '../support'
import { ATTRS, OWNERS, strayRecords, strayTypes } from '../support/cases'
import { id, key, Root } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

test.each<[string, Arg[]]>([
  ['without a lifetime', []],
  ['with TTL', ['TTL', HOUR]],
  ['with IDLE', ['IDLE', HOUR, 'EVERY', 1]],
  ['with both', ['TTL', 2 * HOUR, 'IDLE', HOUR, 'EVERY', 1]]
])('answers the triple of a token %s, and is no use of it', async (_, options) => {
  const root = new Root(redis)
  await root.issue(2)
  const { record, expires_at } = await root.issue(1, 'o', '{"a":1}', ...options)
  await root.unchanged(async () =>
    expect(await root.run('get', id(1))).toEqual([key(1), record, expires_at])
  )
  await root.later(HOUR / 2)
  await root.unchanged(async () => {
    const [, later, end] = (await root.run('get', id(1))) as [string, string, number]
    expect(end).toBe(expires_at && expires_at - HOUR / 2)
    expect(await root.run('getkey', 'PEEK', key(1))).toEqual([later, end])
  })
})

test.each(ATTRS)('attrs byte for byte: %s', async (_, attrs) => {
  const root = new Root(redis)
  const { record } = await root.issue(1, 'o', attrs)
  expect(await root.run('get', id(1))).toEqual([key(1), record, 0])
  const { record: ending, expires_at } = await root.issue(2, 'o', attrs, 'TTL', HOUR)
  expect(await root.run('get', id(2))).toEqual([key(2), ending, expires_at])
  expect(ending.endsWith(`,"attrs":${bytes(attrs)}}`)).toBe(true)
})

test('owners of any bytes', async () => {
  const root = new Root(redis)
  for (const [i, [, owner]] of OWNERS.entries()) {
    const { record, expires_at } = await root.issue(i, owner, '{}', ...(i % 2 ? ['TTL', HOUR] : []))
    expect(await root.run('get', id(i))).toEqual([key(i), record, expires_at])
  }
})

test('the key of a rotated token, and what it has become', async () => {
  const root = new Root(redis)
  await root.issue(1)
  await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
  await root.run('set', id(1), '{"b":2}')
  expect(await root.run('get', id(1))).toEqual([
    key(2),
    expect.stringMatching(/,"attrs":\{"b":2\}\}$/),
    0
  ])
})

describe('nil, and nothing written', () => {
  const nil = async (root: Root, ...ids: Arg[]): Promise<void> => {
    await root.unchanged(async () => {
      for (const one of ids) expect(await root.run('get', one)).toBeNull()
    })
  }

  test('an unknown id, whatever it looks like', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await nil(
      root,
      id(2),
      'x',
      '*',
      id(1).toUpperCase(),
      id(1) + '0',
      'x'.repeat(70_000),
      Buffer.from([0, 0xff])
    )
  })

  test('a token that has ended', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.issue(2, 'o', '{}', 'TTL', 30)
    await root.issue(3, 'o', '{}', 'TTL', HOUR)
    await root.run('del', id(1))
    await until(async () => (await redis.exists(root.at('id', id(2)))) === 0)
    await root.later(HOUR + 1)
    await nil(root, id(1), id(2), id(3))
  })

  test('an id whose record Redis evicted', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('key', key(1)))
    await nil(root, id(1))
  })
})

describe('TSBADARG', () => {
  test('any other number of KEYS or arguments, and an empty id', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.refusesOtherCounts('get', [id(1)])
    await root.refuses('TSBADARG', 'get', '')
  })
})

describe('TSRECORD', () => {
  test.each(strayRecords(id(1), key(1)))('a foreign record: %s', async (_, text) => {
    const root = new Root(redis)
    await redis.set(root.at('id', id(1)), key(1))
    await redis.set(root.at('key', key(1)), text)
    await root.refuses('TSRECORD', 'get', id(1))
  })

  test('an id whose key was issued again to another, rotated out by that one or not', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('key', key(1)))
    await root.run('add', key(1), id(2), 'p', '{}')
    await root.refuses('TSRECORD', 'get', id(1))
    await root.run('rotate', id(2), key(3), 'GRACE', HOUR)
    await root.refuses('TSRECORD', 'get', id(1))
  })
})

test.each(strayTypes('string'))(
  'WRONGTYPE: a %s where the record or the id belongs',
  async (_, put) => {
    const root = new Root(redis)
    await redis.set(root.at('id', id(1)), key(1))
    await put(redis, root.at('key', key(1)))
    await put(redis, root.at('id', id(2)))
    await root.refuses('WRONGTYPE', 'get', id(1))
    await root.refuses('WRONGTYPE', 'get', id(2))
  }
)

test('neighbours are not read, not even one with the name of the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':id:']) await redis.set(root.name + name, 'a neighbour')
  const { record } = await root.issue(1)
  await root.unchanged(async () => {
    expect(await root.run('get', id(1))).toEqual([key(1), record, 0])
    expect(await root.run('get', id(2))).toBeNull()
  })
})
