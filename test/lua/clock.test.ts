import { type Arg, client, closeAfterAll } from '../support'
import { id, key, Root } from '../support/root'

closeAfterAll()
const redis = client()
const HOUR = 3_600_000

// Redis' clock goes forward and comes back. Meanwhile Redis has deleted some of the names that
// had expired, one by one, and others it has not. Of a token that expires a key may open no more
// than what revocation finds.

const OPTIONS: [string, Arg[]][] = [
  ['TTL', ['TTL', HOUR]],
  ['IDLE', ['IDLE', HOUR]],
  ['TTL and IDLE', ['TTL', 2 * HOUR, 'IDLE', HOUR, 'EVERY', 1]]
]

/** Each set of names of token 1 that Redis may have deleted. */
const DELETED = Array.from({ length: 8 }, (_, bits) =>
  ['key', 'id', 'tokens'].filter((_, i) => bits & (1 << i))
)

/** Token 1, which another rotated with a grace, after the clock came back. */
async function back(options: Arg[], deleted: string[]): Promise<Root> {
  const root = new Root(redis)
  await root.issue(1, 'o', '{"a":1}', ...options)
  await root.run('rotate', id(1), key(11), 'GRACE', HOUR)
  await root.later(HOUR / 2)
  const names = { key: key(11), id: id(1), tokens: 'o' } as const
  for (const family of deleted)
    await redis.del(root.at(family, names[family as keyof typeof names]))
  return root
}

const opens = async (root: Root, use: string, one: string): Promise<boolean> =>
  ((await root.run('getkey', use, one)) as unknown[])[0] !== null

describe.each(OPTIONS)('with %s', (_, options) => {
  test.each(DELETED.map((deleted) => [deleted.join(' and ') || 'nothing', deleted] as const))(
    'Redis deleted %s: a key opens the token only if all is there, and writes nothing else',
    async (_, deleted) => {
      const root = await back(options, deleted)
      for (const one of [key(1), key(11)]) {
        const whole = deleted.length === 0
        expect(await root.unchanged(() => opens(root, 'PEEK', one))).toBe(whole)
        if (!whole) expect(await root.unchanged(() => opens(root, 'TOUCH', one))).toBe(false)
      }
    }
  )

  test.each<[string, Arg[]]>([
    ['TTL', ['TTL', HOUR]],
    ['no lifetime', []],
    ['LIMIT', ['LIMIT', 1, 'EVICT']]
  ])('an add with %s drops it while the clock is ahead: no key opens it', async (_, more) => {
    const root = await back(options, [])
    // To its owner's set it has expired.
    await redis.zadd(root.at('tokens', 'o'), 1, id(1))
    await root.run('add', key(2), id(2), 'o', '{}', ...more)
    for (const one of [key(1), key(11)]) expect(await opens(root, 'TOUCH', one)).toBe(false)
    expect(await root.run('del', id(1))).toBe(1)
    expect((await root.faults()).filter((fault) => !fault.includes(':key:'))).toEqual([])
  })
})

test('a token that never expires is opened although nothing leads to it: no clock deletes it', async () => {
  const root = new Root(redis)
  await root.issue(1)
  await redis.del(root.at('id', id(1)), root.at('tokens', 'o'))
  expect(await opens(root, 'TOUCH', key(1))).toBe(true)
  expect(await root.run('delkey', key(1))).toBe(1)
  expect(await root.state()).toEqual({})
})

test('several keys at once, each by itself', async () => {
  const root = new Root(redis)
  for (const n of [1, 2, 3, 4]) await root.issue(n, `o${n}`, '{}', ...(n < 4 ? ['TTL', HOUR] : []))
  await redis.del(root.at('id', id(1)), root.at('tokens', 'o3'), root.at('id', id(4)))
  expect(await root.run('getkey', 'TOUCH', ...[1, 2, 3, 4, 2].map(key))).toMatchObject([
    ...[null, 0],
    ...[{}, expect.any(Number)],
    ...[null, 0],
    ...[{}, 0],
    ...[{}, expect.any(Number)]
  ])
})
