import { type Arg, bytes, client, closeAfterAll, until } from '../support'
import { ATTRS, OWNERS, strayBeginnings, strayTypes } from '../support/cases'
import { id, key, Root } from '../support/root'

closeAfterAll()
const redis = client()

// So long that what passes while a test runs makes no difference.
const FAR = 10_000_000

test('a token is written under three names and answered as a triple', async () => {
  const root = new Root(redis)
  const record = `{"id":"${id(1)}","owner_id":"o","attrs":{"device":"phone"}}`
  expect(await root.run('add', key(1), id(1), 'o', '{"device":"phone"}')).toEqual([
    key(1),
    record,
    0
  ])
  expect(await root.state()).toEqual({
    [`${root.name}:id:${id(1)}`]: { type: 'string', value: key(1), end: null },
    [`${root.name}:key:${key(1)}`]: { type: 'string', value: record, end: null },
    [`${root.name}:tokens:o`]: { type: 'zset', value: [id(1), 'inf'], end: null }
  })
})

test.each<[string, Arg[], { ttl?: number; idle?: number; every?: number }]>([
  ['TTL', ['TTL', 500_000], { ttl: 500_000 }],
  ['IDLE', ['IDLE', 700_000], { idle: 700_000, every: 70_000 }],
  [
    'IDLE, a tenth of which is no whole number',
    ['IDLE', 700_001],
    { idle: 700_001, every: 70_001 }
  ],
  ['EVERY', ['IDLE', 700_000, 'EVERY', 1], { idle: 700_000, every: 1 }],
  ['EVERY as long as IDLE', ['IDLE', 700_000, 'EVERY', 700_000], { idle: 700_000, every: 700_000 }],
  [
    'TTL before IDLE',
    ['TTL', 500_000, 'IDLE', 700_000],
    { ttl: 500_000, idle: 700_000, every: 70_000 }
  ],
  [
    'IDLE before TTL',
    ['TTL', 700_000, 'IDLE', 500_000],
    { ttl: 700_000, idle: 500_000, every: 50_000 }
  ],
  [
    'TTL as long as IDLE',
    ['TTL', 500_000, 'IDLE', 500_000],
    { ttl: 500_000, idle: 500_000, every: 50_000 }
  ],
  [
    'all options in another order',
    ['LIMIT', 1, 'REJECT', 'EVERY', 9, 'TTL', 700_000, 'IDLE', 500_000],
    { ttl: 700_000, idle: 500_000, every: 9 }
  ],
  [
    'the longest',
    ['TTL', '9999999999999', 'IDLE', '9999999999999'],
    { ttl: 9999999999999, idle: 9999999999999 }
  ]
])(
  'lifetime: %s',
  async (_, options, { ttl = Infinity, idle = Infinity, every = Math.ceil(idle / 10) }) => {
    const root = new Root(redis)
    const earliest = await root.now()
    const token = await root.issue(1, 'o', '{}', ...options)
    const issued = token.expires_at - Math.min(ttl, idle)
    expect(issued).toBeGreaterThanOrEqual(earliest)
    expect(issued).toBeLessThanOrEqual(await root.now())
    const absolute = ttl < Infinity ? `,"ends_at":${issued + ttl}` : ''
    const sliding = idle < Infinity ? `,"idle":${idle},"every":${every}` : ''
    const end = token.expires_at
    const record = `{"id":"${id(1)}","owner_id":"o"${absolute}${sliding},"attrs":{}}`
    expect(token.record).toBe(record)
    expect(await root.state()).toEqual({
      [`${root.name}:id:${id(1)}`]: { type: 'string', value: key(1), end },
      [`${root.name}:key:${key(1)}`]: { type: 'string', value: record, end },
      [`${root.name}:tokens:o`]: { type: 'zset', value: [id(1), String(end)], end }
    })
  }
)

test('the shortest lifetime: soon nothing is left, without any further call', async () => {
  const root = new Root(redis)
  await root.issue(1, 'o', '{}', 'TTL', 1)
  await root.issue(2, 'o', '{}', 'IDLE', 30)
  await root.issue(3, 'p', '{}', 'TTL', 20, 'IDLE', FAR)
  await until(async () => Object.keys(await root.state()).length === 0)
})

