import { type Arg, bytes, client, closeAfterAll, type Entry } from '../support'
import { ATTRS, OWNERS, strayBeginnings, strayRecords, strayTypes } from '../support/cases'
import { id, key, Root, type State } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000
const LONGEST = 9999999999999

/** An owner set of these tokens, in its order; an end of 0 is never. */
const setOf = (...members: [n: number, end: number][]): Entry => ({
  type: 'zset',
  value: members.flatMap(([n, end]) => [id(n), String(end || 'inf')]),
  end: members.at(-1)![1] || null
})

const triple = (root: Root, n: number): Promise<[string, string, number]> =>
  root.run('get', id(n)) as Promise<[string, string, number]>

describe('a lifetime', () => {
  interface Life {
    ends_at?: number
    idle?: number
    every?: number
  }
  interface Options {
    TTL?: number | 'NEVER'
    IDLE?: number | 'NEVER'
    EVERY?: number
  }

  const LIFETIMES: [string, Arg[]][] = [
    ['none', []],
    ['TTL', ['TTL', 2 * HOUR]],
    ['IDLE', ['IDLE', 2 * HOUR, 'EVERY', 7]],
    ['TTL and IDLE', ['TTL', 9 * HOUR, 'IDLE', 2 * HOUR, 'EVERY', 7]],
    ['TTL shorter than IDLE', ['TTL', 2 * HOUR, 'IDLE', 9 * HOUR, 'EVERY', 7]]
  ]
  const CHANGES: Options[] = [
    {},
    { TTL: 3 * HOUR },
    { TTL: HOUR / 2 },
    { TTL: 'NEVER' },
    { IDLE: 5 * HOUR },
    { IDLE: HOUR / 2 + 1 },
    { IDLE: 'NEVER' },
    { IDLE: 5 * HOUR, EVERY: 1 },
    { EVERY: HOUR, IDLE: HOUR },
    { TTL: 3 * HOUR, IDLE: 5 * HOUR },
    { IDLE: 3 * HOUR, TTL: 5 * HOUR },
    { TTL: 'NEVER', IDLE: 'NEVER' },
    { TTL: 3 * HOUR, IDLE: 'NEVER' },
    { EVERY: 9, TTL: 'NEVER', IDLE: 5 * HOUR },
    { TTL: LONGEST, IDLE: LONGEST }
  ]

  const changed = <T>(given: T | 'NEVER' | undefined, held: T | undefined): T | undefined =>
    given === 'NEVER' ? undefined : (given ?? held)

  /** What becomes of a lifetime, and of an end, 0 for never, when it is changed at `now`. */
  function after(life: Life, end: number, { TTL, IDLE, EVERY }: Options, now: number) {
    const ends_at = changed(TTL === 'NEVER' || TTL === undefined ? TTL : now + TTL, life.ends_at)
    const idle = changed(IDLE, life.idle)
    const every = IDLE === undefined ? life.every : (EVERY ?? Math.ceil(Number(IDLE) / 10))
    const next = Math.min(ends_at ?? Infinity, now + (idle ?? Infinity))
    return {
      fields:
        (ends_at === undefined ? '' : `"ends_at":${ends_at},`) +
        (idle === undefined ? '' : `"idle":${idle},"every":${every},`),
      end: TTL === undefined && IDLE === undefined ? end : next < Infinity ? next : 0
    }
  }

  describe.each(LIFETIMES)('%s', (_, options) => {
    test.each(CHANGES)('%j, for the same owner and for another', async (change) => {
      for (const owner of ['o', 'p']) {
        const root = new Root(redis)
        await root.issue(1, 'o', '{"a":1}', ...options)
        await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
        await root.later(HOUR)
        const before = await root.state()
        const [, record, end] = await triple(root, 1)
        const args = Object.entries(change).flat() as Arg[]
        await root.becomes(
          () => root.run('change', id(1), ...args, 'OWNER', owner),
          (now) => {
            const next = after(JSON.parse(record) as Life, end, change, now)
            const value = `{"id":"${id(1)}","owner_id":"${owner}",${next.fields}"attrs":{"a":1}}`
            const names = [`${root.name}:key:${key(2)}`, `${root.name}:id:${id(1)}`] as const
            const expected: State = {
              ...before,
              [names[0]]: { type: 'string', value, end: next.end || null },
              [names[1]]: { type: 'string', value: key(2), end: next.end || null }
            }
            delete expected[`${root.name}:tokens:o`]
            expected[`${root.name}:tokens:${owner}`] = setOf([1, next.end])
            return [[key(2), value, next.end], expected]
          }
        )
      }
    })

    test('fields of a later version stay, whatever changes', async () => {
      const root = new Root(redis)
      await root.issue(1, 'o', '{"a":1}', ...options)
      const [, record] = await triple(root, 1)
      const later = record.replace(',"attrs":', ',"idles":5,"my_ttl":0,"attrs":')
      await redis.set(root.at('key', key(1)), later, 'KEEPTTL')
      for (const args of [
        ['ATTRS', '{"b":2}'],
        ['OWNER', 'p"q'],
        ['TTL', HOUR],
        ['IDLE', HOUR, 'OWNER', 'o'],
        ['TTL', 'NEVER', 'IDLE', 'NEVER']
      ]) {
        const [, stored] = (await root.run('change', id(1), ...args)) as string[]
        expect(stored).toContain('"idles":5,"my_ttl":0,"attrs":')
        expect(await triple(root, 1)).toEqual([key(1), stored, expect.any(Number)])
        expect(stored!.match(/"(ends_at|idle|every)":/g) ?? []).toHaveLength(
          new Set(stored!.match(/"(ends_at|idle|every)":/g)).size
        )
      }
      expect(await triple(root, 1)).toEqual([
        key(1),
        `{"id":"${id(1)}","owner_id":"o","idles":5,"my_ttl":0,"attrs":{"b":2}}`,
        0
      ])
    })
  })

  test('the shortest: the token ends by itself, for its new owner too', async () => {
    const root = new Root(redis)
    await root.issue(1)
    const [, , end] = (await root.run('change', id(1), 'TTL', 1, 'OWNER', 'p')) as number[]
    while ((await root.now()) <= end!);
    expect(await root.state()).toEqual({})
  })

  test('a change of it lets a use move the end from then on, or not any more', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('change', id(1), 'IDLE', HOUR)
    await root.later(HOUR / 2)
    const peeked = (await root.run('getkey', 'PEEK', key(1))) as number[]
    const touched = (await root.run('getkey', 'TOUCH', key(1))) as number[]
    expect(touched[1]! - peeked[1]!).toBeGreaterThanOrEqual(HOUR / 2)
    await root.run('change', id(1), 'IDLE', 'NEVER', 'TTL', HOUR)
    await root.later(HOUR / 2)
    await root.unchanged(() => root.run('getkey', 'TOUCH', key(1)))
    expect(await root.faults()).toEqual([])
  })
})

