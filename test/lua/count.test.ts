import { client, closeAfterAll, until } from '../support'
import { ATTRS, OWNERS, strayRecords, strayTypes } from '../support/cases'
import { id, key, Root } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

const count = (root: Root): Promise<unknown> => root.unchanged(() => root.run('count', 'o'))

/** Owner o with three tokens, owner p with one. */
async function owners(): Promise<Root> {
  const root = new Root(redis)
  await root.issue(1)
  await root.issue(2, 'o', '{}', 'TTL', HOUR)
  await root.issue(3, 'o', '{}', 'IDLE', 2 * HOUR)
  await root.issue(4, 'p')
  return root
}

test('counts the live tokens of one owner, and writes nothing', async () => {
  const root = await owners()
  expect(await count(root)).toBe(3)
  expect(await root.run('count', 'p')).toBe(1)
  await root.unchanged(async () => {
    for (const owner of ['x', '*', 'O', Buffer.from([0, 0xff])])
      expect(await root.run('count', owner)).toBe(0)
  })
})

test.each<[string, (root: Root) => Promise<unknown>, number]>([
  ['del', (root) => root.run('del', id(1)), 2],
  ['delkey', (root) => root.run('delkey', key(1)), 2],
  ['delowner', (root) => root.run('delowner', 'o'), 0],
  ['delowner EXCEPT', (root) => root.run('delowner', 'o', 'EXCEPT', id(2)), 1],
  ['delowner COUNT', (root) => root.run('delowner', 'o', 'COUNT', 2), 1],
  ['add', (root) => root.issue(9), 4],
  ['add EVICT', (root) => root.issue(9, 'o', '{}', 'LIMIT', 2, 'EVICT'), 2],
  ['set', (root) => root.run('set', id(1), '{"b":2}'), 3],
  ['rotate', (root) => root.run('rotate', id(1), key(9)), 3],
  ['rotate with GRACE', (root) => root.run('rotate', id(1), key(9), 'GRACE', HOUR), 3],
  ['the end of one', (root) => root.later(HOUR + 1), 2],
  ['the end of two', (root) => root.later(2 * HOUR + 1), 1],
  ['the loss of the set', (root) => redis.del(root.at('tokens', 'o')), 0]
])('is exact after %s', async (_, change, expected) => {
  const root = await owners()
  await change(root)
  expect(await count(root)).toBe(expected)
})

test('counts down by itself', async () => {
  const root = new Root(redis)
  await root.issue(1)
  await root.issue(2, 'o', '{}', 'TTL', 30)
  await until(async () => (await root.run('count', 'o')) === 1)
  expect(await redis.zcard(root.at('tokens', 'o'))).toBe(2) // still a member
})

describe('what Redis evicted counts until list has seen it', () => {
  const heals = async (root: Root, before: number, after: number): Promise<void> => {
    expect(await count(root)).toBe(before)
    await root.run('list', 'o')
    expect(await count(root)).toBe(after)
  }

  test.each<[string, (root: Root) => Promise<unknown>]>([
    ['a record', (root) => redis.del(root.at('key', key(1)))],
    ['an id', (root) => redis.del(root.at('id', id(1)))]
  ])('%s', async (_, evict) => {
    const root = await owners()
    await evict(root)
    await heals(root, 3, 2)
  })

  test('or its time has come', async () => {
    const root = await owners()
    await redis.del(root.at('key', key(2)))
    await root.later(HOUR + 1)
    expect(await count(root)).toBe(2)
  })

  test('an id whose key was issued again, rotated out of it or not', async () => {
    const root = new Root(redis)
    for (const n of [1, 2, 3]) await root.issue(n)
    await redis.del(root.at('key', key(1)), root.at('key', key(2)))
    await root.run('add', key(1), id(11), 'p', '{}')
    await root.run('add', key(2), id(12), 'o', '{}')
    await root.run('rotate', id(12), key(22), 'GRACE', HOUR)
    await heals(root, 4, 2)
    expect(await root.run('count', 'p')).toBe(1)
  })

  test('an id that was restored for another owner', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('key', key(1)))
    await root.run('add', key(2), id(1), 'p', '{}')
    await heals(root, 1, 0)
    expect(await root.run('count', 'p')).toBe(1)
  })
})

test.each(ATTRS)('attrs are never parsed: %s', async (_, attrs) => {
  const root = new Root(redis)
  await root.issue(1, 'o', attrs)
  await root.issue(2, 'o', attrs, 'TTL', 2 * HOUR, 'IDLE', HOUR)
  expect(await count(root)).toBe(2)
})

test('owners of any bytes: each has its own', async () => {
  const root = new Root(redis)
  for (const [i, [, owner]] of OWNERS.entries()) {
    for (let n = 0; n <= i % 3; n++)
      await root.issue(3 * i + n, owner, '{}', ...(n % 2 ? ['TTL', HOUR] : []))
  }
  await root.unchanged(async () => {
    for (const [i, [, owner]] of OWNERS.entries())
      expect(await root.run('count', owner)).toBe((i % 3) + 1)
  })
})

test('9,000 tokens', async () => {
  const root = new Root(redis)
  await root.seed(1, 9000)
  expect(await root.run('count', 'o')).toBe(9000)
  await root.drop()
})

test('TSBADARG: any other number of KEYS or arguments, and an empty owner_id', async () => {
  const root = await owners()
  await root.refusesOtherCounts('count', ['o'])
  await root.refuses('TSBADARG', 'count', '')
})

describe('a foreign record', () => {
  test.each(strayRecords(id(1), key(1)))('is not looked at: %s', async (_, text) => {
    const root = await owners()
    await redis.set(root.at('key', key(1)), text)
    expect(await count(root)).toBe(3)
  })

  test.each(strayTypes('string'))(
    'is not looked at: a %s where a record or an id belongs',
    async (_, put) => {
      const root = await owners()
      for (const name of [root.at('key', key(1)), root.at('id', id(2))]) {
        await redis.del(name)
        await put(redis, name)
      }
      expect(await count(root)).toBe(3)
    }
  )
})

test.each(strayTypes('zset'))(
  'WRONGTYPE: a %s where the owner set belongs, as 0.0.4 left it',
  async (_, put) => {
    const root = await owners()
    await redis.del(root.at('tokens', 'o'))
    await put(redis, root.at('tokens', 'o'))
    await root.refuses('WRONGTYPE', 'count', 'o')
  }
)

test('neighbours are not read, not even one with the name of the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':tokens:', '2:tokens:o'])
    await redis.set(root.name + name, 'a neighbour')
  await root.issue(1)
  expect(await count(root)).toBe(1)
  expect(await root.run('count', 'x')).toBe(0)
})