test.each(ATTRS)('attrs are kept byte for byte: %s', async (_, attrs) => {
  const root = new Root(redis)
  const { record } = await root.issue(1, 'o', attrs)
  expect(record).toBe(`{"id":"${id(1)}","owner_id":"o","attrs":${bytes(attrs)}}`)
  expect((await root.state())[`${root.name}:key:${key(1)}`]!.value).toBe(record)
  expect(await root.issue(1, 'o', attrs)).toMatchObject({ record })
})

test('owners of any bytes neither collide nor reach into the record', async () => {
  const root = new Root(redis)
  const expected: Record<string, unknown> = {}
  for (const [i, [, owner]] of OWNERS.entries()) {
    const { record } = await root.issue(i, owner, '{"a":1}')
    expect(JSON.parse(Buffer.from(record, 'latin1').toString())).toEqual({
      id: id(i),
      owner_id: owner.toString(),
      attrs: { a: 1 }
    })
    expect(await root.issue(i, owner)).toMatchObject({ record })
    expected[`${root.name}:id:${id(i)}`] = { type: 'string', value: key(i), end: null }
    expected[`${root.name}:key:${key(i)}`] = { type: 'string', value: record, end: null }
    expected[bytes(root.at('tokens', owner))] = { type: 'zset', value: [id(i), 'inf'], end: null }
  }
  expect(await root.state()).toEqual(expected)
})

test.each<[string, Arg]>([
  ['one byte', 'k'],
  ['256 bytes', 'k'.repeat(256)],
  ['bytes that are not UTF-8', Buffer.from([0, 0xff, 0xfe])],
  ['a glob', '*'],
  ['a name of another family', 'x:id:y']
])('key of %s', async (_, odd) => {
  const root = new Root(redis)
  expect(await root.run('add', odd, id(1), 'o', '{}')).toEqual([
    bytes(odd as string),
    expect.any(String),
    0
  ])
  expect(await root.state()).toMatchObject({
    [bytes(root.at('key', odd))]: { type: 'string' },
    [`${root.name}:id:${id(1)}`]: { value: bytes(odd as string) }
  })
})

describe('the same key and id again', () => {
  test.each<[string, Arg[]]>([
    ['the same call', ['o', '{"a":1}', 'TTL', FAR, 'LIMIT', 2, 'REJECT']],
    ['without its lifetime', ['o', '{"a":1}']],
    ['with another lifetime', ['o', '{"a":1}', 'TTL', 5, 'IDLE', 5]],
    ['with other attrs', ['o', '{"b":2}']],
    ['for another owner', ['p', '{"a":1}']],
    ['at the limit', ['o', '{"a":1}', 'LIMIT', 1, 'REJECT']],
    ['over the limit, to evict', ['o', '{"a":1}', 'LIMIT', 1, 'EVICT']]
  ])('answers as at first and writes nothing: %s', async (_, args) => {
    const root = new Root(redis)
    const { record, expires_at } = await root.issue(
      1,
      'o',
      '{"a":1}',
      'TTL',
      FAR,
      'LIMIT',
      2,
      'REJECT'
    )
    await root.issue(2, 'o')
    await root.unchanged(async () => {
      expect(await root.run('add', key(1), id(1), ...args)).toEqual([key(1), record, expires_at])
    })
  })

  test('answers what the token has become', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('set', id(1), '{"b":2}')
    expect((await root.issue(1)).record).toContain('"attrs":{"b":2}')
  })

  test('after its end it is issued anew', async () => {
    const root = new Root(redis)
    const first = await root.issue(1)
    await root.run('del', id(1))
    expect(await root.issue(1)).toEqual(first)
    expect(await root.faults()).toEqual([])
  })
})

describe('TSKEYTAKEN', () => {
  const taken = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1)
    await root.issue(2, 'o', '{}', 'TTL', FAR)
    await root.run('rotate', id(2), key(3), 'GRACE', FAR)
    await root.run('rotate', id(2), key(4))
    return root
  }

  test.each<[string, number, number]>([
    ['a key of another id', 1, 9],
    ['an id of another key', 9, 1],
    ['key and id of two tokens', 1, 2],
    ['a rotated token by a key within its grace', 2, 2],
    ['the same by its other id', 2, 9],
    ['a rotated token by a key that has ended', 3, 2]
  ])('%s', async (_, k, i) => {
    const root = await taken()
    await root.refuses('TSKEYTAKEN', 'add', key(k), id(i), 'o', '{}')
    await root.refuses('TSKEYTAKEN', 'add', key(k), id(i), 'p', '{}', 'TTL', 1, 'LIMIT', 1, 'EVICT')
  })

  test('a key whose grace is over is free', async () => {
    const root = await taken()
    await root.later(FAR / 2)
    await root.run('rotate', id(2), key(5), 'GRACE', 1000)
    await root.later(1001)
    await root.issue(4, 'p')
    expect(await root.faults()).toEqual([])
    expect(await root.run('getkey', 'PEEK', key(4), key(5))).toEqual([
      expect.stringContaining(id(4)),
      0,
      expect.stringContaining(id(2)),
      expect.any(Number)
    ])
  })
})