describe('OWNER', () => {
  /**
   * Owner o with tokens 1 (TTL), 2 (IDLE) and 3 (never ends), owner p with 4 (TTL); token 1 was
   * rotated from key 1 to 11.
   */
  const owners = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{"a":1}', 'TTL', 3 * HOUR)
    await root.issue(2, 'o', '{"a":1}', 'IDLE', 2 * HOUR)
    await root.issue(3, 'o', '{"a":1}')
    await root.issue(4, 'p', '{}', 'TTL', HOUR)
    await root.run('rotate', id(1), key(11), 'GRACE', HOUR)
    return root
  }

  test.each([1, 2, 3])(
    'token %d leaves one set and joins another; names and ends stay',
    async (n) => {
      const root = await owners()
      const before = await root.state()
      const ends = [0, 0, 0, 0, 0]
      for (const m of [1, 2, 3, 4]) ends[m] = (await triple(root, m))[2]
      const [current, old, end] = await triple(root, n)
      const record = old.replace('"owner_id":"o"', '"owner_id":"p"')
      expect(await root.run('change', id(n), 'OWNER', 'p')).toEqual([current, record, end])
      const name = `${root.name}:key:${current}`
      const stay = [2, 1, 3].filter((m) => m !== n)
      const moved = {
        ...before,
        [name]: { ...before[name]!, value: record },
        [`${root.name}:tokens:o`]: setOf(...stay.map((m): [number, number] => [m, ends[m]!])),
        [`${root.name}:tokens:p`]: setOf([4, ends[4]!], [n, end])
      }
      expect(await root.state()).toEqual(moved)
      expect(await root.faults()).toEqual([])
      // The answer got lost: once more.
      await root.unchanged(async () =>
        expect(await root.run('change', id(n), 'OWNER', 'p')).toEqual([current, record, end])
      )
      // And back again.
      expect(await root.run('change', id(n), 'OWNER', 'o')).toEqual([current, old, end])
      expect(await root.state()).toEqual(before)
    }
  )

  test('the last of an owner leaves no set; the first of another makes one', async () => {
    const root = new Root(redis)
    const { record, expires_at } = await root.issue(1, 'o', '{}', 'TTL', HOUR)
    await root.run('change', id(1), 'OWNER', 'p')
    const value = record.replace('"o"', '"p"')
    expect(await root.state()).toEqual({
      [`${root.name}:id:${id(1)}`]: { type: 'string', value: key(1), end: expires_at },
      [`${root.name}:key:${key(1)}`]: { type: 'string', value, end: expires_at },
      [`${root.name}:tokens:p`]: setOf([1, expires_at])
    })
  })

  test('expired members leave the set that is joined; an old set of them alone ends', async () => {
    const root = new Root(redis)
    await root.issue(1)
    for (const n of [2, 3]) await root.issue(n, n === 2 ? 'o' : 'p', '{}', 'TTL', HOUR)
    await root.issue(4, 'p')
    await root.later(HOUR + 1)
    await root.run('change', id(1), 'OWNER', 'p')
    expect((await root.state())[`${root.name}:tokens:p`]).toEqual(setOf([1, 0], [4, 0]))
    expect((await root.state())[`${root.name}:tokens:o`]).toBeUndefined()
  })

  test('it is the new owner who lists, counts and revokes it; every key opens it', async () => {
    const root = await owners()
    const [current, record, end] = (await root.run('change', id(1), 'OWNER', 'p')) as string[]
    expect(await root.run('getkey', 'PEEK', key(1), key(11))).toEqual([record, end, record, end])
    expect(await root.run('list', 'p')).toEqual([
      '',
      ...(await triple(root, 4)),
      ...[current, record, end]
    ])
    expect([await root.run('count', 'o'), await root.run('count', 'p')]).toEqual([2, 2])
    expect(await root.run('delowner', 'o')).toBe(2)
    expect(await triple(root, 1)).toEqual([current, record, end])
    expect(await root.run('delowner', 'p')).toBe(2)
    expect(await root.run('getkey', 'PEEK', key(1), key(11))).toEqual([null, 0, null, 0])
    expect(Object.keys(await root.state())).toEqual([`${root.name}:key:${key(1)}`])
  })

  test.each([
    ['del', id(1)],
    ['delkey', key(11)],
    ['delkey', key(1)]
  ])('%s revokes it: the new set loses it', async (script, one) => {
    const root = await owners()
    await root.run('change', id(1), 'OWNER', 'p')
    expect(await root.run(script, one)).toBe(1)
    expect((await root.state())[`${root.name}:tokens:p`]).toEqual(
      setOf([4, (await triple(root, 4))[2]])
    )
    expect(await root.faults()).toEqual([])
  })

  test('owners of any bytes, from one to the next', async () => {
    const root = new Root(redis)
    await root.issue(0, OWNERS.at(-1)![1], '{"a":1}', 'TTL', HOUR)
    const end = (await triple(root, 0))[2]
    for (const [, owner] of OWNERS) {
      const [, record] = (await root.run('change', id(0), 'OWNER', owner)) as string[]
      expect(record).toBe((await issued(owner)).replace(/"ends_at":\d+/, `"ends_at":${end}`))
      expect(await root.state()).toEqual({
        [`${root.name}:id:${id(0)}`]: { type: 'string', value: key(0), end },
        [`${root.name}:key:${key(0)}`]: { type: 'string', value: record, end },
        [bytes(root.at('tokens', owner))]: setOf([0, end])
      })
    }
  })

  /** The record of such a token as add writes it. */
  const issued = async (owner: Arg): Promise<string> =>
    (await new Root(redis).issue(0, owner, '{"a":1}', 'TTL', HOUR)).record
})

