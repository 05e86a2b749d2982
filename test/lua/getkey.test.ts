import { type Arg, bytes, client, closeAfterAll, until } from '../support'
import { ATTRS, OWNERS, strayRecords, strayTypes } from '../support/cases'
import { id, key, Root, type State } from '../support/root'

closeAfterAll()
const redis = client()

// So long that what passes while a test runs makes no difference.
const HOUR = 3_600_000

const touch = (root: Root, ...keys: Arg[]): Promise<unknown> => root.run('getkey', 'TOUCH', ...keys)
const peek = (root: Root, ...keys: Arg[]): Promise<unknown> => root.run('getkey', 'PEEK', ...keys)

/**
 * The state after the end of a token has moved to `end`, and that of its owner's set to `last`:
 * no record is rewritten.
 */
function moved(
  state: State,
  root: Root,
  n: number,
  end: number,
  last: number | null = end,
  current = n
): State {
  const [keyName, idName, set] = [
    `${root.name}:key:${key(current)}`,
    `${root.name}:id:${id(n)}`,
    `${root.name}:tokens:o`
  ]
  const members = state[set]!.value as string[]
  const pairs = Array.from(
    { length: members.length / 2 },
    (_, i) => members.slice(2 * i, 2 * i + 2) as [string, string]
  )
  for (const pair of pairs) if (pair[0] === id(n)) pair[1] = String(end)
  pairs.sort(
    (a, b) => Number(a[1].replace('inf', 'Infinity')) - Number(b[1].replace('inf', 'Infinity'))
  )
  return {
    ...state,
    [keyName]: { ...state[keyName]!, end },
    [idName]: { ...state[idName]!, end },
    [set]: { type: 'zset', value: pairs.flat(), end: last }
  }
}

describe.each(['PEEK', 'TOUCH'])('%s', (use) => {
  test('answers a record and its end for each key, in their order', async () => {
    const root = new Root(redis)
    const never = await root.issue(1, 'o', '{"a":1}')
    const ttl = await root.issue(2, 'p', '{}', 'TTL', HOUR)
    const idle = await root.issue(3, 'o', '{}', 'IDLE', HOUR)
    const both = await root.issue(4, 'p', '{"a":{}}', 'TTL', 2 * HOUR, 'IDLE', HOUR)
    const keys = [4, 9, 1, 3, 1, 2, 10].map(key)
    const reply = [both, null, never, idle, never, ttl, null].flatMap((t) =>
      t ? [t.record, t.expires_at] : [null, 0]
    )
    await root.unchanged(async () => expect(await root.run('getkey', use, ...keys)).toEqual(reply))
    for (const [i, one] of keys.entries()) {
      expect(await root.run('getkey', use, one)).toEqual(reply.slice(2 * i, 2 * i + 2))
    }
  })

  test('an unknown key, an ended one and a rotated-out one are all the same', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.issue(2, 'o', '{}', 'IDLE', HOUR)
    await root.issue(3, 'o', '{}', 'IDLE', HOUR)
    await root.issue(4, 'o', '{}', 'TTL', 30)
    await root.run('del', id(1))
    await root.run('delkey', key(2))
    await root.run('rotate', id(3), key(13))
    await until(async () => (await redis.exists(root.at('key', key(4)))) === 0)
    await root.unchanged(async () => {
      for (const n of [1, 2, 3, 4, 5])
        expect(await root.run('getkey', use, key(n))).toEqual([null, 0])
    })
  })

  test.each<[string, Arg]>([
    ['an empty key', ''],
    ['a long key', 'k'.repeat(70_000)],
    ['a glob', '*'],
    ['bytes', Buffer.from([0, 0xff])]
  ])('%s opens nothing', async (_, odd) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    await root.unchanged(async () => expect(await root.run('getkey', use, odd)).toEqual([null, 0]))
  })

  test('1,000 keys at once', async () => {
    const root = new Root(redis)
    await root.seed(1, 999)
    const reply = (await root.run(
      'getkey',
      use,
      ...Array.from({ length: 1000 }, (_, i) => key(i + 1))
    )) as string[]
    expect(reply).toHaveLength(2000)
    for (let n = 1; n < 1000; n++) expect(reply[2 * n - 2]).toContain(id(n))
    expect(reply.slice(-2)).toEqual([null, 0])
    await root.refuses(
      'TSBADARG',
      'getkey',
      use,
      ...Array.from({ length: 1001 }, (_, i) => key(i + 1))
    )
    await root.drop()
  })

  test('1,000 keys that are not there, and 1,000 of one token', async () => {
    const root = new Root(redis)
    const { record } = await root.issue(1)
    const none = Array.from({ length: 1000 }, (_, i) => key(i + 2))
    expect(await root.run('getkey', use, ...none)).toEqual(none.flatMap(() => [null, 0]))
    expect(await root.run('getkey', use, ...none.map(() => key(1)))).toEqual(
      none.flatMap(() => [record, 0])
    )
  })
})