describe('what Redis evicted', () => {
  test('an id whose record is gone may be issued again, under any key', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.issue(2)
    await redis.del(root.at('key', key(1)), root.at('key', key(2)))
    await root.issue(1, 'o', '{"again":1}')
    expect(await root.run('add', key(3), id(2), 'o', '{"again":2}')).toMatchObject([key(3), {}, 0])
    expect(await root.faults()).toEqual([])
    expect(await root.run('count', 'o')).toBe(2)
  })

  test('a key may be issued again to another id; the first is taken until then', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('key', key(1)))
    const other = (await root.run('add', key(1), id(2), 'p', '{}')) as string[]
    await root.refuses('TSKEYTAKEN', 'add', key(3), id(1), 'o', '{}')
    expect(await root.run('get', id(2))).toEqual(other)
    await root.run('del', id(2))
    await root.run('add', key(3), id(1), 'o', '{}')
    expect(await root.faults()).toEqual([])
  })

  test('an id that the set still lists stays listed, by its new end', async () => {
    for (const limit of [
      [],
      ['LIMIT', 1, 'EVICT'],
      ['LIMIT', 2, 'EVICT'],
      ['LIMIT', 9, 'REJECT']
    ] as Arg[][]) {
      const root = new Root(redis)
      await root.issue(1, 'o', '{}', 'TTL', FAR)
      await redis.del(root.at('key', key(1)))
      const { expires_at, evicted } = await root.issue(
        1,
        'o',
        '{"again":1}',
        'TTL',
        2 * FAR,
        ...limit
      )
      expect(evicted).toEqual([])
      expect(await redis.zrange(root.at('tokens', 'o'), '0', '-1', 'WITHSCORES')).toEqual([
        id(1),
        `${expires_at}`
      ])
      expect(await root.run('count', 'o')).toBe(1)
      expect(await root.faults()).toEqual([])
    }
  })

  test('the same beside living tokens, over the limit: it goes on, others go', async () => {
    const root = new Root(redis)
    for (const n of [1, 2, 3]) await root.issue(n)
    await redis.del(root.at('key', key(2)), root.at('id', id(2)))
    expect((await root.issue(2, 'o', '{"again":1}', 'LIMIT', 1, 'EVICT')).evicted).toEqual(
      [1, 3].map(id)
    )
    expect(await root.run('list', 'o')).toEqual(['', key(2), expect.stringContaining('again'), 0])
    expect(await root.faults()).toEqual([])
    expect(Object.keys(await root.state())).toHaveLength(3)
  })

  test('a token whose id is gone still holds its key', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('id', id(1)))
    await root.refuses('TSKEYTAKEN', 'add', key(1), id(2), 'o', '{}')
  })
})