describe('ATTRS', () => {
  test.each(ATTRS)('kept byte for byte, alone, by IF and with all else: %s', async (_, attrs) => {
    const root = new Root(redis)
    const { record: first, expires_at } = await root.issue(1, 'o', '{"a":1}', 'TTL', HOUR)
    const record = first.replace('{"a":1}', () => bytes(attrs))
    const reply = [key(1), record, expires_at]
    expect(await root.run('change', id(1), 'ATTRS', attrs)).toEqual(reply)
    expect(await triple(root, 1)).toEqual(reply)
    await root.refuses('TSCONFLICT', 'change', id(1), 'ATTRS', '{}', 'IF', `${attrs} `)
    expect(await root.run('change', id(1), 'IF', attrs)).toEqual(reply)
    const [, moved] = (await root.run('change', id(1), 'OWNER', 'p', 'TTL', 'NEVER')) as string[]
    expect(moved).toBe(`{"id":"${id(1)}","owner_id":"p","attrs":${bytes(attrs)}}`)
    await root.run('change', id(1), 'ATTRS', '{"a":1}', 'IF', attrs, 'OWNER', 'o')
    const [, again] = (await root.run('change', id(1), 'IDLE', HOUR, 'ATTRS', attrs)) as string[]
    expect(again).toBe(
      `{"id":"${id(1)}","owner_id":"o","idle":${HOUR},"every":${HOUR / 10},"attrs":${bytes(attrs)}}`
    )
    expect(await root.faults()).toEqual([])
  })

  test('nothing else changes', async () => {
    const root = new Root(redis)
    await root.issue(2)
    await root.issue(1, 'o', '{"a":1}', 'TTL', 2 * HOUR, 'IDLE', HOUR, 'EVERY', 1)
    await root.later(HOUR / 2)
    const before = await root.state()
    const [, old, end] = await triple(root, 1)
    const record = old.replace('{"a":1}', '{"b":[2]}')
    expect(await root.run('change', id(1), 'ATTRS', '{"b":[2]}')).toEqual([key(1), record, end])
    const name = `${root.name}:key:${key(1)}`
    expect(await root.state()).toEqual({ ...before, [name]: { ...before[name]!, value: record } })
  })
})