test('PEEK changes nothing, however long ago the last use', async () => {
  const root = new Root(redis)
  await root.issue(1, 'o', '{}', 'IDLE', HOUR, 'EVERY', 1)
  await root.later(HOUR / 2)
  await root.unchanged(() => peek(root, key(1)))
})

describe('TOUCH', () => {
  test.each<[string, Arg[]]>([
    ['without a lifetime', []],
    ['with TTL only', ['TTL', HOUR]]
  ])('writes nothing for a token %s', async (_, options) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', ...options)
    await root.later(HOUR / 2)
    const peeked = await peek(root, key(1))
    expect(await root.unchanged(() => touch(root, key(1)))).toEqual(peeked)
  })

  test.each<[string, Arg[], number]>([
    ['EVERY', ['IDLE', HOUR, 'EVERY', HOUR / 4], HOUR / 4],
    ['a tenth of IDLE', ['IDLE', HOUR], HOUR / 10],
    ['EVERY as long as IDLE', ['IDLE', HOUR, 'EVERY', HOUR - 60_000], HOUR - 60_000]
  ])('writes nothing until the end moves by %s', async (_, options, every) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', ...options)
    await root.later(every - 30_000)
    const peeked = await peek(root, key(1))
    expect(await root.unchanged(() => touch(root, key(1)))).toEqual(peeked)
    await root.later(30_000)
    const before = await root.state()
    const earliest = await root.now()
    const [record, end] = (await touch(root, key(1))) as [string, number]
    expect(end).toBeGreaterThanOrEqual(earliest + HOUR)
    expect(end).toBeLessThanOrEqual((await root.now()) + HOUR)
    expect(record).toBe((peeked as unknown[])[0])
    expect(await root.state()).toEqual(moved(before, root, 1, end))
    expect(await root.unchanged(() => touch(root, key(1)))).toEqual([record, end])
  })

  test('never moves the end past ends_at', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'TTL', 2 * HOUR, 'IDLE', HOUR)
    await root.later(HOUR / 2)
    const [, first] = (await touch(root, key(1))) as [string, number]
    await root.later(HOUR * 0.9)
    const before = await root.state()
    const [record, end] = (await touch(root, key(1))) as [string, number]
    expect(record).toContain(`,"ends_at":${end},"idle":${HOUR},`)
    expect(end).toBeGreaterThan(first - HOUR * 0.9)
    expect(end - (await root.now())).toBeLessThanOrEqual(HOUR * 0.6)
    expect(await root.state()).toEqual(moved(before, root, 1, end))
    await root.later(HOUR * 0.5)
    const peeked = await peek(root, key(1))
    expect(await root.unchanged(() => touch(root, key(1)))).toEqual(peeked)
    await root.later(HOUR * 0.2)
    expect(await touch(root, key(1))).toEqual([null, 0])
    expect(await root.state()).toEqual({})
  })

  test('writes nothing when ends_at leaves less than EVERY to move', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'TTL', HOUR + 60_000, 'IDLE', HOUR, 'EVERY', HOUR / 2)
    await root.later(0.9 * HOUR)
    await root.unchanged(() => touch(root, key(1)))
  })

  test('a token in use lives on, one that is only looked at ends', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR, 'EVERY', 1)
    await root.issue(2, 'o', '{}', 'IDLE', HOUR, 'EVERY', 1)
    for (const looked of [expect.any(String), null, null]) {
      await root.later(0.6 * HOUR)
      expect(((await touch(root, key(1))) as unknown[])[0]).not.toBeNull()
      expect(((await peek(root, key(2))) as unknown[])[0]).toEqual(looked)
    }
    expect(await root.run('count', 'o')).toBe(1)
    await root.later(HOUR + 1)
    expect(await root.state()).toEqual({})
  })

  test.each<[string, Arg[], (own: number, others: number) => number | null]>([
    ['one that ends earlier', ['TTL', HOUR / 2], (own) => own],
    ['one that ends later', ['TTL', 3 * HOUR], (_, others) => others],
    ['one that never ends', [], () => null]
  ])("the owner's set follows the last to end, beside %s", async (_, options, last) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    await root.issue(2, 'o', '{}', ...options)
    await root.later(HOUR / 4)
    const before = await root.state()
    const [, others] = (await peek(root, key(2))) as [string, number]
    const [, end] = (await touch(root, key(1))) as [string, number]
    expect(await root.state()).toEqual(moved(before, root, 1, end, last(end, others)))
    expect(await root.faults()).toEqual([])
  })

  test('several tokens, keys and owners in one call', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    await root.issue(2, 'p', '{}', 'IDLE', 2 * HOUR)
    await root.issue(3, 'o', '{}', 'IDLE', HOUR)
    await root.issue(4, 'o', '{}', 'IDLE', HOUR, 'EVERY', HOUR)
    await root.issue(5)
    await root.run('rotate', id(3), key(13), 'GRACE', HOUR)
    await root.later(HOUR / 2)
    const before = await peek(root, ...[1, 2, 3, 13, 4, 5].map(key))
    const after = (await touch(root, ...[1, 9, 2, 3, 13, 4, 5, 1].map(key))) as [string, number][]
    const ends = after.filter((_, i) => i % 2 === 1).map(Number)
    expect(ends[0]! - (before as number[])[1]!).toBeGreaterThanOrEqual(HOUR / 2)
    expect(ends[2]! - (before as number[])[3]!).toBeGreaterThanOrEqual(HOUR / 2)
    expect(ends[3]! - (before as number[])[5]!).toBeGreaterThanOrEqual(HOUR / 2)
    expect(ends[4]).toBe(ends[3])
    expect(ends[5]).toBe((before as number[])[9])
    expect(ends[7]).toBe(ends[0])
    expect([ends[1], ends[6]]).toEqual([0, 0])
    expect(await peek(root, ...[1, 9, 2, 3, 13, 4, 5, 1].map(key))).toEqual(after)
    expect(await root.faults()).toEqual([])
  })

  test.each(ATTRS)('rewrites no record, whatever the attrs: %s', async (_, attrs) => {
    const root = new Root(redis)
    const { record, expires_at } = await root.issue(1, 'o', attrs, 'TTL', 2 * HOUR, 'IDLE', HOUR)
    expect(await peek(root, key(1))).toEqual([record, expires_at])
    expect(record.endsWith(`,"attrs":${bytes(attrs)}}`)).toBe(true)
    await root.later(HOUR / 2)
    const before = await root.state()
    const [touched, end] = (await touch(root, key(1))) as [string, number]
    expect(end).toBeGreaterThan(expires_at)
    expect(touched).toBe(before[`${root.name}:key:${key(1)}`]!.value)
    expect(await root.state()).toEqual(moved(before, root, 1, end))
    expect(await peek(root, key(1))).toEqual([touched, end])
  })

  test('owners of any bytes', async () => {
    const root = new Root(redis)
    const expected: Record<string, unknown> = {}
    for (const [i, [, owner]] of OWNERS.entries()) await root.issue(i, owner, '{}', 'IDLE', HOUR)
    await root.later(HOUR / 2)
    const reply = (await touch(root, ...OWNERS.map((_, i) => key(i)))) as (string | number)[]
    for (const [i, [, owner]] of OWNERS.entries()) {
      const [value, end] = [reply[2 * i] as string, reply[2 * i + 1] as number]
      expect(JSON.parse(Buffer.from(value, 'latin1').toString())).toMatchObject({
        owner_id: owner.toString()
      })
      expect(end).toBeGreaterThan(Date.now() + HOUR * 0.6)
      expected[`${root.name}:id:${id(i)}`] = { type: 'string', value: key(i), end }
      expected[`${root.name}:key:${key(i)}`] = { type: 'string', value, end }
      expected[bytes(root.at('tokens', owner))] = { type: 'zset', value: [id(i), String(end)], end }
    }
    expect(await root.state()).toEqual(expected as State)
  })

  test('an id that Redis evicted, restored under another key since, is not touched', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    await redis.del(root.at('id', id(1)))
    await root.run('add', key(2), id(1), 'o', '{}')
    await root.later(HOUR / 2)
    const [idName, set] = [`${root.name}:id:${id(1)}`, `${root.name}:tokens:o`]
    const before = await root.state()
    expect(await touch(root, key(1))).toMatchObject([{}, expect.any(Number)])
    const after = await root.state()
    expect([after[idName], after[set]]).toEqual([before[idName], before[set]])
  })

  test.each<[string, string[]]>([
    ['the id', ['id']],
    ["the owner's set", ['tokens']],
    ['both', ['id', 'tokens']]
  ])(
    'opens a token of which Redis evicted %s, and moves nothing: it would live on unlisted',
    async (_, gone) => {
      const root = new Root(redis)
      const at: Record<string, Buffer> = {
        id: root.at('id', id(1)),
        tokens: root.at('tokens', 'o')
      }
      await root.issue(1, 'o', '{}', 'IDLE', HOUR)
      for (const family of gone) await redis.del(at[family]!)
      await root.later(HOUR / 2)
      const before = await root.state()
      expect(await touch(root, key(1))).toEqual(await peek(root, key(1)))
      expect(await root.state()).toEqual(before)
    }
  )
})