describe('TSBADARG', () => {
  const good = ['another-key', id(9), 'o', '{}']
  const filled = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1)
    await root.issue(2, 'o', '{}', 'TTL', FAR)
    return root
  }

  test('any other number of KEYS or arguments', async () => {
    await (await filled()).refusesOtherCounts('add', good)
    await (await filled()).refusesOtherCounts('add', good, ['TTL'])
  })

  test.each<[string, Arg[]]>([
    ['an empty key', ['', id(9), 'o', '{}']],
    ['a key of 257 bytes', ['k'.repeat(257), id(9), 'o', '{}']],
    ['a key of 256 characters, but more bytes', ['k'.repeat(255) + 'é', id(9), 'o', '{}']],
    ['an empty owner_id', ['another-key', id(9), '', '{}']]
  ])('%s', async (_, args) => (await filled()).refuses('TSBADARG', 'add', ...args))

  test.each<Arg>([
    '',
    '9',
    id(9).toUpperCase(),
    id(9).replaceAll('-', ''),
    id(9) + '0',
    ' ' + id(9),
    id(9) + '\n',
    id(9).replace('0190', '019g'),
    `{${id(9)}}`,
    '--------' + id(9).slice(8),
    Buffer.from(id(9).slice(0, -1) + '\0')
  ])('id %j', async (bad) =>
    (await filled()).refuses('TSBADARG', 'add', 'another-key', bad, 'o', '{}')
  )

  test.each(['', '[]', 'null', '"{}"', '1', '{', '}', ' {}', '{} ', '{}\n', '[{}]', 'x{}'])(
    'attrs %j',
    async (bad) => (await filled()).refuses('TSBADARG', 'add', 'another-key', id(9), 'o', bad)
  )

  const numbers = [
    '',
    '0',
    '00',
    '01',
    '-1',
    '+1',
    '1.5',
    '1e3',
    '0x10',
    ' 1',
    '1 ',
    '1\n',
    'inf',
    'nan',
    'x',
    'null'
  ]
  test.each([...numbers, '10000000000000', '99999999999999999999'])(
    'a number of %j',
    async (bad) => {
      const root = await filled()
      await root.refuses('TSBADARG', 'add', ...good, 'TTL', bad)
      await root.refuses('TSBADARG', 'add', ...good, 'IDLE', bad)
      await root.refuses('TSBADARG', 'add', ...good, 'IDLE', 5, 'EVERY', bad)
      await root.refuses('TSBADARG', 'add', ...good, 'LIMIT', bad, 'EVICT')
    }
  )

  test.each<[string, Arg[]]>([
    ['an unknown option', ['PX', 5]],
    ['an option in lower case', ['ttl', 5]],
    ['an empty option', ['', 5]],
    ['a number where an option belongs', [5, 'TTL']],
    ['the name of something inside', ['policy', 5]],
    ['the name of something inside, later', ['LIMIT', 5, 'EVICT', 'policy', 5]],
    ['TTL twice', ['TTL', 5, 'TTL', 5]],
    ['IDLE twice', ['IDLE', 5, 'TTL', 5, 'IDLE', 5]],
    ['EVERY twice', ['IDLE', 5, 'EVERY', 5, 'EVERY', 5]],
    ['LIMIT twice', ['LIMIT', 5, 'EVICT', 'LIMIT', 5, 'EVICT']],
    ['TTL without a number', ['TTL']],
    ['TTL before another option', ['TTL', 'IDLE', 5]],
    ['IDLE without a number', ['IDLE']],
    ['EVERY without a number', ['IDLE', 5, 'EVERY']],
    ['EVERY without IDLE', ['EVERY', 5]],
    ['EVERY without IDLE, but TTL', ['TTL', 5, 'EVERY', 5]],
    ['EVERY longer than IDLE', ['IDLE', 5, 'EVERY', 6]],
    ['EVERY longer than IDLE, given first', ['EVERY', 6, 'IDLE', 5]],
    ['LIMIT alone', ['LIMIT']],
    ['LIMIT without what to do', ['LIMIT', 5]],
    ['LIMIT before another option', ['LIMIT', 5, 'TTL', 5]],
    ['LIMIT and something else to do', ['LIMIT', 5, 'DROP']],
    ['LIMIT and what to do in lower case', ['LIMIT', 5, 'evict']],
    ['a surplus word', ['LIMIT', 5, 'EVICT', 'REJECT']],
    ['a surplus empty word', ['TTL', 5, '']]
  ])('%s', async (_, options) => (await filled()).refuses('TSBADARG', 'add', ...good, ...options))
})