describe('IF', () => {
  const options: Arg[][] = [
    ['ATTRS', '{"b":2}'],
    ['OWNER', 'p'],
    ['TTL', HOUR],
    ['OWNER', 'o', 'LIMIT', 1, 'EVICT'],
    []
  ]

  test.each([
    ['other attrs', '{"a":2}'],
    ['a part of them', '{"a":1'],
    ['more than them', '{"a":1}}'],
    ['the same value in other text', '{"a": 1}'],
    ['nothing', ''],
    ['a pattern that fits', '{"a":.}']
  ])('%s: TSCONFLICT and nothing written', async (_, expected) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{"a":1}', 'TTL', HOUR)
    await root.issue(2)
    for (const more of options) {
      await root.refuses('TSCONFLICT', 'change', id(1), ...more, 'IF', expected)
      await root.refuses('TSCONFLICT', 'change', id(1), 'IF', expected, ...more)
    }
  })

  test('of two that read the same, one is refused', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{"n":0}')
    const args = ['ATTRS', '{"n":1}', 'IF', '{"n":0}']
    expect(await root.run('change', id(1), 'OWNER', 'p', ...args)).not.toBeNull()
    await root.refuses('TSCONFLICT', 'change', id(1), 'OWNER', 'q', ...args)
  })

  test('alone it changes nothing', async () => {
    const root = new Root(redis)
    const { record, expires_at } = await root.issue(1, 'o', '{"a":1}', 'IDLE', HOUR)
    await root.unchanged(async () =>
      expect(await root.run('change', id(1), 'IF', '{"a":1}')).toEqual([key(1), record, expires_at])
    )
  })
})

