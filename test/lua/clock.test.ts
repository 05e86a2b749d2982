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

  test.each<[script: string, args: Arg[]]>([
    ['change', [id(1), 'TTL', 'NEVER', 'IDLE', 'NEVER']],
    ['change', [id(1), 'TTL', 9 * HOUR, 'OWNER', 'p']],
    ['change', [id(1), 'ATTRS', '{}', 'OWNER', 'o', 'LIMIT', 1, 'EVICT']],
    ['refresh', [key(1), key(2), 'GRACE', HOUR, 'DETECT', 2 * HOUR]],
    ['refresh', [key(11), key(2)]]
  ])('%s %j: of a token that is not whole nothing lives on', async (script, args) => {
    for (const deleted of DELETED) {
      const root = await back(options, deleted)
      if (deleted.length > 0) {
        await root.unchanged(async () => expect(await root.run(script, ...args)).toBeNull())
        continue
      }
      expect(await root.run(script, ...args)).not.toBeNull()
      expect(await root.faults()).toEqual([])
      expect(await root.run('del', id(1))).toBe(1)
      expect(await opens(root, 'TOUCH', key(1))).toBe(false)
    }
  })

  test.each<[string, Arg[]]>([
    ['TTL', ['TTL', HOUR]],
    ['no lifetime', []],
    ['LIMIT', ['LIMIT', 1, 'EVICT']]
  ])('an add with %s drops it while the clock is ahead: no key opens it', async (_, more) => {
    const root = await back(options, [])
    // To its owner's set it has expired.
    await redis.zadd(root.at('tokens', 'o'), 1, id(1))
    await root.run('add', key(2), id(2), 'o', '{}', ...more)
    for (const one of [key(1), key(11)]) {
      expect(await opens(root, 'TOUCH', one)).toBe(false)
      expect(await root.run('refresh', one, key(3))).toBeNull()
    }
    expect(await root.run('change', id(1), 'TTL', 'NEVER', 'IDLE', 'NEVER')).toBeNull()
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

test.each<[string, (root: Root) => Promise<unknown>]>([
  ['whose owner does not list it', (root) => redis.del(root.at('tokens', 'o'))],
  ['without its id', (root) => redis.del(root.at('id', id(1)))]
])('a token that never expires, %s, is neither changed nor refreshed', async (_, lose) => {
  const root = new Root(redis)
  await root.issue(1)
  await lose(root)
  await root.unchanged(async () => {
    expect(await root.run('change', id(1), 'TTL', HOUR)).toBeNull()
    expect(await root.run('refresh', key(1), key(2))).toBeNull()
  })
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
