import { type Arg, client, closeAfterAll } from '../support'
import { ATTRS, OWNERS, strayRecords, strayTypes } from '../support/cases'
import { id, key, Root, type State } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

/**
 * The state without the names of a token and its member; keys within their grace stay till that
 * is over.
 */
function without(state: State, root: Root, n: number, last: number | null, current = n): State {
  const gone = [`${root.name}:id:${id(n)}`, `${root.name}:key:${key(current)}`]
  const rest = Object.fromEntries(Object.entries(state).filter(([name]) => !gone.includes(name)))
  const set = rest[`${root.name}:tokens:o`]!
  const members = [...(set.value as string[])]
  members.splice(members.indexOf(id(n)), 2)
  return { ...rest, [`${root.name}:tokens:o`]: { type: 'zset', value: members, end: last } }
}

test.each<[string, Arg[]]>([
  ['without a lifetime', []],
  ['with TTL', ['TTL', HOUR]],
  ['with IDLE', ['IDLE', HOUR]],
  ['with both', ['TTL', 2 * HOUR, 'IDLE', HOUR]]
])('revokes a token %s, and only once', async (_, options) => {
  const root = new Root(redis)
  await root.issue(2, 'p', '{}', 'TTL', HOUR)
  const before = await root.state()
  await root.issue(1, 'o', '{}', ...options)
  expect(await root.run('del', id(1))).toBe(1)
  expect(await root.state()).toEqual(before)
  await root.unchanged(async () => expect(await root.run('del', id(1))).toBe(0))
})

describe("the owner's set", () => {
  test.each<[string, [number | null, number | null], number]>([
    ['the last to end goes', [HOUR, 2 * HOUR], 2],
    ['the first to end goes', [HOUR, 2 * HOUR], 1],
    ['the never-ending one goes', [HOUR, null], 2],
    ['a never-ending one stays', [HOUR, null], 1],
    ['one of two never-ending ones goes', [null, null], 1]
  ])('ends with its last member: %s', async (_, ttls, n) => {
    const root = new Root(redis)
    const ends: (number | null)[] = []
    for (const [i, ttl] of ttls.entries()) {
      ends.push(
        (await root.issue(i + 1, 'o', '{}', ...(ttl ? ['TTL', ttl] : []))).expires_at || null
      )
    }
    const before = await root.state()
    expect(await root.run('del', id(n))).toBe(1)
    expect(await root.state()).toEqual(without(before, root, n, ends[2 - n]!))
    expect(await root.run('del', id(3 - n))).toBe(1)
    expect(await root.state()).toEqual({})
  })
})

test.each(ATTRS)('attrs are never parsed: %s', async (_, attrs) => {
  const root = new Root(redis)
  await root.issue(1, 'o', attrs)
  await root.issue(2, 'o', attrs, 'TTL', 2 * HOUR, 'IDLE', HOUR)
  await root.run('rotate', id(2), key(3))
  expect([await root.run('del', id(1)), await root.run('del', id(2))]).toEqual([1, 1])
  expect(await root.state()).toEqual({})
})

test('owners of any bytes', async () => {
  const root = new Root(redis)
  for (const [i, [, owner]] of OWNERS.entries())
    await root.issue(i, owner, '{}', ...(i % 2 ? ['TTL', HOUR] : []))
  for (const [i] of OWNERS.entries()) {
    expect(Object.keys(await root.state())).toHaveLength(3 * (OWNERS.length - i))
    expect(await root.run('del', id(i))).toBe(1)
  }
  expect(await root.state()).toEqual({})
})

describe('a rotated token', () => {
  test('ends with all its keys: old ones lead nowhere, and go by their TTL', async () => {
    const root = new Root(redis)
    await root.issue(9)
    await root.issue(1)
    for (const n of [11, 12, 13]) await root.run('rotate', id(1), key(n), 'GRACE', HOUR)
    const before = await root.state()
    expect(await root.run('del', id(1))).toBe(1)
    expect(await root.state()).toEqual(without(before, root, 1, null, 13))
    expect(await root.run('getkey', 'TOUCH', ...[1, 11, 12, 13].map(key))).toEqual(
      [1, 11, 12, 13].flatMap(() => [null, 0])
    )
    await root.later(HOUR + 1)
    expect(Object.keys(await root.state())).toHaveLength(3)
  })

  test.each<[string, number, (root: Root) => Promise<unknown>]>([
    ['after its grace', 1000, (root) => root.later(1001)],
    ['after Redis evicted it', HOUR, (root) => redis.del(root.at('key', key(1)))]
  ])('ends without a key that is another token by now, %s', async (_, grace, end) => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(11), 'GRACE', grace)
    await end(root)
    await root.run('add', key(1), id(2), 'p', '{}')
    expect(await root.run('del', id(1))).toBe(1)
    expect(await root.run('getkey', 'PEEK', key(1), key(11))).toEqual([
      expect.stringContaining(id(2)),
      0,
      null,
      0
    ])
    expect(await root.faults()).toEqual([])
  })

  test.each<[string, number, (root: Root) => Promise<unknown>]>([
    ['after its grace', 1000, (root) => root.later(1001)],
    ['after Redis evicted it', HOUR, (root) => redis.del(root.at('key', key(1)))]
  ])(
    "ends without a key that is another token's within its grace by now, %s",
    async (_, grace, end) => {
      const root = new Root(redis)
      await root.issue(1)
      await root.run('rotate', id(1), key(11), 'GRACE', grace)
      await end(root)
      await root.run('add', key(1), id(2), 'p', '{}')
      await root.run('rotate', id(2), key(12), 'GRACE', HOUR)
      const kept = await root.run('getkey', 'PEEK', key(1), key(12))
      expect(await root.run('del', id(1))).toBe(1)
      expect(await root.run('getkey', 'PEEK', key(1), key(12))).toEqual(kept)
      expect(await root.faults()).toEqual([])
      expect(Object.keys(await root.state())).toHaveLength(4)
    }
  )
})