describe('LIMIT', () => {
  /** Owner o with token 1, which ends first; owner p with 2, 3 and 4, which end in that order. */
  const owners = async (...options: Arg[]): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', ...options)
    for (const n of [2, 3, 4]) await root.issue(n, 'p', '{}', 'TTL', n * HOUR)
    return root
  }
  const change = (root: Root, n: number, owner: Arg, ...limit: Arg[]): Promise<unknown> =>
    root.run('change', id(n), 'OWNER', owner, 'LIMIT', ...limit)
  const idsOf = (root: Root, owner = 'p'): Promise<string[]> =>
    redis.zrange(root.at('tokens', owner), '0', '-1')

  test('REJECT counts the tokens of the new owner, this one among them', async () => {
    const root = await owners('TTL', HOUR)
    for (const n of [1, 2, 3]) {
      await root.refuses('TSLIMIT', 'change', id(1), 'OWNER', 'p', 'LIMIT', n, 'REJECT')
      await root.refuses(
        'TSLIMIT',
        'change',
        ...[id(1), 'TTL', 'NEVER', 'LIMIT', n, 'REJECT', 'ATTRS', '{"a":1}', 'OWNER', 'p']
      )
    }
    expect(await change(root, 1, 'p', 4, 'REJECT')).toHaveLength(3)
    expect(await idsOf(root)).toEqual([1, 2, 3, 4].map(id))
    // Already among them: nothing is too many, and nothing is refused.
    expect(await change(root, 1, 'p', 4, 'REJECT')).toHaveLength(3)
    expect(await change(root, 1, 'p', LONGEST, 'REJECT')).toHaveLength(3)
    for (const n of [1, 2, 3, 4]) {
      await root.refuses('TSLIMIT', 'change', id(n), 'OWNER', 'p', 'LIMIT', 3, 'REJECT')
      expect(await change(root, n, 'p', 4, 'REJECT')).toHaveLength(3)
    }
    expect(await change(root, 1, 'o', 1, 'REJECT')).toHaveLength(3)
    expect(await root.faults()).toEqual([])
  })

  test.each<[string, Arg[]]>([
    ['ends first', ['TTL', HOUR]],
    ['ends last', ['IDLE', 9 * HOUR]],
    ['never ends', []]
  ])('EVICT revokes those to end first, never the one that %s', async (_, options) => {
    for (const moves of [true, false]) {
      for (const n of [5, 4, 3, 2, 1]) {
        const root = await owners(...options)
        if (!moves) await root.run('change', id(1), 'OWNER', 'p')
        const before = await root.state()
        const [current, record, end] = await triple(root, 1)
        const gone = [2, 3, 4].slice(0, Math.max(0, 4 - n))
        const value = record.replace('"o"', '"p"')
        expect(await change(root, 1, 'p', n, 'EVICT')).toEqual([
          ...[current, value, end],
          ...gone.map(id)
        ])
        const expected: State = { ...before }
        delete expected[`${root.name}:tokens:o`]
        const left: [number, number][] = [[1, end]]
        for (const m of [2, 3, 4]) {
          const name = `${root.name}:key:${key(m)}`
          if (!gone.includes(m)) left.push([m, expected[name]!.end!])
          if (!gone.includes(m)) continue
          delete expected[name]
          delete expected[`${root.name}:id:${id(m)}`]
        }
        left.sort(([, a], [, b]) => (a || Infinity) - (b || Infinity))
        expected[`${root.name}:key:${key(1)}`] = { type: 'string', value, end: end || null }
        expected[`${root.name}:tokens:p`] = setOf(...left)
        expect(await root.state()).toEqual(expected)
        expect(await root.faults()).toEqual([])
      }
    }
  })

  test('EVICT with a new lifetime: what ends first is that of before', async () => {
    const root = await owners('TTL', HOUR)
    const reply = await root.run(
      'change',
      ...[id(3), 'TTL', 1000, 'OWNER', 'p', 'LIMIT', 1, 'EVICT']
    )
    expect(reply).toEqual([key(3), expect.any(String), expect.any(Number), id(2), id(4)])
    expect(await idsOf(root)).toEqual([id(3)])
    expect(await root.faults()).toEqual([])
  })

  test('EVICT: of never-ending ones those of the lowest ids', async () => {
    const root = new Root(redis)
    for (const n of [3, 1, 2]) await root.issue(n, 'p')
    await root.issue(4)
    expect(await change(root, 4, 'p', 2, 'EVICT')).toEqual([
      ...[key(4), expect.any(String), 0],
      ...[1, 2].map(id)
    ])
    expect(await change(root, 3, 'p', 1, 'EVICT')).toEqual([key(3), expect.any(String), 0, id(4)])
    expect(await root.faults()).toEqual([])
  })

  test('expired and revoked ones are not counted, nor victims', async () => {
    const root = await owners()
    await root.later(2 * HOUR + 1)
    const [current, , , evicted] = (await change(root, 1, 'p', 2, 'EVICT')) as unknown[]
    expect([current, evicted]).toEqual([key(1), id(3)])
    expect(await idsOf(root)).toEqual([4, 1].map(id))
    await root.run('change', id(1), 'OWNER', 'o')
    await root.issue(3, 'p', '{}', 'TTL', HOUR)
    await redis.zadd(root.at('tokens', 'p'), 1, id(3))
    await root.refuses('TSLIMIT', 'change', id(1), 'OWNER', 'p', 'LIMIT', 1, 'REJECT')
    expect(await change(root, 1, 'p', 2, 'REJECT')).toHaveLength(3)
    expect(await idsOf(root)).toEqual([4, 1].map(id))
  })

  test('an entry of its own that the new owner still has counts once, and is no victim', async () => {
    for (const [policy, n] of [
      ['REJECT', 2],
      ['EVICT', 2],
      ['EVICT', 1]
    ] as const) {
      const root = new Root(redis)
      for (const one of [1, 2]) await root.issue(one, 'p')
      await redis.del(root.at('key', key(1)), root.at('id', id(1)))
      await root.issue(1)
      const evicted = n === 1 ? [id(2)] : []
      expect(await change(root, 1, 'p', n, policy)).toEqual([
        ...[key(1), expect.any(String), 0],
        ...evicted
      ])
      expect(await root.faults()).toEqual([])
      // One that has expired does not count for it.
      await root.issue(3, 'q')
      await redis.zadd(root.at('tokens', 'q'), 1, id(1))
      await root.refuses('TSLIMIT', 'change', id(1), 'OWNER', 'q', 'LIMIT', 1, 'REJECT')
    }
  })

  test('keys within their grace of one that is evicted open nothing', async () => {
    const root = await owners()
    await root.run('rotate', id(2), key(12), 'GRACE', HOUR)
    expect(await change(root, 1, 'p', 3, 'EVICT')).toContain(id(2))
    expect(await root.run('getkey', 'PEEK', key(2), key(12))).toEqual([null, 0, null, 0])
    expect(await root.faults()).toEqual([])
  })

  test('9,000 tokens: all are counted, and evicted at once', async () => {
    const root = new Root(redis)
    await root.seed(1, 9000, 'p')
    await root.issue(0)
    await expect(change(root, 0, 'p', 9000, 'REJECT')).rejects.toThrow(/^TSLIMIT /)
    const [, , , ...evicted] = (await change(root, 0, 'p', 1, 'EVICT')) as string[]
    expect(evicted).toEqual(Array.from({ length: 9000 }, (_, i) => id(i + 1)))
    expect(Object.keys(await root.state())).toHaveLength(3)
    expect(await root.faults()).toEqual([])
  })

  test.each(strayBeginnings(id(2), key(2)))(
    'EVICT leaves it where it stands in place of a token: %s',
    async (_, text) => {
      const root = await owners()
      await redis.set(root.at('key', key(2)), text)
      expect(await change(root, 1, 'p', 3, 'EVICT')).toContain(id(2))
      expect(await redis.get(root.at('key', key(2)))).toBe(text)
      expect(await idsOf(root)).toEqual([3, 4, 1].map(id))
    }
  )

  test.each(strayTypes('string'))(
    'EVICT leaves it, and is not stopped midway: a %s',
    async (_, put) => {
      for (const [family, rest] of [
        ['key', key(2)],
        ['id', id(2)]
      ] as const) {
        const root = await owners()
        await redis.del(root.at(family, rest))
        await put(redis, root.at(family, rest))
        const type = await redis.type(root.at(family, rest))
        expect(await change(root, 1, 'p', 3, 'EVICT')).toContain(id(2))
        expect(await redis.type(root.at(family, rest))).toBe(type)
        expect(await triple(root, 1)).toEqual([key(1), expect.stringContaining('"p"'), 0])
        expect(await idsOf(root)).toEqual([3, 4, 1].map(id))
      }
    }
  )
})