describe('what is not of this layout', () => {
  const options: Arg[][] = [[], ['TTL', 5, 'LIMIT', 1, 'EVICT']]

  test.each(strayBeginnings(id(1), key(1)))('TSKEYTAKEN: a foreign record: %s', async (_, text) => {
    const root = new Root(redis)
    await redis.set(root.at('key', key(1)), text)
    await redis.set(root.at('id', id(2)), key(1))
    for (const more of options) {
      await root.refuses('TSKEYTAKEN', 'add', key(1), id(1), 'o', '{}', ...more)
      await root.refuses('TSKEYTAKEN', 'add', key(1), id(2), 'o', '{}', ...more)
      await root.refuses('TSKEYTAKEN', 'add', key(3), id(2), 'o', '{}', ...more)
    }
  })

  test.each(strayTypes('string'))('WRONGTYPE: a %s where the record belongs', async (_, put) => {
    const root = new Root(redis)
    await put(redis, root.at('key', key(1)))
    for (const more of options)
      await root.refuses('WRONGTYPE', 'add', key(1), id(1), 'o', '{}', ...more)
    await redis.set(root.at('id', id(1)), key(1))
    await root.refuses('WRONGTYPE', 'add', key(1), id(1), 'o', '{}')
    await root.refuses('TSKEYTAKEN', 'add', key(3), id(1), 'o', '{}')
    await redis.set(root.at('id', id(1)), key(2))
    await root.refuses('WRONGTYPE', 'add', key(1), id(1), 'o', '{}')
  })

  test.each(strayTypes('string'))('WRONGTYPE: a %s where the id belongs', async (_, put) => {
    const root = new Root(redis)
    await put(redis, root.at('id', id(1)))
    for (const more of options)
      await root.refuses('WRONGTYPE', 'add', key(1), id(1), 'o', '{}', ...more)
  })

  test.each(strayTypes('zset'))(
    'WRONGTYPE: a %s where the owner set belongs, as 0.0.4 left it',
    async (_, put) => {
      const root = new Root(redis)
      await put(redis, root.at('tokens', 'o'))
      for (const more of options)
        await root.refuses('WRONGTYPE', 'add', key(1), id(1), 'o', '{}', ...more)
      await root.issue(1, 'p')
    }
  )

  test.each(strayBeginnings(id(1), key(1)))(
    'EVICT leaves it where it stands in place of a token: %s',
    async (_, text) => {
      const root = new Root(redis)
      await root.issue(1)
      await redis.set(root.at('key', key(1)), text)
      expect((await root.issue(2, 'o', '{}', 'LIMIT', 1, 'EVICT')).evicted).toEqual([id(1)])
      expect(await redis.get(root.at('key', key(1)))).toBe(text)
      expect(await redis.zrange(root.at('tokens', 'o'), '0', '-1')).toEqual([id(2)])
    }
  )

  test.each(strayTypes('string'))(
    'EVICT leaves it, and is not stopped midway: a %s',
    async (_, put) => {
      for (const name of [`key:${key(1)}`, `id:${id(1)}`]) {
        const root = new Root(redis)
        const [family, rest] = name.split(':') as [string, string]
        await root.issue(1)
        await redis.del(root.at(family, rest))
        await put(redis, root.at(family, rest))
        const type = await redis.type(root.at(family, rest))
        expect((await root.issue(2, 'o', '{}', 'LIMIT', 1, 'EVICT')).evicted).toEqual([id(1)])
        expect(await redis.type(root.at(family, rest))).toBe(type)
        expect(await root.run('get', id(2))).toMatchObject([key(2), {}, 0])
        expect(await redis.zrange(root.at('tokens', 'o'), '0', '-1')).toEqual([id(2)])
      }
    }
  )
})