describe('a key within its grace', () => {
  test('opens the token as it is now', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{"a":1}', 'IDLE', HOUR)
    await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
    await root.run('rotate', id(1), key(3), 'GRACE', HOUR)
    await root.run('set', id(1), '{"b":2}')
    const reply = (await peek(root, ...[1, 2, 3].map(key))) as unknown[]
    expect(reply[4]).toContain('"attrs":{"b":2}')
    expect(reply).toEqual([reply[4], reply[5], reply[4], reply[5], reply[4], reply[5]])
  })

  test.each([
    ['longer than the token', 2 * HOUR],
    ['shorter than the token', HOUR / 2]
  ])('TOUCH by it moves the end of the token, not its own; grace %s', async (_, grace) => {
    const root = new Root(redis)
    const { record, expires_at } = await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    await root.run('rotate', id(1), key(2), 'GRACE', grace)
    await root.later(HOUR / 4)
    const before = await root.state()
    const [touched, end] = (await touch(root, key(1))) as [string, number]
    expect(touched).toBe(record)
    expect(end).toBeGreaterThanOrEqual(expires_at)
    expect(await root.state()).toEqual(moved(before, root, 1, end, end, 2))
    expect(await peek(root, key(2))).toEqual([record, end])
    expect(await root.faults()).toEqual([])
  })

  test('opens nothing after its grace, while the token lives on', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    await root.run('rotate', id(1), key(2), 'GRACE', 100)
    await until(async () => ((await peek(root, key(1))) as unknown[])[0] === null)
    await root.later(HOUR / 2)
    expect(await touch(root, key(1), key(2))).toEqual([
      null,
      0,
      expect.any(String),
      expect.any(Number)
    ])
    expect(await root.faults()).toEqual([])
    expect(Object.keys(await root.state())).toHaveLength(3)
  })

  test.each<[string, Arg[]]>([
    ['that never ends', []],
    ['with IDLE', ['IDLE', HOUR, 'EVERY', 1]]
  ])('opens nothing once it is over, though its name is there: a token %s', async (_, options) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', ...options)
    await root.run('refresh', key(1), key(2), 'GRACE', HOUR / 2, 'DETECT', 9 * HOUR)
    await root.run('refresh', key(2), key(3), 'DETECT', 9 * HOUR)
    await root.run('refresh', key(3), key(4), 'GRACE', 9 * HOUR)
    const opened: unknown[] = [expect.any(String), expect.any(Number)]
    const shut: unknown[] = [null, 0]
    for (const use of ['PEEK', 'TOUCH']) {
      expect(await root.run('getkey', use, ...[1, 2, 3, 4].map(key))).toEqual(
        [opened, shut, opened, opened].flat()
      )
    }
    await root.later(HOUR / 2 + 1)
    for (const keys of [[1, 2, 3, 4], [4, 3, 2, 1], [1], [1, 1, 2, 2]]) {
      for (const use of ['PEEK', 'TOUCH']) {
        expect(await root.run('getkey', use, ...keys.map(key))).toEqual(
          keys.flatMap((n) => (n > 2 ? opened : shut))
        )
      }
    }
    await root.later(HOUR / 4)
    await root.unchanged(() => touch(root, key(1), key(2)))
    expect(await root.faults()).toEqual([])
  })

  test('opens nothing when its token is gone', async () => {
    const root = new Root(redis)
    for (const n of [1, 2, 3]) {
      await root.issue(n)
      await root.run('rotate', id(n), key(n + 10), 'GRACE', HOUR)
    }
    await root.run('del', id(1))
    await redis.del(root.at('key', key(12)))
    await redis.del(root.at('id', id(3)))
    await root.unchanged(async () => {
      for (const use of ['PEEK', 'TOUCH']) {
        expect(await root.run('getkey', use, ...[1, 2, 3].map(key))).toEqual([
          null,
          0,
          null,
          0,
          null,
          0
        ])
      }
    })
  })

  test('opens the next life of its id, when that is forced again within the grace', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(11), 'GRACE', HOUR)
    await root.run('del', id(1))
    const [, again, end] = (await root.run(
      'add',
      key(21),
      id(1),
      'p',
      '{"next":1}',
      'IDLE',
      HOUR
    )) as [string, string, number]
    expect(await peek(root, key(1))).toEqual([again, end])
    await root.later(HOUR + 1)
    expect(await peek(root, key(1))).toEqual([null, 0])
  })

  test("is nobody's when the key that its id leads to is another's: TSRECORD", async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    await root.run('rotate', id(1), key(11), 'GRACE', HOUR)
    await redis.del(root.at('key', key(11)))
    await root.run('add', key(11), id(2), 'p', '{}')
    for (const use of ['PEEK', 'TOUCH'])
      await root.refuses('TSRECORD', 'getkey', use, key(11), key(1))
    await root.run('rotate', id(2), key(12), 'GRACE', HOUR)
    for (const use of ['PEEK', 'TOUCH'])
      await root.refuses('TSRECORD', 'getkey', use, key(11), key(1))
    expect(await peek(root, key(11))).toMatchObject([{}, 0])
  })

  test.each<[string, number, (root: Root) => Promise<unknown>]>([
    ['after its grace', 1000, (root) => root.later(1001)],
    ['after Redis evicted it within its grace', HOUR, (root) => redis.del(root.at('key', key(1)))]
  ])(
    'issued again %s, it is the other token, which a use of the first leaves alone',
    async (_, grace, end) => {
      const root = new Root(redis)
      await root.issue(1, 'o', '{}', 'IDLE', HOUR)
      await root.run('rotate', id(1), key(2), 'GRACE', grace)
      await end(root)
      await root.run('add', key(1), id(3), 'p', '{}')
      await root.later(HOUR / 4)
      const third = (await root.state())[`${root.name}:key:${key(1)}`]
      expect(await touch(root, key(2))).toMatchObject([{}, expect.any(Number)])
      expect((await root.state())[`${root.name}:key:${key(1)}`]).toEqual(third)
      expect(await peek(root, key(1))).toEqual([third!.value, 0])
      expect(await root.faults()).toEqual([])
    }
  )
})

