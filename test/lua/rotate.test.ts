import { type Arg, bytes, client, closeAfterAll, until } from '../support'
import { ATTRS, OWNERS, strayRecords, strayTypes } from '../support/cases'
import { id, key, Root } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

const LIFETIMES: [string, Arg[]][] = [
  ['without a lifetime', []],
  ['with TTL', ['TTL', 2 * HOUR]],
  ['with IDLE', ['IDLE', 2 * HOUR]],
  ['with both', ['TTL', 9 * HOUR, 'IDLE', 2 * HOUR]]
]

describe('without GRACE', () => {
  test.each(LIFETIMES)(
    'a token %s has a new key, the rest stays; the old key is gone',
    async (_, options) => {
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
      expect(await root.state()).toEqual(expected)
      expect(await root.run('getkey', 'TOUCH', key(1), key(2))).toMatchObject([
        null,
        0,
        {},
        expect.any(Number)
      ])
    }
  )

  test('keys within their grace stay', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
    const before = await root.state()
    const [, record] = (await root.run('rotate', id(1), key(3))) as string[]
    expect(record).toBe(before[`${root.name}:key:${key(2)}`]!.value)
    expect(await root.run('getkey', 'PEEK', key(1), key(2), key(3))).toEqual([
      record,
      0,
      null,
      0,
      record,
      0
    ])
    expect(await root.faults()).toEqual([])
  })
})

describe('GRACE', () => {
  test.each(LIFETIMES)(
    'a token %s: the old key opens it too, as long as both last',
    async (_, options) => {
      for (const grace of [HOUR / 2, HOUR * 5]) {
        const root = new Root(redis)
        await root.issue(9)
        await root.issue(1, 'o', '{"a":1}', ...options)
        await root.later(HOUR)
        const before = await root.state()
        const [, record, expires_at] = (await root.run('get', id(1))) as [string, string, number]
        const earliest = await root.now()
        expect(await root.run('rotate', id(1), key(2), 'GRACE', grace)).toEqual([
          key(2),
          record,
          expires_at
        ])
        const latest = await root.now()
        const [old, fresh] = [`${root.name}:key:${key(1)}`, `${root.name}:key:${key(2)}`]
        const after = await root.state()
        const till = after[old]!.end!
        expect(till).toBeGreaterThanOrEqual(earliest + grace)
        expect(till).toBeLessThanOrEqual(latest + grace)
        expect(after).toEqual({
          ...before,
          [fresh]: before[old]!,
          [`${root.name}:id:${id(1)}`]: { type: 'string', value: key(2), end: expires_at || null },
          [old]: { type: 'string', value: `${id(1)} ${till}`, end: till }
        })
        expect(await root.run('getkey', 'PEEK', key(1), key(2))).toEqual([
          record,
          expires_at,
          record,
          expires_at
        ])
        if (expires_at === 0) continue
        await root.later(expires_at - latest + 1)
        expect(await root.run('getkey', 'PEEK', key(1), key(2))).toEqual([null, 0, null, 0])
      }
    }
  )

  test('several keys within their grace, each for its own', async () => {
    const root = new Root(redis)
    const { record } = await root.issue(1)
    for (const n of [2, 3, 4]) await root.run('rotate', id(1), key(n), 'GRACE', n * HOUR)
    expect(await root.run('getkey', 'PEEK', ...[1, 2, 3, 4].map(key))).toEqual(
      [1, 2, 3, 4].flatMap(() => [record, 0])
    )
    await root.later(2.5 * HOUR)
    await root.run('rotate', id(1), key(5), 'GRACE', HOUR)
    expect(await root.run('getkey', 'PEEK', ...[1, 2, 3, 4, 5].map(key))).toEqual([
      ...[null, 0],
      ...[2, 3, 4, 5].flatMap(() => [record, 0])
    ])
    await root.later(5 * HOUR)
    await root.run('rotate', id(1), key(6))
    expect(await root.faults()).toEqual([])
    expect(Object.keys(await root.state())).toHaveLength(3)
  })

  test('200 rotations leave the record as it was, to the byte', async () => {
    const root = new Root(redis)
    const { record, expires_at } = await root.issue(1, 'o', '{"a":1}', 'TTL', HOUR, 'IDLE', HOUR)
    for (let n = 2; n <= 201; n++) {
      expect(await root.run('rotate', id(1), key(n), 'GRACE', HOUR)).toEqual([
        key(n),
        record,
        expires_at
      ])
    }
    const state = await root.state()
    expect(state[`${root.name}:key:${key(201)}`]).toEqual({
      type: 'string',
      value: record,
      end: expires_at
    })
    expect(Object.keys(state)).toHaveLength(3 + 200)
    expect(await root.faults()).toEqual([])
  })

  test('in the end nothing of it is left', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'TTL', 60)
    await root.run('rotate', id(1), key(2), 'GRACE', 20)
    await root.run('rotate', id(1), key(3), 'GRACE', 90)
    await until(async () => Object.keys(await root.state()).length === 0)
  })

  test.each<[string, string, Arg[]]>([
    ['del', 'del', [id(1)]],
    ['delkey', 'delkey', [key(3)]],
    ['delkey by the old key', 'delkey', [key(1)]],
    ['delowner', 'delowner', ['o']],
    ['delowner EXCEPT another', 'delowner', ['o', 'EXCEPT', id(9)]],
    ['delowner COUNT', 'delowner', ['o', 'COUNT', 1]],
    ['add EVICT', 'add', [key(9), id(9), 'o', '{}', 'TTL', 1000, 'LIMIT', 1, 'EVICT']]
  ])(
    'after %s no key opens anything, and nothing of it is left once the grace is over',
    async (_, script, args) => {
      const root = new Root(redis)
      await root.issue(1, 'o', '{}', 'IDLE', HOUR)
      await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
      await root.run('rotate', id(1), key(3), 'GRACE', 2 * HOUR)
      await root.run(script, ...args)
      expect(await root.run('getkey', 'TOUCH', ...[1, 2, 3].map(key))).toEqual([
        null,
        0,
        null,
        0,
        null,
        0
      ])
      expect(await root.run('get', id(1))).toBeNull()
      expect(await root.faults()).toEqual([])
      await root.later(2 * HOUR + 1)
      expect(await root.state()).toEqual({})
    }
  )

  test('the longest', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(2), 'GRACE', '9999999999999')
    expect(await root.run('getkey', 'PEEK', key(1))).toMatchObject([{}, 0])
    expect(await root.faults()).toEqual([])
  })
})

