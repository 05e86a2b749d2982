import { type Arg, bytes, client, closeAfterAll } from '../support'
import { ATTRS, OWNERS, strayRecords, strayTypes } from '../support/cases'
import { id, key, Root } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

const attrsOf = (record: string): string => record.slice(record.indexOf(',"attrs":') + 9, -1)

test.each<[string, Arg[]]>([
  ['without a lifetime', []],
  ['with TTL', ['TTL', HOUR]],
  ['with IDLE', ['IDLE', HOUR, 'EVERY', 1]],
  ['with both', ['TTL', 2 * HOUR, 'IDLE', HOUR, 'EVERY', 1]]
])('replaces the attrs of a token %s and nothing else; no use of it', async (_, options) => {
  const root = new Root(redis)
  await root.issue(2)
  await root.issue(1, 'o', '{"a":1}', ...options)
  await root.later(HOUR / 2)
  const before = await root.state()
  const [, old, end] = (await root.run('get', id(1))) as [string, string, number]
  const record = old.replace('{"a":1}', '{"b":[2]}')
  expect(await root.run('set', id(1), '{"b":[2]}')).toEqual([key(1), record, end])
  const name = `${root.name}:key:${key(1)}`
  expect(await root.state()).toEqual({ ...before, [name]: { ...before[name]!, value: record } })
})

test.each(ATTRS)('attrs are kept byte for byte, alone and by IF: %s', async (_, attrs) => {
  const root = new Root(redis)
  const { record: first, expires_at } = await root.issue(1, 'o', '{"a":1}', 'TTL', HOUR)
  const record = first.replace('{"a":1}', () => bytes(attrs))
  expect(await root.run('set', id(1), attrs)).toEqual([key(1), record, expires_at])
  expect(await root.run('get', id(1))).toEqual([key(1), record, expires_at])
  await root.refuses('TSCONFLICT', 'set', id(1), '{}', 'IF', `${attrs} `)
  expect(await root.run('set', id(1), '{"a":1}', 'IF', attrs)).toEqual([key(1), first, expires_at])
  expect(await root.run('set', id(1), attrs, 'IF', '{"a":1}')).toEqual([key(1), record, expires_at])
  expect(await root.faults()).toEqual([])
})

test('owners of any bytes', async () => {
  const root = new Root(redis)
  for (const [i, [, owner]] of OWNERS.entries()) {
    const { record } = await root.issue(i, owner, '{"a":1}', ...(i % 2 ? ['TTL', HOUR] : []))
    const [, changed] = (await root.run('set', id(i), '{"b":2}', 'IF', '{"a":1}')) as string[]
    expect(changed).toBe(record.replace('{"a":1}', '{"b":2}'))
  }
})

test('a rotated token: keys within their grace open it with the new attrs', async () => {
  const root = new Root(redis)
  await root.issue(1, 'o', '{"a":1}')
  await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
  const [current, record] = (await root.run('set', id(1), '{"b":2}', 'IF', '{"a":1}')) as string[]
  expect([current, attrsOf(record!)]).toEqual([key(2), '{"b":2}'])
  expect(await root.run('getkey', 'PEEK', key(1), key(2))).toEqual([record, 0, record, 0])
})

describe('IF', () => {
  test.each([
    ['other attrs', '{"a":2}'],
    ['a part of them', '{"a":1'],
    ['more than them', '{"a":1}}'],
    ['the same value in other text', '{"a": 1}'],
    ['nothing', ''],
    ['a pattern that fits', '{"a":.}']
  ])('%s: TSCONFLICT and nothing written', async (_, expected) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{"a":1}')
    await root.refuses('TSCONFLICT', 'set', id(1), '{"b":2}', 'IF', expected)
  })

  test('of two writers that read the same, one is refused', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{"n":0}')
    expect(await root.run('set', id(1), '{"n":1}', 'IF', '{"n":0}')).not.toBeNull()
    await root.refuses('TSCONFLICT', 'set', id(1), '{"n":2}', 'IF', '{"n":0}')
  })
})

