import { client, closeAfterAll, until } from '../support'
import { ATTRS, OWNERS, strayRecords, strayTypes } from './cases'
import { type Arg, bytes, expectState, id, key, Root } from './root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

const LIFETIMES: [string, Arg[]][] = [
  ['without a lifetime', []],
  ['with TTL', ['TTL', 2 * HOUR]],
  ['with IDLE', ['IDLE', 2 * HOUR]],
  ['with both', ['TTL', 9 * HOUR, 'IDLE', 2 * HOUR]]
]

/** The record with keys within their grace, as a text of them. */
const withGraced = (record: string, graced: string): string =>
  record.replace(',"attrs":', () => `,"graced":{${graced}},"attrs":`)

describe('without GRACE', () => {
  test.each(LIFETIMES)('a token %s has a new key, the rest stays; the old key is gone', async (_, options) => {
    const root = new Root(redis)
    await root.issue(9)
    await root.issue(1, 'o', '{"a":1}', ...options)
    await root.later(HOUR)
    const before = await root.state()
    const [, record, expires_at] = (await root.run('get', id(1))) as [string, string, number]
    expect(await root.run('rotate', id(1), key(2))).toEqual([key(2), record, expires_at])
    const [old, fresh] = [`${root.name}:key:${key(1)}`, `${root.name}:key:${key(2)}`]
    const expected = {
      ...before,
      [fresh]: before[old]!,
      [`${root.name}:id:${id(1)}`]: { type: 'string', value: key(2), end: expires_at || null }
    }
    delete expected[old]
    expectState(await root.state(), expected)
    expect(await root.run('getkey', 'TOUCH', key(1), key(2))).toMatchObject([null, 0, {}, expect.any(Number)])
  })

  test('keys within their grace stay', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
    const before = await root.state()
    const [, record] = (await root.run('rotate', id(1), key(3))) as string[]
    expect(record).toBe(before[`${root.name}:key:${key(2)}`]!.value)
    expect(await root.run('getkey', 'PEEK', key(1), key(2), key(3))).toEqual([record, 0, null, 0, record, 0])
    expect(await root.faults()).toEqual([])
  })
})

describe('GRACE', () => {
  test.each(LIFETIMES)('a token %s: the old key opens it too, no longer than it lives', async (_, options) => {
    for (const grace of [HOUR / 2, HOUR * 5]) {
      const root = new Root(redis)
      await root.issue(9)
      await root.issue(1, 'o', '{"a":1}', ...options)
      await root.later(HOUR)
      const before = await root.state()
      const [, plain, expires_at] = (await root.run('get', id(1))) as [string, string, number]
      const earliest = await root.now()
      const reply = (await root.run('rotate', id(1), key(2), 'GRACE', grace)) as [string, string, number]
      const till = Number(/"key-of-token-1":(\d+)/.exec(reply[1])![1])
      expect(till).toBeGreaterThanOrEqual(earliest + grace)
      expect(till).toBeLessThanOrEqual((await root.now()) + grace)
      const record = withGraced(plain, `"${key(1)}":${till}`)
      expect(reply).toEqual([key(2), record, expires_at])
      const end = expires_at || null
      expectState(await root.state(), {
        ...before,
        [`${root.name}:key:${key(2)}`]: { type: 'string', value: record, end },
        [`${root.name}:id:${id(1)}`]: { type: 'string', value: key(2), end },
        [`${root.name}:key:${key(1)}`]: {
          type: 'string',
          value: `{"id":"${id(1)}","grace":${till}}`,
          end: end ? Math.min(till, end) : till
        }
      })
      expect(await root.run('getkey', 'PEEK', key(1), key(2))).toEqual([record, expires_at, record, expires_at])
    }
  })

  test('several keys within their grace; one whose grace is over is listed no more', async () => {
    const root = new Root(redis)
    await root.issue(1)
    for (const n of [2, 3, 4]) await root.run('rotate', id(1), key(n), 'GRACE', n * HOUR)
    expect(await root.run('getkey', 'PEEK', ...[1, 2, 3, 4].map(key))).toMatchObject([{}, 0, {}, 0, {}, 0, {}, 0])
    await root.later(2.5 * HOUR)
    const [, record] = (await root.run('rotate', id(1), key(5), 'GRACE', HOUR)) as string[]
    const { graced } = JSON.parse(record!) as { graced: object }
    expect(Object.keys(graced).sort()).toEqual([2, 3, 4].map(key))
    expect(await root.run('getkey', 'PEEK', ...[1, 2, 3, 4, 5].map(key))).toMatchObject([
      ...[null, 0],
      ...[2, 3, 4, 5].flatMap(() => [record, 0])
    ])
    await root.later(5 * HOUR)
    const [, last] = (await root.run('rotate', id(1), key(6))) as string[]
    expect(last).toBe(`{"id":"${id(1)}","owner_id":"o","attrs":{}}`)
    expect(await root.faults()).toEqual([])
    expect(Object.keys(await root.state())).toHaveLength(3)
  })

  test('in the end nothing of it is left', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'TTL', 60)
    await root.run('rotate', id(1), key(2), 'GRACE', 20)
    await root.run('rotate', id(1), key(3), 'GRACE', HOUR)
    await until(async () => Object.keys(await root.state()).length === 0)
  })

  test.each<[string, string, Arg[]]>([
    ['del', 'del', [id(1)]],
    ['delkey', 'delkey', [key(3)]],
    ['delkey by the old key', 'delkey', [key(1)]],
    ['delowner', 'delowner', ['o']],
    ['delowner EXCEPT another', 'delowner', ['o', 'EXCEPT', id(9)]],
    ['reset by its id', 'reset', [`id:${id(1)}`]],
    ['reset by its key', 'reset', [`key:${key(3)}`]],
    ['reset by its old key', 'reset', [`key:${key(1)}`]],
    ["reset by the owner's set", 'reset', ['tokens:o']]
  ])('%s ends every key', async (_, script, args) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
    await root.run('rotate', id(1), key(3), 'GRACE', 2 * HOUR)
    await root.run(script, ...args)
    expect(await root.state()).toEqual({})
  })

  test('the longest', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(2), 'GRACE', '9999999999999')
    expect(await root.run('getkey', 'PEEK', key(1))).toMatchObject([{}, 0])
  })
})