describe('IF', () => {
  test('the current key: as without, with GRACE on either side of it', async () => {
    for (const options of [
      ['IF', key(1)],
      ['GRACE', HOUR, 'IF', key(1)],
      ['IF', key(1), 'GRACE', HOUR]
    ]) {
      const root = new Root(redis)
      const { record } = await root.issue(1)
      expect(await root.run('rotate', id(1), key(2), ...options)).toEqual([key(2), record, 0])
      const old = options.length > 2 ? record : null
      expect(await root.run('getkey', 'PEEK', key(1), key(2))).toEqual([old, 0, record, 0])
      // The answer got lost: once more.
      await root.unchanged(async () =>
        expect(await root.run('rotate', id(1), key(2), ...options)).toEqual([key(2), record, 0])
      )
    }
  })

  test.each<[string, (root: Root) => Promise<unknown>]>([
    ['that was rotated out', (root) => root.run('rotate', id(1), key(3))],
    ['within its grace', (root) => root.run('rotate', id(1), key(3), 'GRACE', HOUR)],
    ['of another token', (root) => root.run('rotate', id(2), key(1)).catch(() => null)]
  ])('a key %s: TSCONFLICT', async (what, rotate) => {
    const root = new Root(redis)
    await root.issue(1)
    await root.issue(2)
    await rotate(root)
    const old = what === 'of another token' ? key(2) : key(1)
    await root.refuses('TSCONFLICT', 'rotate', id(1), key(4), 'IF', old)
    await root.refuses('TSCONFLICT', 'rotate', id(1), key(4), 'IF', old, 'GRACE', HOUR)
    await root.refuses('TSCONFLICT', 'rotate', id(1), key(4), 'GRACE', HOUR, 'IF', 'x')
  })

  test('no token: nil', async () => {
    const root = new Root(redis)
    await root.unchanged(async () =>
      expect(await root.run('rotate', id(1), key(2), 'IF', key(1))).toBeNull()
    )
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

  describe('TSKEYTAKEN', () => {
    const refuses = async (root: Root, ...keys: Arg[]): Promise<void> => {
      for (const one of keys) {
        await root.refuses('TSKEYTAKEN', 'rotate', id(1), one)
        await root.refuses('TSKEYTAKEN', 'rotate', id(1), one, 'GRACE', HOUR)
      }
    }

    test('when another token has it, or had it within its grace, or this one had', async () => {
      const root = new Root(redis)
      for (const n of [1, 2, 3])
        await root.issue(n, n === 3 ? 'p' : 'o', '{}', ...(n === 2 ? ['TTL', HOUR] : []))
      await root.run('rotate', id(3), key(13), 'GRACE', HOUR)
      await root.run('rotate', id(1), key(11), 'GRACE', HOUR)
      await refuses(root, ...[2, 3, 13, 1].map(key))
    })

    test('when a token had it whose end came before that of the grace', async () => {
      const root = new Root(redis)
      for (const n of [1, 2]) await root.issue(n)
      await root.run('rotate', id(2), key(12), 'GRACE', HOUR)
      await root.run('del', id(2))
      await refuses(root, key(2))
      await root.later(HOUR + 1)
      expect(await root.run('rotate', id(1), key(2))).toMatchObject([key(2), {}, 0])
    })

    test.each(strayRecords(id(2), key(2)))(
      'when a foreign record lies there: %s',
      async (_, text) => {
        const root = new Root(redis)
        await root.issue(1)
        await redis.set(root.at('key', key(2)), text)
        await refuses(root, key(2))
      }
    )

    test.each(strayTypes('string'))('when a %s lies there', async (_, put) => {
      const root = new Root(redis)
      await root.issue(1)
      await put(redis, root.at('key', key(2)))
      await refuses(root, key(2))
    })
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
    expect(await root.run('rotate', id(1), odd)).toMatchObject([
      bytes(odd as string),
      {},
      expect.any(Number)
    ])
    const [, record, end] = (await root.run('rotate', id(1), key(2), 'GRACE', HOUR)) as [
      string,
      string,
      number
    ]
    expect(await root.run('getkey', 'PEEK', odd, key(2))).toEqual([record, end, record, end])
    expect(await root.run('rotate', id(1), key(3), 'GRACE', HOUR)).toMatchObject([key(3), {}, end])
    await root.refuses('TSKEYTAKEN', 'rotate', id(1), odd)
    expect(await root.run('delkey', odd)).toBe(1)
    expect(Object.keys(await root.state())).toEqual([`${root.name}:key:${key(2)}`])
  })
})

test.each(ATTRS)('the record is kept byte for byte, whatever the attrs: %s', async (_, attrs) => {
  const root = new Root(redis)
  const { record } = await root.issue(1, 'o', attrs)
  expect(record.endsWith(`,"attrs":${bytes(attrs)}}`)).toBe(true)
  expect(await root.run('rotate', id(1), key(2))).toEqual([key(2), record, 0])
  for (const n of [3, 4])
    expect(await root.run('rotate', id(1), key(n), 'GRACE', HOUR)).toEqual([key(n), record, 0])
  expect(await root.run('getkey', 'PEEK', ...[1, 2, 3, 4].map(key))).toEqual([
    null,
    0,
    record,
    0,
    record,
    0,
    record,
    0
  ])
})

test('owners of any bytes', async () => {
  const root = new Root(redis)
  for (const [i, [, owner]] of OWNERS.entries()) {
    const { record, expires_at } = await root.issue(i, owner, '{}', ...(i % 2 ? ['TTL', HOUR] : []))
    expect(await root.run('rotate', id(i), `new-${i}`, 'GRACE', HOUR)).toEqual([
      `new-${i}`,
      record,
      expires_at
    ])
    expect(await root.run('rotate', id(i), `newer-${i}`)).toEqual([
      `newer-${i}`,
      record,
      expires_at
    ])
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
    ['was revoked', (root) => root.run('del', id(1))],
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

  test('any other number of KEYS or arguments, and empty or long ones', async () => {
    const root = await ready()
    await root.refusesOtherCounts('rotate', [id(1), key(2)])
    await root.refusesOtherCounts('rotate', [id(1), key(2)], ['GRACE'])
    await root.refusesOtherCounts('rotate', [id(1), key(2)], ['GRACE', 5, 'surplus'])
    await root.refusesOtherCounts('rotate', [id(1), key(2)], ['GRACE', 5, 'GRACE', 5])
    await root.refusesOtherCounts('rotate', [id(1), key(2)], ['IF'])
    await root.refusesOtherCounts('rotate', [id(1), key(2)], ['IF', key(1), 'IF', key(1)])
    await root.refusesOtherCounts('rotate', [id(1), key(2)], ['GRACE', 5, 'IF', key(1), 'IF', 'x'])
    await root.refuses('TSBADARG', 'rotate', id(1), key(2), 'IF', '')
    await root.refuses('TSBADARG', 'rotate', '', key(2))
    await root.refuses('TSBADARG', 'rotate', id(1), '')
    await root.refuses('TSBADARG', 'rotate', id(1), 'k'.repeat(257))
    await root.refuses('TSBADARG', 'rotate', id(1), 'k'.repeat(255) + 'é', 'GRACE', 5)
  })

  const numbers = [
    '',
    '0',
    '01',
    '-1',
    '+1',
    '1.5',
    '1e3',
    '0x10',
    ' 1',
    '1\n',
    'inf',
    'nan',
    'x',
    '10000000000000'
  ]
  test.each(numbers)('GRACE %j', async (bad) =>
    (await ready()).refuses('TSBADARG', 'rotate', id(1), key(2), 'GRACE', bad)
  )

  test.each(['grace', '', 'TTL', '5'])('%j instead of GRACE', async (word) =>
    (await ready()).refuses('TSBADARG', 'rotate', id(1), key(2), word, 5)
  )
})

describe('what is not of this layout', () => {
  const refuses = async (code: string, root: Root, one: string): Promise<void> => {
    await root.refuses(code, 'rotate', one, key(2))
    await root.refuses(code, 'rotate', one, key(2), 'GRACE', HOUR)
  }

  test.each(strayRecords(id(1), key(1)))('TSRECORD: a foreign record: %s', async (_, text) => {
    const root = new Root(redis)
    await redis.set(root.at('id', id(1)), key(1))
    await redis.set(root.at('key', key(1)), text)
    await refuses('TSRECORD', root, id(1))
  })

  test('TSRECORD: an id whose key was issued to another, rotated by that or not', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('key', key(1)))
    await root.run('add', key(1), id(2), 'p', '{}')
    await refuses('TSRECORD', root, id(1))
    await root.refuses('TSRECORD', 'rotate', id(1), key(1))
    await root.run('rotate', id(2), key(3), 'GRACE', HOUR)
    await refuses('TSRECORD', root, id(1))
  })

  test.each(strayTypes('string'))(
    'WRONGTYPE: a %s where the record or the id belongs',
    async (_, put) => {
      const root = new Root(redis)
      await redis.set(root.at('id', id(1)), key(1))
      await put(redis, root.at('key', key(1)))
      await put(redis, root.at('id', id(3)))
      await refuses('WRONGTYPE', root, id(1))
      await refuses('WRONGTYPE', root, id(3))
    }
  )
})

test('neighbours are neither read nor written, not even one called like the root', async () => {
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
])('keys that read like what lies under a key: a token that %s', async (_, options) => {
  const odd = [
    'id',
    `${id(1)} 1`,
    `${id(2)} 9999999999999`,
    '{"id":"',
    `{"id":"${id(1)}","owner_id":"o","attrs":{}}`
  ]
  const root = new Root(redis)
  const { record, expires_at } = await root.issue(1, 'o', '{}', ...options)
  for (const newkey of [...odd, 'last']) await root.run('rotate', id(1), newkey, 'GRACE', HOUR)
  await root.unchanged(async () => {
    for (const use of ['TOUCH', 'PEEK']) {
      const replies = await root.run('getkey', use, 'last', ...odd)
      expect(replies).toEqual(['last', ...odd].flatMap(() => [record, expires_at]))
    }
    expect(await root.run('get', id(1))).toEqual(['last', record, expires_at])
    expect(await root.run('list', 'o')).toEqual(['', 'last', record, expires_at])
  })
  const attrs = record.replace(/\{\}\}$/, '{"a":1}}')
  expect(await root.run('set', id(1), '{"a":1}')).toEqual(['last', attrs, expires_at])
  expect(await root.run('delowner', 'o', 'EXCEPT', id(1))).toBe(0)
  for (const one of odd) expect(await root.run('delkey', one)).toBe(one === odd[0] ? 1 : 0)
  expect(await root.run('delkey', key(1))).toBe(0)
  expect(await root.state()).toEqual({})
})