/** Calls of every kind. */
const CALLS: Arg[][] = [
  ['ATTRS', '{"b":2}'],
  ['OWNER', 'p'],
  ['OWNER', 'p', 'LIMIT', 1, 'REJECT'],
  ['OWNER', 'q', 'LIMIT', 1, 'EVICT'],
  ['TTL', HOUR],
  ['TTL', 'NEVER', 'IDLE', 'NEVER'],
  ['IDLE', HOUR, 'EVERY', 5],
  ['IF', '{"other":1}']
]

describe('nil, and nothing created or written', () => {
  const nil = (root: Root, one: Arg): Promise<void> =>
    root.unchanged(async () => {
      for (const args of CALLS) expect(await root.run('change', one, ...args)).toBeNull()
    })

  test.each<[string, Arg]>([
    ['unknown', id(2)],
    ['in upper case', id(1).toUpperCase()],
    ['short', 'x'],
    ['bytes', Buffer.from([0, 0xff])],
    ['long', 'x'.repeat(70_000)]
  ])('an id that is %s', async (_, one) => {
    const root = new Root(redis)
    await root.issue(1)
    await root.issue(3, 'q')
    await nil(root, one)
  })

  test.each<[string, (root: Root) => Promise<unknown>]>([
    ['was revoked by del', (root) => root.run('del', id(1))],
    ['was revoked by delkey', (root) => root.run('delkey', key(1))],
    ['was revoked by delowner', (root) => root.run('delowner', 'o')],
    ['was evicted by another', (root) => root.issue(2, 'o', '{}', 'LIMIT', 1, 'EVICT')],
    ['has expired', (root) => root.later(HOUR + 1)],
    ['to its owner has expired', (root) => redis.zadd(root.at('tokens', 'o'), 1, id(1))],
    ['its owner does not list', (root) => redis.zrem(root.at('tokens', 'o'), id(1))],
    ['has an owner without a set', (root) => redis.del(root.at('tokens', 'o'))],
    ['Redis evicted the record of', (root) => redis.del(root.at('key', key(1)))],
    ['Redis evicted the id of', (root) => redis.del(root.at('id', id(1)))],
    [
      'should have ended',
      (root) =>
        redis.set(
          root.at('key', key(1)),
          `{"id":"${id(1)}","owner_id":"o","ends_at":1,"attrs":{}}`,
          'KEEPTTL'
        )
    ]
  ])('a token that %s', async (_, end) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'TTL', HOUR)
    await root.issue(3, 'q')
    await end(root)
    await nil(root, id(1))
  })

  test('a token in the very millisecond of its end', async () => {
    const root = new Root(redis)
    await root.issue(1)
    const end = (ms: number): Promise<unknown> => redis.zadd(root.at('tokens', 'o'), ms, id(1))
    const next = (ms: number): Promise<unknown> => end(ms + 1)
    const args = [id(1), 'IF', '{"other":1}']
    expect(await root.inMs(end, 'change', ...args)).toBeNull()
    expect(String(await root.inMs(next, 'change', ...args))).toContain('TSCONFLICT')
  })
})