describe('newkey', () => {
  test.each<[string, Arg[]]>([
    ['alone', []],
    ['with GRACE', ['GRACE', HOUR]]
  ])('the same again answers the same and writes nothing, %s', async (_, grace) => {
    for (const [, options] of LIFETIMES) {
      const root = new Root(redis)
      await root.issue(1, 'o', '{"a":1}', ...options)
      const reply = await root.run('rotate', id(1), key(2), ...grace)
      await root.unchanged(async () => {
        expect(await root.run('rotate', id(1), key(2), ...grace)).toEqual(reply)
        expect(await root.run('rotate', id(1), key(2))).toEqual(reply)
        expect(await root.run('rotate', id(1), key(2), 'GRACE', 1)).toEqual(reply)
      })
    }
  })

  test('TSKEYTAKEN when another token has it, or had it within its grace, or this one had', async () => {
    const root = new Root(redis)
    for (const n of [1, 2, 3]) await root.issue(n, n === 3 ? 'p' : 'o', '{}', ...(n === 2 ? ['TTL', HOUR] : []))
    await root.run('rotate', id(3), key(13), 'GRACE', HOUR)
    await root.run('rotate', id(1), key(11), 'GRACE', HOUR)
    for (const n of [2, 3, 13, 1]) {
      await root.refuses('TSKEYTAKEN', 'rotate', id(1), key(n))
      await root.refuses('TSKEYTAKEN', 'rotate', id(1), key(n), 'GRACE', HOUR)
    }
  })

  test('a key that came free may be used again, by its own token too', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.issue(2)
    await root.run('rotate', id(1), key(11))
    await root.run('rotate', id(1), key(1))
    await root.run('rotate', id(1), key(11), 'GRACE', 1000)
    await root.later(1001)
    await root.run('rotate', id(2), key(1), 'GRACE', HOUR)
    await root.run('rotate', id(1), key(12), 'GRACE', HOUR)
    expect(await root.faults()).toEqual([])
    await root.run('del', id(1))
    expect(await root.run('getkey', 'PEEK', key(1), key(2), key(11), key(12))).toMatchObject([
      ...[{}, 0, {}, 0],
      ...[null, 0, null, 0]
    ])
  })

  test.each<[string, Arg]>([
    ['one byte', 'k'],
    ['256 bytes', 'k'.repeat(256)],
    ['bytes that are not UTF-8', Buffer.from([0, 0x7f, 0xff, 0xfe])],
    ['quotes and backslashes', '"k\\"\\'],
    ['braces', '}},"attrs":{'],
    ['slashes and signs of Lua patterns', '/%1%%/'],
    ['digits', '123']
  ])('of %s, also as a key within its grace', async (_, odd) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{"a":1}', 'TTL', 2 * HOUR, 'IDLE', HOUR)
    expect(await root.run('rotate', id(1), odd)).toMatchObject([bytes(odd as string), {}, expect.any(Number)])
    const [, record, end] = (await root.run('rotate', id(1), key(2), 'GRACE', HOUR)) as [string, string, number]
    expect(await root.run('getkey', 'PEEK', odd, key(2))).toEqual([record, end, record, end])
    expect(await root.run('rotate', id(1), key(3), 'GRACE', HOUR)).toMatchObject([key(3), {}, end])
    await root.refuses('TSKEYTAKEN', 'rotate', id(1), odd)
    expect(await root.run('delkey', odd)).toBe(1)
    expect(await root.state()).toEqual({})
  })
})