describe('LIMIT', () => {
  test('REJECT refuses the first over the limit, and counts this owner only', async () => {
    const root = new Root(redis)
    await root.issue(100, 'p')
    for (let n = 1; n <= 3; n++) await root.issue(n, 'o', '{}', 'LIMIT', 3, 'REJECT')
    for (const limit of [1, 2, 3]) {
      await root.refuses('TSLIMIT', 'add', key(4), id(4), 'o', '{}', 'LIMIT', limit, 'REJECT')
    }
    await root.issue(101, 'p', '{}', 'LIMIT', 2, 'REJECT')
    await root.run('del', id(2))
    await root.issue(4, 'o', '{}', 'LIMIT', 3, 'REJECT')
    await root.issue(5, 'o', '{}', 'LIMIT', '9999999999999', 'REJECT')
    expect(await root.run('count', 'o')).toBe(4)
  })

  const lost: [string, (root: Root) => Promise<unknown>][] = [
    ['whose record Redis evicted', (root) => redis.del(root.at('key', key(1)))],
    ['whose id Redis evicted', (root) => redis.del(root.at('id', id(1)))],
    [
      'whose record Redis evicted, its key issued again',
      async (root) => {
        await redis.del(root.at('key', key(1)))
        await root.run('add', key(1), id(9), 'p', '{}')
      }
    ],
    [
      'restored for another owner',
      async (root) => {
        await redis.del(root.at('key', key(1)))
        await root.run('add', key(9), id(1), 'p', '{}')
      }
    ]
  ]

  test.each<[string, (root: Root) => Promise<unknown>]>([
    ['that has expired', (root) => root.later(FAR + 1)],
    ['that was revoked', (root) => root.run('del', id(1))],
    ...lost.map(([what, lose]): [string, (root: Root) => Promise<unknown>] => [
      `${what}, once list has seen it`,
      async (root) => {
        await lose(root)
        await root.run('list', 'o')
      }
    ])
  ])('does not count a token %s', async (_, end) => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'TTL', FAR)
    await root.issue(2, 'o')
    await end(root)
    const others = await root.run('list', 'p')
    expect((await root.issue(3, 'o', '{}', 'LIMIT', 2, 'EVICT')).evicted).toEqual([])
    await root.refuses('TSLIMIT', 'add', key(4), id(4), 'o', '{}', 'LIMIT', 2, 'REJECT')
    expect((await root.issue(4, 'o', '{}', 'LIMIT', 2, 'EVICT')).evicted).toEqual([id(2)])
    expect(await root.run('count', 'o')).toBe(2)
    expect(await root.run('list', 'p')).toEqual(others)
  })

  test.each(lost)(
    "counts a token %s until then; EVICT takes nothing of another's for it",
    async (_, lose) => {
      const root = new Root(redis)
      await root.issue(1, 'o', '{}', 'TTL', FAR)
      await root.issue(2, 'o')
      await lose(root)
      const others = [await root.run('list', 'p'), await root.run('getkey', 'PEEK', key(1), key(9))]
      await root.refuses('TSLIMIT', 'add', key(3), id(3), 'o', '{}', 'LIMIT', 2, 'REJECT')
      expect((await root.issue(3, 'o', '{}', 'LIMIT', 2, 'EVICT')).evicted).toEqual([id(1)])
      expect([
        await root.run('list', 'p'),
        await root.run('getkey', 'PEEK', key(1), key(9))
      ]).toEqual(others)
      expect(await root.run('count', 'o')).toBe(2)
    }
  )

  test('EVICT revokes those to expire first, of never-ending ones the lowest ids', async () => {
    const root = new Root(redis)
    await root.issue(5)
    await root.issue(3, 'o', '{}', 'TTL', 3 * FAR)
    await root.issue(4)
    await root.issue(6, 'o', '{}', 'IDLE', 2 * FAR)
    await root.issue(1, 'o', '{}', 'TTL', 4 * FAR, 'IDLE', 5 * FAR)
    await root.issue(2, 'p', '{}', 'TTL', FAR)
    const order = [6, 3, 1, 4, 5].map(id)
    for (let n = 10; n < 15; n++) {
      expect((await root.issue(n, 'o', '{}', 'LIMIT', 5, 'EVICT')).evicted).toEqual([order[n - 10]])
      expect(await root.faults()).toEqual([])
    }
    expect(await root.run('list', 'o')).toMatchObject({ length: 1 + 3 * 5 })
    expect(await root.run('count', 'p')).toBe(1)
  })

  test('EVICT revokes as many as the limit asks for, and leaves nothing of them', async () => {
    const root = new Root(redis)
    for (let n = 1; n <= 4; n++) await root.issue(n, 'o', '{}', 'TTL', n * FAR)
    expect((await root.issue(5, 'o', '{}', 'LIMIT', 6, 'EVICT')).evicted).toEqual([])
    expect((await root.issue(6, 'o', '{}', 'LIMIT', 2, 'EVICT')).evicted).toEqual(
      [1, 2, 3, 4].map(id)
    )
    expect((await root.issue(7, 'o', '{}', 'TTL', FAR, 'LIMIT', 1, 'EVICT')).evicted).toEqual(
      [5, 6].map(id)
    )
    expect(Object.keys(await root.state())).toEqual([
      `${root.name}:id:${id(7)}`,
      `${root.name}:key:${key(7)}`,
      `${root.name}:tokens:o`
    ])
    expect(await root.faults()).toEqual([])
  })

  test('EVICT leaves keys within their grace to their TTL: they open nothing now', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(11), 'GRACE', 1000)
    await root.later(1001)
    await root.run('add', key(1), id(2), 'p', '{}') // the key that came free
    await root.run('rotate', id(1), key(12), 'GRACE', FAR)
    await root.run('rotate', id(1), key(13), 'GRACE', FAR)
    expect((await root.issue(3, 'o', '{}', 'LIMIT', 1, 'EVICT')).evicted).toEqual([id(1)])
    expect(await root.run('getkey', 'PEEK', ...[11, 12, 13].map(key))).toEqual([
      null,
      0,
      null,
      0,
      null,
      0
    ])
    expect(await root.run('count', 'p')).toBe(1)
    expect(Object.keys(await root.state())).toHaveLength(3 + 3 + 2)
    expect(await root.faults()).toEqual([])
  })

  test('EVICT leaves a key within its grace that is another token by now', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(11), 'GRACE', FAR)
    await redis.del(root.at('key', key(1)))
    await root.run('add', key(1), id(2), 'p', '{}')
    await root.run('rotate', id(2), key(12), 'GRACE', FAR)
    expect((await root.issue(3, 'o', '{}', 'LIMIT', 1, 'EVICT')).evicted).toEqual([id(1)])
    expect(await root.run('getkey', 'PEEK', key(1), key(12))).toMatchObject([{}, 0, {}, 0])
    expect(await root.faults()).toEqual([])
  })

  test('9,000 tokens: all are counted, and evicted at once', async () => {
    const root = new Root(redis)
    await root.seed(1, 9000)
    await root.refuses('TSLIMIT', 'add', key(9001), id(9001), 'o', '{}', 'LIMIT', 9000, 'REJECT')
    expect((await root.issue(9001, 'o', '{}', 'LIMIT', 9001, 'REJECT')).evicted).toEqual([])
    const { evicted } = await root.issue(9002, 'o', '{}', 'LIMIT', 1, 'EVICT')
    expect(evicted).toEqual(Array.from({ length: 9001 }, (_, i) => id(i + 1)))
    expect(Object.keys(await root.state())).toHaveLength(3)
    expect(await root.faults()).toEqual([])
  })
})

