import { type Arg, client, closeAfterAll } from '../support'
import { ATTRS, OWNERS, strayRecords, strayTypes } from '../support/cases'
import { id, key, Root } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

test.each<[string, Arg[]]>([
  ['without a lifetime', []],
  ['with TTL', ['TTL', HOUR]],
  ['with IDLE', ['IDLE', HOUR]],
  ['with both', ['TTL', 2 * HOUR, 'IDLE', HOUR]]
])('revokes the token that a key opens, %s, and only once', async (_, options) => {
  const root = new Root(redis)
  await root.issue(2, 'p', '{}', 'TTL', HOUR)
  const before = await root.state()
  await root.issue(1, 'o', '{}', ...options)
  expect(await root.run('delkey', key(1))).toBe(1)
  expect(await root.state()).toEqual(before)
  await root.unchanged(async () => expect(await root.run('delkey', key(1))).toBe(0))
})

test.each<[string, [number | null, number | null], number]>([
  ['the last to end goes', [HOUR, 2 * HOUR], 2],
  ['the first to end goes', [HOUR, 2 * HOUR], 1],
  ['the never-ending one goes', [HOUR, null], 2],
  ['a never-ending one stays', [HOUR, null], 1],
  ['one of two never-ending ones goes', [null, null], 1]
])("the owner's set ends with its last member: %s", async (_, ttls, n) => {
  const root = new Root(redis)
  const ends: (number | null)[] = []
  for (const [i, ttl] of ttls.entries()) {
    ends.push((await root.issue(i + 1, 'o', '{}', ...(ttl ? ['TTL', ttl] : []))).expires_at || null)
  }
  expect(await root.run('delkey', key(n))).toBe(1)
  const end = ends[2 - n]!
  expect((await root.state())[`${root.name}:tokens:o`]).toEqual({
    type: 'zset',
    value: [id(3 - n), String(end ?? 'inf')],
    end
  })
  expect(await root.faults()).toEqual([])
  expect(await root.run('delkey', key(3 - n))).toBe(1)
  expect(await root.state()).toEqual({})
})

test.each(ATTRS)('attrs are never parsed: %s', async (_, attrs) => {
  const root = new Root(redis)
  await root.issue(1, 'o', attrs)
  await root.issue(2, 'o', attrs, 'TTL', 2 * HOUR, 'IDLE', HOUR)
  await root.run('rotate', id(2), key(3), 'GRACE', HOUR)
  // By its old key, which goes too.
  expect([await root.run('delkey', key(1)), await root.run('delkey', key(2))]).toEqual([1, 1])
  expect(await root.state()).toEqual({})
})

test('owners of any bytes', async () => {
  const root = new Root(redis)
  for (const [i, [, owner]] of OWNERS.entries())
    await root.issue(i, owner, '{}', ...(i % 2 ? ['TTL', HOUR] : []))
  for (const [i] of OWNERS.entries()) {
    expect(Object.keys(await root.state())).toHaveLength(3 * (OWNERS.length - i))
    expect(await root.run('delkey', key(i))).toBe(1)
  }
  expect(await root.state()).toEqual({})
})

describe('a rotated token', () => {
  const rotated = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
    await root.run('rotate', id(1), key(3), 'GRACE', 2 * HOUR)
    return root
  }

  test.each<[string, number, number[]]>([
    ['its own key', 3, [1, 2]],
    ['the last key, within its grace', 2, [1]],
    ['the first key, within its grace', 1, [2]]
  ])(
    'ends by %s, which goes; other old ones lead nowhere till their grace is over',
    async (_, n, old) => {
      const root = await rotated()
      const before = await root.state()
      expect(await root.run('delkey', key(n))).toBe(1)
      const names = old.map((n) => `${root.name}:key:${key(n)}`)
      expect(await root.state()).toEqual(
        Object.fromEntries(names.map((name) => [name, before[name]]))
      )
      expect(await root.run('getkey', 'TOUCH', ...[1, 2, 3].map(key))).toEqual([
        null,
        0,
        null,
        0,
        null,
        0
      ])
      // Once more: what leads nowhere goes as well, and is no token.
      for (const n of [1, 2, 3]) expect(await root.run('delkey', key(n))).toBe(0)
      expect(await root.state()).toEqual({})
    }
  )

  test('does not end by a key whose grace is over, nor by one rotated out without', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(2), 'GRACE', 1000)
    await root.run('rotate', id(1), key(3))
    await root.later(1001)
    await root.unchanged(async () => {
      expect([await root.run('delkey', key(1)), await root.run('delkey', key(2))]).toEqual([0, 0])
    })
  })

  test('does not end by a key whose grace is over, though its name is there', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    await root.run('refresh', key(1), key(2), 'GRACE', 1000, 'DETECT', HOUR)
    await root.run('refresh', key(2), key(3), 'DETECT', HOUR)
    await root.later(1001)
    await root.unchanged(async () => {
      for (const n of [1, 2]) expect(await root.run('delkey', key(n))).toBe(0)
    })
    expect(await root.run('delkey', key(3))).toBe(1)
    expect(Object.keys(await root.state())).toEqual([1, 2].map((n) => `${root.name}:key:${key(n)}`))
  })

  test.each<[string, number, (root: Root) => Promise<unknown>]>([
    ['after its grace', 1000, (root) => root.later(1001)],
    ['after Redis evicted it', HOUR, (root) => redis.del(root.at('key', key(1)))]
  ])('and a key that is another token by now, %s: each ends its own', async (_, grace, end) => {
    for (const n of [1, 2]) {
      const root = new Root(redis)
      await root.issue(1)
      await root.run('rotate', id(1), key(2), 'GRACE', grace)
      await end(root)
      await root.run('add', key(1), id(3), 'p', '{}')
      expect(await root.run('delkey', key(n))).toBe(1)
      expect(await root.run('getkey', 'PEEK', key(1), key(2))).toEqual(
        n === 1
          ? [null, 0, expect.stringContaining(id(1)), 0]
          : [expect.stringContaining(id(3)), 0, null, 0]
      )
      expect(await root.faults()).toEqual([])
    }
  })
})