describe('TSBADARG', () => {
  const ready = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{"a":1}', 'TTL', HOUR)
    await root.issue(2, 'p')
    return root
  }

  test('any other number of KEYS or arguments, and an empty id', async () => {
    const root = await ready()
    for (const surplus of [
      [''],
      ['surplus'],
      ['surplus', 5],
      ['IF'],
      ['TTL', 5, 'IDLE'],
      ['TTL', 5, 'LIMIT', 5]
    ] as Arg[][]) {
      await root.refusesOtherCounts('change', [id(1), 'ATTRS', '{}'], surplus)
    }
    await root.refuses('TSBADARG', 'change', '', 'ATTRS', '{}')
    await root.refuses('TSBADARG', 'change', id(1), '')
    await root.refuses('TSBADARG', 'change', id(1), '', '')
  })

  const numbers = ['', '0', '00', '01', '-1', '+1', '1.5', '1e3', '0x10', ' 1', '1 ', '1\n', 'inf']
  numbers.push('nan', 'x', 'null', 'never', 'NEVER ', '10000000000000', '9'.repeat(400))
  test.each(numbers)('a number of %j', async (bad) => {
    const root = await ready()
    for (const one of [id(1), id(9)]) {
      await root.refuses('TSBADARG', 'change', one, 'TTL', bad)
      await root.refuses('TSBADARG', 'change', one, 'IDLE', bad)
      await root.refuses('TSBADARG', 'change', one, 'TTL', 5, 'IDLE', bad)
      await root.refuses('TSBADARG', 'change', one, 'IDLE', 5, 'EVERY', bad)
      await root.refuses('TSBADARG', 'change', one, 'OWNER', 'p', 'LIMIT', bad, 'EVICT')
    }
  })

  test.each(['', '[]', 'null', '1', '{', '}', ' {}', '{} ', '{}\n', 'x{}'])(
    'ATTRS %j',
    async (bad) => {
      const root = await ready()
      await root.refuses('TSBADARG', 'change', id(1), 'ATTRS', bad)
      await root.refuses('TSBADARG', 'change', id(1), 'OWNER', 'p', 'ATTRS', bad, 'IF', '{}')
      await root.refuses('TSBADARG', 'change', id(9), 'ATTRS', bad)
    }
  )

  const once: Record<string, Arg[]> = {
    OWNER: ['OWNER', 'p'],
    LIMIT: ['LIMIT', 5, 'EVICT'],
    TTL: ['TTL', 5],
    IDLE: ['IDLE', 5],
    EVERY: ['EVERY', 5],
    ATTRS: ['ATTRS', '{}'],
    IF: ['IF', '{"a":1}']
  }
  test.each(Object.entries(once))('%s twice', async (word, args) => {
    const root = await ready()
    const others = Object.entries(once).flatMap(([other, args]) => (other === word ? [] : args))
    await root.refuses('TSBADARG', 'change', id(1), ...args, ...args)
    await root.refuses('TSBADARG', 'change', id(1), ...others, ...args, ...args)
    await root.refuses('TSBADARG', 'change', id(1), ...args, ...others, ...args)
  })

  test.each<[string, Arg[]]>([
    ['an unknown option', ['PX', 5]],
    ['an unknown option behind others', ['TTL', 5, 'PX', 5]],
    ['an option in lower case', ['owner', 'p']],
    ['a number where an option belongs', [5, 'TTL']],
    ['the name of something inside', ['policy', 5]],
    ['an option in bytes', [Buffer.from([0, 0xff]), 5]],
    ['a long option', ['x'.repeat(70_000), 5]],
    ['a number in bytes', ['TTL', Buffer.from([0x31, 0])]],
    ['an empty OWNER', ['OWNER', '']],
    ['an empty OWNER with a limit', ['OWNER', '', 'LIMIT', 5, 'EVICT']],
    ['OWNER without an owner', ['TTL', 5, 'OWNER']],
    ['EVERY without IDLE', ['EVERY', 5]],
    ['EVERY without IDLE, but TTL', ['TTL', 5, 'EVERY', 5]],
    ['EVERY where IDLE is never', ['IDLE', 'NEVER', 'EVERY', 5]],
    ['EVERY NEVER', ['IDLE', 5, 'EVERY', 'NEVER']],
    ['EVERY longer than IDLE', ['IDLE', 5, 'EVERY', 6]],
    ['EVERY longer than IDLE, given first', ['EVERY', 6, 'IDLE', 5]],
    ['LIMIT without OWNER', ['LIMIT', 5, 'EVICT']],
    ['LIMIT without OWNER, but all else', ['TTL', 5, 'ATTRS', '{}', 'LIMIT', 5, 'REJECT']],
    ['LIMIT NEVER', ['OWNER', 'p', 'LIMIT', 'NEVER', 'EVICT']],
    ['LIMIT alone', ['OWNER', 'p', 'LIMIT']],
    ['LIMIT without what to do', ['OWNER', 'p', 'LIMIT', 5]],
    ['LIMIT before another option', ['OWNER', 'p', 'LIMIT', 5, 'TTL', 5]],
    ['LIMIT and something else to do', ['OWNER', 'p', 'LIMIT', 5, 'DROP']],
    ['LIMIT and what to do in lower case', ['OWNER', 'p', 'LIMIT', 5, 'evict']],
    ['a surplus word', ['OWNER', 'p', 'LIMIT', 5, 'EVICT', 'REJECT']]
  ])('%s', async (_, options) => {
    const root = await ready()
    await root.refuses('TSBADARG', 'change', id(1), ...options)
    await root.refuses('TSBADARG', 'change', id(9), ...options)
  })
})