describe('nil, and nothing created or written', () => {
  const nil = async (root: Root, one: Arg): Promise<void> => {
    await root.unchanged(async () => {
      expect(await root.run('set', one, '{"b":2}')).toBeNull()
      expect(await root.run('set', one, '{"b":2}', 'IF', '{}')).toBeNull()
      expect(await root.run('set', one, '{"b":2}', 'IF', '{"other":1}')).toBeNull()
    })
  }

  test.each<[string, Arg]>([
    ['unknown', id(2)],
    ['in upper case', id(1).toUpperCase()],
    ['short', 'x'],
    ['bytes', Buffer.from([0, 0xff])],
    ['long', 'x'.repeat(70_000)]
  ])('an id that is %s', async (_, one) => {
    const root = new Root(redis)
    await root.issue(1)
    await nil(root, one)
  })

  test.each<[string, (root: Root) => Promise<unknown>]>([
    ['was revoked by del', (root) => root.run('del', id(1))],
    ['was revoked by delkey', (root) => root.run('delkey', key(1))],
    ['was revoked by delowner', (root) => root.run('delowner', 'o')],
    ['was evicted by another', (root) => root.issue(2, 'o', '{}', 'LIMIT', 1, 'EVICT')],
    ['has expired', (root) => root.later(HOUR + 1)],
    ['Redis evicted the record of', (root) => redis.del(root.at('key', key(1)))],
    ['Redis evicted the id of', (root) => redis.del(root.at('id', id(1)))]
  ])('a token that %s', async (_, end) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'TTL', HOUR)
    await end(root)
    await nil(root, id(1))
  })
})

describe('TSBADARG', () => {
  const ready = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1)
    return root
  }

  test('any other number of KEYS or arguments, and an empty id', async () => {
    const root = await ready()
    await root.refusesOtherCounts('set', [id(1), '{"b":2}'])
    await root.refusesOtherCounts('set', [id(1), '{"b":2}'], ['IF'])
    await root.refusesOtherCounts('set', [id(1), '{"b":2}'], ['IF', '{}', 'surplus'])
    await root.refusesOtherCounts('set', [id(1), '{"b":2}'], ['IF', '{}', 'IF', '{}'])
    await root.refuses('TSBADARG', 'set', '', '{"b":2}')
  })

  test.each(['', '[]', 'null', '1', '{', '}', ' {}', '{} ', '{}\n', 'x{}'])(
    'attrs %j',
    async (bad) => {
      const root = await ready()
      await root.refuses('TSBADARG', 'set', id(1), bad)
      await root.refuses('TSBADARG', 'set', id(1), bad, 'IF', '{}')
      await root.refuses('TSBADARG', 'set', id(2), bad)
    }
  )

  test.each(['if', '', 'UNLESS', 'TTL', '{}'])('%j instead of IF', async (word) =>
    (await ready()).refuses('TSBADARG', 'set', id(1), '{"b":2}', word, '{}')
  )
})

describe('TSRECORD', () => {
  const refuses = async (root: Root): Promise<void> => {
    await root.refuses('TSRECORD', 'set', id(1), '{"b":2}')
    await root.refuses('TSRECORD', 'set', id(1), '{"b":2}', 'IF', '{"a":1}')
  }

  test.each(strayRecords(id(1), key(1)))('a foreign record: %s', async (_, text) => {
    const root = new Root(redis)
    await redis.set(root.at('id', id(1)), key(1))
    await redis.set(root.at('key', key(1)), text)
    await refuses(root)
  })

  test('an id whose key was issued again to another, rotated out by that one or not', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{"a":1}')
    await redis.del(root.at('key', key(1)))
    await root.run('add', key(1), id(2), 'p', '{"a":1}')
    await refuses(root)
    await root.run('rotate', id(2), key(3), 'GRACE', HOUR)
    await refuses(root)
  })
})

test.each(strayTypes('string'))(
  'WRONGTYPE: a %s where the record or the id belongs',
  async (_, put) => {
    const root = new Root(redis)
    await redis.set(root.at('id', id(1)), key(1))
    await put(redis, root.at('key', key(1)))
    await put(redis, root.at('id', id(2)))
    await root.refuses('WRONGTYPE', 'set', id(1), '{"b":2}')
    await root.refuses('WRONGTYPE', 'set', id(2), '{"b":2}')
  }
)

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':id:']) await redis.set(root.name + name, 'a neighbour')
  await root.issue(1)
  const before = await root.state()
  expect(await root.run('set', id(2), '{"b":2}')).toBeNull()
  const [, record] = (await root.run('set', id(1), '{"b":2}')) as string[]
  const name = `${root.name}:key:${key(1)}`
  expect(await root.state()).toEqual({
    ...before,
    [name]: { type: 'string', value: record, end: null }
  })
})