describe('the owner set', () => {
  const owner = async (root: Root): Promise<[unknown, number | null] | undefined> => {
    const entry = (await root.state())[`${root.name}:tokens:o`]
    return entry && [entry.value, entry.end]
  }

  test('ends with its last member', async () => {
    const root = new Root(redis)
    const { expires_at: second } = await root.issue(1, 'o', '{}', 'TTL', 2 * FAR)
    expect(await owner(root)).toEqual([[id(1), `${second}`], second])
    const { expires_at: first } = await root.issue(2, 'o', '{}', 'IDLE', FAR)
    expect(await owner(root)).toEqual([[id(2), `${first}`, id(1), `${second}`], second])
    const { expires_at: third } = await root.issue(3, 'o', '{}', 'TTL', 3 * FAR)
    expect(await owner(root)).toEqual([
      [id(2), `${first}`, id(1), `${second}`, id(3), `${third}`],
      third
    ])
  })

  test('never ends with a never-ending member, and ends again after that is evicted', async () => {
    const root = new Root(redis)
    const { expires_at } = await root.issue(1, 'o', '{}', 'TTL', FAR)
    await root.issue(2)
    expect(await owner(root)).toEqual([[id(1), `${expires_at}`, id(2), 'inf'], null])
    await root.run('del', id(1))
    const last = await root.issue(3, 'o', '{}', 'TTL', FAR, 'LIMIT', 1, 'EVICT')
    expect(await owner(root)).toEqual([[id(3), `${last.expires_at}`], last.expires_at])
  })

  test('an owner who keeps logging in accumulates no ended members', async () => {
    const root = new Root(redis)
    await root.issue(0)
    for (let n = 1; n <= 20; n++) {
      await root.issue(n, 'o', '{}', 'TTL', FAR)
      await root.later(0.4 * FAR)
    }
    await root.issue(21, 'o', '{}', 'TTL', FAR)
    expect((await owner(root))![0]).toEqual([
      ...[19, 20, 21].flatMap((n): unknown[] => [id(n), expect.any(String)]),
      ...[id(0), 'inf']
    ])
    expect(await root.faults()).toEqual([])
  })
})

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  const text = 'a neighbour'
  for (const name of ['', ':', '2:key:x', ':key:', `2:tokens:o`])
    await redis.set(root.name + name, text)
  const before = await root.state()
  await root.issue(1, 'o', '{}', 'LIMIT', 1, 'REJECT')
  await root.issue(2, 'o', '{}', 'LIMIT', 1, 'EVICT')
  expect(await root.state()).toMatchObject(before)
  expect(Object.keys(await root.state())).toHaveLength(Object.keys(before).length + 3)
})