describe('0', () => {
  test.each<[string, Arg]>([
    ['an unknown id', id(2)],
    ['an id in upper case', id(1).toUpperCase()],
    ['a short one', 'x'],
    ['a long one', 'x'.repeat(70_000)],
    ['a glob', '*'],
    ['bytes', Buffer.from([0, 0xff])]
  ])('%s', async (_, one) => {
    const root = new Root(redis)
    await root.issue(1)
    await root.unchanged(async () => expect(await root.run('del', one)).toBe(0))
  })

  test('a token that has expired', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'TTL', HOUR)
    await root.issue(2)
    await root.later(HOUR + 1)
    await root.unchanged(async () => expect(await root.run('del', id(1))).toBe(0))
  })
})

describe('what Redis evicted', () => {
  test('an id without its record is dropped', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.issue(2)
    await redis.del(root.at('key', key(1)))
    const before = await root.state()
    expect(await root.run('del', id(1))).toBe(0)
    delete before[`${root.name}:id:${id(1)}`]
    expect(await root.state()).toEqual(before)
  })

  test('TSRECORD: an id whose key was issued again; the other stays, rotated or not', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('key', key(1)))
    await root.run('add', key(1), id(2), 'p', '{}')
    await root.refuses('TSRECORD', 'del', id(1))
    await root.run('rotate', id(2), key(3), 'GRACE', HOUR)
    await root.refuses('TSRECORD', 'del', id(1))
    expect(await root.run('getkey', 'PEEK', key(1), key(3))).toMatchObject([{}, 0, {}, 0])
  })

  test("a token that its owner's set has lost ends all the same, and creates no set", async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('tokens', 'o'))
    expect(await root.run('del', id(1))).toBe(1)
    expect(await root.state()).toEqual({})
  })
})

test('TSBADARG: any other number of KEYS or arguments, and an empty id', async () => {
  const root = new Root(redis)
  await root.issue(1)
  await root.refusesOtherCounts('del', [id(1)])
  await root.refuses('TSBADARG', 'del', '')
})

test.each(strayRecords(id(1), key(1)))('TSRECORD: a foreign record: %s', async (_, text) => {
  const root = new Root(redis)
  await redis.set(root.at('id', id(1)), key(1))
  await redis.set(root.at('key', key(1)), text)
  await redis.sadd(root.at('tokens', 'o'), key(1))
  await root.refuses('TSRECORD', 'del', id(1))
})

describe('WRONGTYPE', () => {
  test.each(strayTypes('string'))('a %s where the record or the id belongs', async (_, put) => {
    const root = new Root(redis)
    await redis.set(root.at('id', id(1)), key(1))
    await put(redis, root.at('key', key(1)))
    await put(redis, root.at('id', id(2)))
    await root.refuses('WRONGTYPE', 'del', id(1))
    await root.refuses('WRONGTYPE', 'del', id(2))
  })

  test.each(strayTypes('zset'))(
    'a %s where the owner set belongs, as 0.0.4 left it',
    async (_, put) => {
      const root = new Root(redis)
      await root.issue(1)
      await redis.del(root.at('tokens', 'o'))
      await put(redis, root.at('tokens', 'o'))
      await root.refuses('WRONGTYPE', 'del', id(1))
    }
  )
})

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':id:', '2:tokens:o'])
    await redis.set(root.name + name, 'a neighbour')
  const before = await root.state()
  await root.issue(1)
  expect(await root.run('del', id(1))).toBe(1)
  expect(await root.run('del', id(1))).toBe(0)
  expect(await root.state()).toEqual(before)
})