test.each(ATTRS)('attrs are kept byte for byte: %s', async (_, attrs) => {
  const root = new Root(redis)
  const { record } = await root.issue(1, 'o', attrs)
  expect(await root.run('rotate', id(1), key(2))).toEqual([key(2), record, 0])
  const [, first] = (await root.run('rotate', id(1), key(3), 'GRACE', HOUR)) as string[]
  const [, second] = (await root.run('rotate', id(1), key(4), 'GRACE', HOUR)) as string[]
  const end = `,"attrs":${bytes(attrs)}}`
  expect([first!.endsWith(end), second!.endsWith(end)]).toEqual([true, true])
  expect(second!.slice(0, -end.length)).toMatch(/^\{"id":"[^"]+","owner_id":"o","graced":\{"[^"]+":\d+,"[^"]+":\d+\}$/)
  await root.later(HOUR + 1)
  expect(await root.run('rotate', id(1), key(5))).toEqual([key(5), record, 0])
})

test('owners of any bytes', async () => {
  const root = new Root(redis)
  for (const [i, [, owner]] of OWNERS.entries()) {
    const { record, expires_at } = await root.issue(i, owner, '{}', ...(i % 2 ? ['TTL', HOUR] : []))
    const [, graced] = (await root.run('rotate', id(i), `new-${i}`, 'GRACE', HOUR)) as string[]
    expect(await root.run('rotate', id(i), `newer-${i}`)).toEqual([`newer-${i}`, graced, expires_at])
    expect(graced!.replace(/,"graced":\{"key-of-token-\d+":\d+\}/, '')).toBe(record)
    expect(await root.run('delkey', key(i))).toBe(1)
  }
  expect(await root.state()).toEqual({})
})

describe('nil, and nothing created or written', () => {
  const nil = async (root: Root, one: Arg): Promise<void> => {
    await root.unchanged(async () => {
      expect(await root.run('rotate', one, key(50))).toBeNull()
      expect(await root.run('rotate', one, key(50), 'GRACE', HOUR)).toBeNull()
    })
  }

  test.each<[string, Arg]>([
    ['unknown', id(2)],
    ['in upper case', id(1).toUpperCase()],
    ['short', 'x'],
    ['bytes', Buffer.from([0, 0xff])]
  ])('an id that is %s', async (_, one) => {
    const root = new Root(redis)
    await root.issue(1)
    await nil(root, one)
  })

  test.each<[string, (root: Root) => Promise<unknown>]>([
    ['was ended', (root) => root.run('del', id(1))],
    ['has expired', (root) => root.later(HOUR + 1)],
    ['Redis evicted the record of', (root) => redis.del(root.at('key', key(1)))],
    ['Redis evicted the id of', (root) => redis.del(root.at('id', id(1)))]
  ])('a token that %s', async (_, end) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'TTL', HOUR)
    await end(root)
    await nil(root, id(1))
  })

  test('an id whose key was issued again to another, rotated out by that one or not', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('key', key(1)))
    await root.run('add', key(1), id(2), 'p', '{}')
    await nil(root, id(1))
    await root.unchanged(async () => expect(await root.run('rotate', id(1), key(1))).toBeNull())
    await root.run('rotate', id(2), key(3), 'GRACE', HOUR)
    await nil(root, id(1))
  })
})