describe('TSBADARG', () => {
  test('any other number of KEYS, and no key', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.refusesOtherCounts('getkey', ['PEEK', key(1)], [])
    await root.refusesOtherCounts('getkey', ['TOUCH', key(1)], [])
  })

  test.each(['', 'touch', 'Peek', 'TOUCH ', 'GET', key(1)])(
    '%j instead of TOUCH or PEEK',
    async (use) => {
      const root = new Root(redis)
      await root.issue(1)
      await root.refuses('TSBADARG', 'getkey', use, key(1))
    }
  )
})

describe('what is not of this layout: nothing is written for the other keys either', () => {
  const ready = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR, 'EVERY', 1)
    await root.later(HOUR / 2)
    return root
  }
  const refuses = async (root: Root): Promise<void> => {
    for (const use of ['PEEK', 'TOUCH']) {
      await root.refuses('TSRECORD', 'getkey', use, 'the-stray')
      await root.refuses('TSRECORD', 'getkey', use, key(1), 'the-stray', key(9))
    }
    expect(await touch(root, key(1))).toMatchObject([{}, expect.any(Number)])
  }

  test.each(strayRecords(id(5), 'the-stray'))('TSRECORD: a foreign record: %s', async (_, text) => {
    const root = await ready()
    await redis.set(root.at('key', 'the-stray'), text)
    await refuses(root)
  })

  test.each(strayTypes('string'))(
    'a %s where a record belongs reads as not there',
    async (_, put) => {
      const root = await ready()
      await put(redis, root.at('key', 'the-stray'))
      await root.unchanged(async () =>
        expect(await peek(root, 'the-stray', key(9))).toEqual([null, 0, null, 0])
      )
      expect(await touch(root, key(1), 'the-stray')).toMatchObject([
        {},
        expect.any(Number),
        null,
        0
      ])
      expect(await redis.type(root.at('key', 'the-stray'))).not.toBe('string')
    }
  )

  test.each(strayTypes('string'))(
    'WRONGTYPE: a %s where an old key leads to, id or record',
    async (_, put) => {
      for (const [family, rest] of [
        ['id', id(5)],
        ['key', key(15)]
      ] as const) {
        const root = await ready()
        await root.issue(5)
        await root.run('rotate', id(5), key(15), 'GRACE', HOUR)
        await redis.del(root.at(family, rest))
        await put(redis, root.at(family, rest))
        for (const use of ['PEEK', 'TOUCH'])
          await root.refuses('WRONGTYPE', 'getkey', use, key(1), key(5))
      }
    }
  )
})

test.each(strayTypes('zset'))(
  'a %s where the owner set belongs: the token is read, nothing written',
  async (_, put) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'IDLE', HOUR, 'EVERY', 1)
    await root.later(HOUR / 2)
    await redis.del(root.at('tokens', 'o'))
    await put(redis, root.at('tokens', 'o'))
    const peeked = await peek(root, key(1))
    expect(await root.unchanged(() => touch(root, key(1)))).toEqual(peeked)
  }
)

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':key:']) await redis.set(root.name + name, 'a neighbour')
  await root.issue(1)
  await root.unchanged(async () =>
    expect(await touch(root, key(1), key(2))).toEqual([expect.any(String), 0, null, 0])
  )
})