describe('0, and nothing written', () => {
  const zero = async (root: Root, one: Arg): Promise<void> => {
    await root.unchanged(async () => expect(await root.run('delkey', one)).toBe(0))
  }

  test.each<[string, Arg]>([
    ['an unknown key', key(2)],
    ['a long one', 'x'.repeat(70_000)],
    ['a glob', '*'],
    ['bytes', Buffer.from([0, 0xff])]
  ])('%s', async (_, one) => {
    const root = new Root(redis)
    await root.issue(1)
    await zero(root, one)
  })

  test('a token that has expired, or whose record Redis evicted', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'TTL', HOUR)
    await root.issue(2)
    await root.issue(3)
    await root.later(HOUR + 1)
    await redis.del(root.at('key', key(2)))
    await zero(root, key(1))
    await zero(root, key(2))
  })
})

describe('what Redis evicted', () => {
  test.each<[string, (root: Root) => Promise<unknown>]>([
    ['record', (root) => redis.del(root.at('key', key(11)))],
    ['id', (root) => redis.del(root.at('id', id(1)))]
  ])('0: a key within its grace that leads to no %s goes, and nothing else', async (_, evict) => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(11), 'GRACE', HOUR)
    await evict(root)
    const before = await root.state()
    expect(await root.run('delkey', key(1))).toBe(0)
    delete before[`${root.name}:key:${key(1)}`]
    expect(await root.state()).toEqual(before)
  })

  test('TSRECORD: a key within its grace whose token lost its key to another', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(11), 'GRACE', HOUR)
    await redis.del(root.at('key', key(11)))
    await root.run('add', key(11), id(3), 'p', '{}')
    await root.refuses('TSRECORD', 'delkey', key(1))
  })

  test('a token that lost its id or its set ends all the same, and creates nothing', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('tokens', 'o'), root.at('id', id(1)))
    expect(await root.run('delkey', key(1))).toBe(1)
    expect(await root.state()).toEqual({})
  })

  test('an id that was restored under another key since is not torn from it', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('id', id(1)))
    await root.run('add', key(2), id(1), 'o', '{"restored":1}')
    expect(await root.run('delkey', key(1))).toBe(1)
    expect(await root.run('getkey', 'PEEK', key(1))).toEqual([null, 0])
    expect(await root.run('get', id(1))).toMatchObject([
      key(2),
      expect.stringContaining('restored'),
      0
    ])
    expect(await root.run('count', 'o')).toBe(1)
    expect(await root.faults()).toEqual([])
  })
})

test('TSBADARG: any other number of KEYS or arguments, and an empty key', async () => {
  const root = new Root(redis)
  await root.issue(1)
  await root.refusesOtherCounts('delkey', [key(1)])
  await root.refuses('TSBADARG', 'delkey', '')
})

test.each(strayRecords(id(1), key(1)))('TSRECORD: a foreign record: %s', async (_, text) => {
  const root = new Root(redis)
  await redis.set(root.at('id', id(1)), key(1))
  await redis.set(root.at('key', key(1)), text)
  await redis.sadd(root.at('tokens', 'o'), key(1))
  await root.refuses('TSRECORD', 'delkey', key(1))
})

describe('WRONGTYPE', () => {
  test.each(strayTypes('string'))('a %s where the record belongs', async (_, put) => {
    const root = new Root(redis)
    await put(redis, root.at('key', key(1)))
    await root.refuses('WRONGTYPE', 'delkey', key(1))
  })

  test.each(strayTypes('string'))(
    'a %s where the record or the id of an old key belongs',
    async (_, put) => {
      const root = new Root(redis)
      for (const n of [1, 2]) {
        await root.issue(n)
        await root.run('rotate', id(n), key(n + 10), 'GRACE', HOUR)
      }
      await redis.del(root.at('key', key(11)), root.at('id', id(2)))
      await put(redis, root.at('key', key(11)))
      await put(redis, root.at('id', id(2)))
      await root.refuses('WRONGTYPE', 'delkey', key(1))
      await root.refuses('WRONGTYPE', 'delkey', key(2))
    }
  )

  test.each(strayTypes('zset'))(
    'a %s where the owner set belongs, as 0.0.4 left it',
    async (_, put) => {
      const root = new Root(redis)
      await root.issue(1)
      await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
      await redis.del(root.at('tokens', 'o'))
      await put(redis, root.at('tokens', 'o'))
      await root.refuses('WRONGTYPE', 'delkey', key(1))
      await root.refuses('WRONGTYPE', 'delkey', key(2))
    }
  )
})

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':key:', '2:tokens:o'])
    await redis.set(root.name + name, 'a neighbour')
  const before = await root.state()
  await root.issue(1)
  expect(await root.run('delkey', key(1))).toBe(1)
  expect(await root.run('delkey', key(1))).toBe(0)
  expect(await root.state()).toEqual(before)
})