describe('TSBADARG', () => {
  const ready = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1)
    return root
  }

  test('any other number of KEYS or arguments, and empty or long ones', async () => {
    const root = await ready()
    await root.refusesOtherCounts('rotate', [id(1), key(2)])
    await root.refusesOtherCounts('rotate', [id(1), key(2)], ['GRACE'])
    await root.refusesOtherCounts('rotate', [id(1), key(2)], ['GRACE', 5, 'surplus'])
    await root.refusesOtherCounts('rotate', [id(1), key(2)], ['GRACE', 5, 'GRACE', 5])
    await root.refuses('TSBADARG', 'rotate', '', key(2))
    await root.refuses('TSBADARG', 'rotate', id(1), '')
    await root.refuses('TSBADARG', 'rotate', id(1), 'k'.repeat(257))
    await root.refuses('TSBADARG', 'rotate', id(1), 'k'.repeat(255) + 'é', 'GRACE', 5)
  })

  const numbers = ['', '0', '01', '-1', '+1', '1.5', '1e3', '0x10', ' 1', '1\n', 'inf', 'nan', 'x', '10000000000000']
  test.each(numbers)('GRACE %j', async (bad) =>
    (await ready()).refuses('TSBADARG', 'rotate', id(1), key(2), 'GRACE', bad)
  )

  test.each(['grace', '', 'TTL', '5'])('%j instead of GRACE', async (word) =>
    (await ready()).refuses('TSBADARG', 'rotate', id(1), key(2), word, 5)
  )
})

describe('TSRECORD', () => {
  const refuses = async (root: Root, one: string): Promise<void> => {
    await root.refuses('TSRECORD', 'rotate', one, key(2))
    await root.refuses('TSRECORD', 'rotate', one, key(2), 'GRACE', HOUR)
  }

  test.each(strayRecords(id(1), key(1)))('a record of another layout: %s', async (_, text) => {
    const root = new Root(redis)
    await redis.set(root.at('id', id(1)), key(1))
    await redis.set(root.at('key', key(1)), text)
    await refuses(root, id(1))
  })

  test.each(strayTypes('string'))('a %s where the record or the id belongs', async (_, put) => {
    const root = new Root(redis)
    await redis.set(root.at('id', id(1)), key(1))
    await put(redis, root.at('key', key(1)))
    await put(redis, root.at('id', id(3)))
    await refuses(root, id(1))
    await refuses(root, id(3))
  })

  test.each(strayRecords(id(2), key(2)))('a record of another layout under the new key: %s', async (_, text) => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.set(root.at('key', key(2)), text)
    await refuses(root, id(1))
  })

  test.each(strayTypes('string'))('a %s under the new key', async (_, put) => {
    const root = new Root(redis)
    await root.issue(1)
    await put(redis, root.at('key', key(2)))
    await refuses(root, id(1))
  })
})

test('neighbours are neither read nor written, not even one with the name of the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':id:', ':key:']) await redis.set(root.name + name, 'a neighbour')
  const before = await root.state()
  await root.issue(1)
  expect(await root.run('rotate', id(1), key(2), 'GRACE', HOUR)).toMatchObject([key(2), {}, 0])
  expect(await root.run('rotate', id(1), key(3))).toMatchObject([key(3), {}, 0])
  expect(await root.state()).toMatchObject(before)
  expect(Object.keys(await root.state())).toHaveLength(Object.keys(before).length + 4)
})

test.each<[string, Arg[]]>([
  ['never ends', []],
  ['has a TTL', ['TTL', HOUR]],
  ['has an IDLE', ['TTL', 2 * HOUR, 'IDLE', HOUR, 'EVERY', HOUR]]
])('keys within their grace that are called like a field of the record: a token that %s', async (_, options) => {
  const names = [
    'expires_at',
    'ends_at',
    'idle',
    'every',
    'graced',
    'owner_id',
    'attrs',
    '","expires_at":1',
    ',"idle":1'
  ]
  const root = new Root(redis)
  const { expires_at } = await root.issue(1, 'o', '{}', ...options)
  for (const newkey of [...names, 'last']) await root.run('rotate', id(1), newkey, 'GRACE', HOUR)
  const [, record] = (await root.run('get', id(1))) as [string, string]
  for (const name of names) expect(JSON.parse(record)).toHaveProperty(['graced', name])
  const attrs = record.replace(/\{\}\}$/, '{"a":1}}')
  await root.unchanged(async () => {
    for (const use of ['TOUCH', 'PEEK']) {
      const replies = (await root.run('getkey', use, 'last', ...names)) as unknown[]
      for (let i = 0; i < replies.length; i += 2) expect(replies.slice(i, i + 2)).toEqual([record, expires_at])
    }
    expect(await root.run('get', id(1))).toEqual(['last', record, expires_at])
    expect(await root.run('list', 'o')).toEqual(['', 'last', record, expires_at])
  })
  expect(await root.run('set', id(1), '{"a":1}')).toEqual(['last', attrs, expires_at])
  expect(await root.run('delowner', 'o', 'EXCEPT', id(1))).toBe(0)
  expect(await root.run('del', id(1))).toBe(1)
  expect(await root.state()).toEqual({})
})