describe('what is not of this layout', () => {
  test.each(strayRecords(id(1), key(1)))('TSRECORD: a foreign record: %s', async (_, text) => {
    const root = new Root(redis)
    await redis.set(root.at('id', id(1)), key(1))
    await redis.set(root.at('key', key(1)), text)
    await redis.zadd(root.at('tokens', 'o'), '+inf', id(1))
    await root.issue(3, 'q')
    for (const args of CALLS) await root.refuses('TSRECORD', 'change', id(1), ...args)
  })

  test('TSRECORD: an id whose key was issued to another, rotated by that or not', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('key', key(1)))
    await root.run('add', key(1), id(2), 'p', '{}')
    for (const args of CALLS) await root.refuses('TSRECORD', 'change', id(1), ...args)
    await root.run('rotate', id(2), key(3), 'GRACE', HOUR)
    for (const args of CALLS) await root.refuses('TSRECORD', 'change', id(1), ...args)
  })

  test.each(strayTypes('string'))(
    'WRONGTYPE: a %s where the record or the id belongs',
    async (_, put) => {
      const root = new Root(redis)
      await redis.set(root.at('id', id(1)), key(1))
      await put(redis, root.at('key', key(1)))
      await put(redis, root.at('id', id(2)))
      for (const args of CALLS) {
        await root.refuses('WRONGTYPE', 'change', id(1), ...args)
        await root.refuses('WRONGTYPE', 'change', id(2), ...args)
      }
    }
  )

  test.each(strayTypes('zset'))(
    'WRONGTYPE: a %s where the set of the owner, or of the new one, belongs',
    async (_, put) => {
      const root = new Root(redis)
      for (const n of [1, 2]) await root.issue(n, `o${n}`, '{}', 'TTL', HOUR)
      await redis.del(root.at('tokens', 'o1'))
      await put(redis, root.at('tokens', 'o1'))
      for (const args of CALLS) await root.refuses('WRONGTYPE', 'change', id(1), ...args)
      for (const limit of [[], ['LIMIT', 1, 'REJECT'], ['LIMIT', 1, 'EVICT']] as Arg[][]) {
        const args = ['OWNER', 'o1', ...limit, 'TTL', 'NEVER', 'ATTRS', '{"b":2}']
        await root.refuses('WRONGTYPE', 'change', id(2), ...args)
      }
    }
  )
})

test('of several errors the first: arguments, no token, a foreign record, IF, the limit', async () => {
  const root = new Root(redis)
  await root.issue(1, 'o', '{"a":1}')
  await root.issue(2, 'p')
  const limit = ['OWNER', 'p', 'LIMIT', 1, 'REJECT']
  const args = [...limit, 'IF', '{"other":1}']
  await root.refuses('TSLIMIT', 'change', id(1), ...limit, 'IF', '{"a":1}')
  await root.refuses('TSCONFLICT', 'change', id(1), ...args)
  await redis.set(root.at('key', key(1)), 'foreign')
  await root.refuses('TSRECORD', 'change', id(1), ...args)
  await root.refuses('TSBADARG', 'change', id(1), ...args, 'TTL', 0)
  await redis.del(root.at('key', key(1)))
  await root.unchanged(async () => expect(await root.run('change', id(1), ...args)).toBeNull())
})

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':id:', ':key:', ':tokens:'])
    await redis.set(root.name + name, 'a neighbour')
  const before = await root.state()
  await root.issue(1)
  expect(await root.run('change', id(2), 'OWNER', 'p')).toBeNull()
  expect(await root.run('change', id(1), 'OWNER', 'p', 'TTL', HOUR)).not.toBeNull()
  expect(await root.state()).toMatchObject(before)
  expect(Object.keys(await root.state())).toHaveLength(Object.keys(before).length + 3)
})
