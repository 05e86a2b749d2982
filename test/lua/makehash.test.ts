import { type Arg, bytes, client, closeAfterAll, type Entry, until } from '../support'
import { HASHES, OWNERS, strayTypes, VALUES } from '../support/cases'
import { id, Root, type State } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

/**
 * The ends of names, each of which must be `ms` from when `work` ran: Redis 7.0 reads its clock
 * anew for each.
 */
async function endsOf(
  root: Root,
  ms: number,
  work: () => Promise<unknown>,
  ...names: string[]
): Promise<number[]> {
  const earliest = await root.now()
  await work()
  const state = await root.state()
  const latest = await root.now()
  return names.map((name) => {
    const end = state[name]!.end!
    expect(end).toBeGreaterThanOrEqual(earliest + ms)
    expect(end).toBeLessThanOrEqual(latest + ms)
    return end
  })
}

test.each([60_000, HOUR, 9999999999999])('keeps a value under a hash for %d ms', async (ms) => {
  const root = new Root(redis)
  const name = `${root.name}:hash:abc`
  const make = async (): Promise<void> =>
    expect(await root.run('makehash', 'abc', '{"a":1}', ms)).toBe(1)
  const [end] = await endsOf(root, ms, make, name)
  expect(await root.state()).toEqual({ [name]: { type: 'string', value: '{"a":1}', end: end! } })
})

test('the shortest time: soon nothing is left', async () => {
  const root = new Root(redis)
  await root.run('makehash', 'a', '1', 1)
  await root.run('makehash', 'b', '1', 30, 'REPLACES', 'n')
  await until(async () => Object.keys(await root.state()).length === 0)
})

test.each(VALUES)('a value is kept byte for byte: %s', async (_, value) => {
  const root = new Root(redis)
  expect(await root.run('makehash', 'abc', value, HOUR)).toBe(1)
  expect((await root.state())[`${root.name}:hash:abc`]!.value).toBe(bytes(value))
})

test.each(HASHES)('a hash of %s', async (_, hash) => {
  const root = new Root(redis)
  expect(await root.run('makehash', hash, '1', HOUR)).toBe(1)
  expect(await root.state()).toMatchObject({ [bytes(root.at('hash', hash))]: { value: '1' } })
})

test('a hash that is taken: 0, and nothing written', async () => {
  const root = new Root(redis)
  await root.run('makehash', 'abc', '1', HOUR)
  await root.run('makehash', 'def', '2', HOUR, 'REPLACES', 'n')
  await root.unchanged(async () => {
    expect(await root.run('makehash', 'abc', '1', HOUR)).toBe(0)
    expect(await root.run('makehash', 'abc', '3', HOUR, 'REPLACES', 'n')).toBe(0)
    expect(await root.run('makehash', 'def', '3', HOUR, 'REPLACES', 'n')).toBe(0)
  })
})

test.each(strayTypes())('a hash taken by a %s: 0, and nothing written', async (_, put) => {
  const root = new Root(redis)
  await put(redis, root.at('hash', 'abc'))
  await root.unchanged(async () => {
    expect(await root.run('makehash', 'abc', '1', HOUR)).toBe(0)
    expect(await root.run('makehash', 'abc', '1', HOUR, 'REPLACES', 'n')).toBe(0)
  })
})

test.each<[string, (root: Root) => Promise<unknown>]>([
  ['taken', (root) => root.run('takehash', 'abc')],
  ['deleted', (root) => root.run('delhash', 'abc')],
  ['replaced', (root) => root.run('makehash', 'def', '2', HOUR, 'REPLACES', 'n')],
  ['expired', (root) => root.later(HOUR + 1)]
])('a hash that was %s is free', async (_, end) => {
  const root = new Root(redis)
  await root.run('makehash', 'abc', '1', HOUR, 'REPLACES', 'n')
  await end(root)
  expect(await root.run('makehash', 'abc', '2', HOUR)).toBe(1)
})

describe('REPLACES', () => {
  /** Makes a hash under the name n, for so many ms, and answers what that must leave. */
  const entriesOf = async (root: Root, hash: string, ms: number): Promise<State> => {
    const [own, latest] = [`${root.name}:hash:${hash}`, `${root.name}:latest:n`]
    const make = async (): Promise<void> =>
      expect(await root.run('makehash', hash, '2', ms, 'REPLACES', 'n')).toBe(1)
    const [end, latestEnd] = await endsOf(root, ms, make, own, latest)
    return {
      [own]: { type: 'string', value: '2', end: end! },
      [latest]: { type: 'string', value: hash, end: latestEnd! }
    }
  }

  test('the newest of a name ends the one before, whatever its time', async () => {
    const root = new Root(redis)
    await root.run('makehash', 'other', '0', 9 * HOUR, 'REPLACES', 'm')
    await root.run('makehash', 'plain', '0', 9 * HOUR)
    const others = await root.state()
    for (const [hash, ms] of [
      ['first', 2 * HOUR],
      ['second', HOUR],
      ['third', 3 * HOUR]
    ] as const) {
      const entries = await entriesOf(root, hash, ms)
      expect(await root.state()).toEqual({ ...others, ...entries })
    }
  })

  test.each<[string, (root: Root) => Promise<unknown>]>([
    ['taken', (root) => root.run('takehash', 'first')],
    ['deleted', (root) => root.run('delhash', 'first')],
    ['lost', (root) => redis.del(root.at('hash', 'first'))],
    ['expired', (root) => root.later(HOUR + 1)]
  ])('the one before was %s', async (_, end) => {
    const root = new Root(redis)
    await root.run('makehash', 'first', '1', HOUR, 'REPLACES', 'n')
    await end(root)
    const entries = await entriesOf(root, 'second', HOUR)
    expect(await root.state()).toEqual(entries)
  })

  test('the same hash again after it was taken', async () => {
    const root = new Root(redis)
    await root.run('makehash', 'abc', '1', HOUR, 'REPLACES', 'n')
    await root.run('takehash', 'abc')
    const entries = await entriesOf(root, 'abc', 2 * HOUR)
    expect(await root.state()).toEqual(entries)
  })

  test.each<[string, Arg]>([
    ['colons', 'reset:user-7'],
    ['globs', '*'],
    ['braces', '{n}'],
    ['bytes that are not UTF-8', Buffer.from([0, 0xff])],
    ['5 kB', 'n'.repeat(5000)],
    ['the word itself', 'REPLACES']
  ])('a name of %s', async (_, name) => {
    const root = new Root(redis)
    await root.run('makehash', 'first', '1', HOUR, 'REPLACES', name)
    await root.run('makehash', 'second', '2', HOUR, 'REPLACES', name)
    expect(Object.keys(await root.state()).sort()).toEqual(
      [bytes(root.at('hash', 'second')), bytes(root.at('latest', name))].sort()
    )
  })
})

describe('OWNER', () => {
  const setOf = (...members: [hash: string, end: number][]): Entry => ({
    type: 'zset',
    value: members.flatMap(([hash, end]) => [bytes(hash), String(end)]),
    end: members.at(-1)![1]
  })
  const make = (root: Root, hash: Arg, ms: number, ...options: Arg[]): Promise<unknown> =>
    root.run('makehash', hash, '1', ms, 'OWNER', 'o', ...options)
  const endOf = async (root: Root, hash: Arg): Promise<number> =>
    redis.pexpiretime(root.at('hash', hash))
  const setIn = async (root: Root): Promise<Entry | undefined> =>
    (await root.state())[`${root.name}:hashes:o`]

  test.each([60_000, HOUR, 9999999999999])(
    'the hash joins the set of its owner: %d ms',
    async (ms) => {
      const root = new Root(redis)
      await root.becomes(
        () => make(root, 'abc', ms),
        (now) => [
          1,
          {
            [`${root.name}:hash:abc`]: { type: 'string', value: '1', end: now + ms },
            [`${root.name}:hashes:o`]: setOf(['abc', now + ms])
          }
        ]
      )
      expect(await root.faults()).toEqual([])
    }
  )

  test('the set is by their ends, and ends with the last of them', async () => {
    const root = new Root(redis)
    for (const [hash, ms] of [
      ['b', 2 * HOUR],
      ['a', HOUR],
      ['c', 3 * HOUR]
    ] as const) {
      await make(root, hash, ms)
      expect(await root.faults()).toEqual([])
    }
    const ends = await Promise.all(['a', 'b', 'c'].map((hash) => endOf(root, hash)))
    expect(await setIn(root)).toEqual(setOf(['a', ends[0]!], ['b', ends[1]!], ['c', ends[2]!]))
  })

  test('expired ones leave it, so that it does not grow; others owners keep theirs', async () => {
    const root = new Root(redis)
    await root.run('makehash', 'p', '1', 50 * HOUR, 'OWNER', 'p')
    for (let n = 0; n < 20; n++) {
      await make(root, `h${n}`, HOUR)
      await root.later(0.4 * HOUR)
    }
    await make(root, 'h20', HOUR)
    expect(((await setIn(root))!.value as string[]).filter((_, i) => i % 2 === 0)).toEqual([
      ...['h18', 'h19', 'h20']
    ])
    expect(await redis.zrange(root.at('hashes', 'p'), '0', '-1')).toEqual(['p'])
    expect(await root.faults()).toEqual([])
    await root.later(HOUR + 1)
    expect(await setIn(root)).toBeUndefined()
  })

  test('a hash that was taken or deleted stays in it until its time is over', async () => {
    const root = new Root(redis)
    for (const hash of ['a', 'b']) await make(root, hash, HOUR)
    const before = await setIn(root)
    await root.run('takehash', 'a')
    await root.run('delhash', 'b')
    expect(await setIn(root)).toEqual(before)
    await make(root, 'c', 2 * HOUR)
    expect((await setIn(root))!.value).toHaveLength(6)
    await root.later(HOUR + 1)
    await make(root, 'd', HOUR)
    expect((await setIn(root))!.value).toHaveLength(4)
  })

  test('made anew it has its new end there', async () => {
    for (const ms of [HOUR / 2, 3 * HOUR]) {
      const root = new Root(redis)
      await make(root, 'abc', HOUR)
      await root.run('takehash', 'abc')
      await make(root, 'abc', ms)
      expect(await setIn(root)).toEqual(setOf(['abc', await endOf(root, 'abc')]))
    }
  })

  test('0, and nothing written, when the hash is taken, by whom ever', async () => {
    const root = new Root(redis)
    await root.run('makehash', 'abc', '1', HOUR)
    await make(root, 'def', HOUR, 'REPLACES', 'n')
    await root.unchanged(async () => {
      for (const options of [[], ['REPLACES', 'n'], ['REPLACES', 'm']]) {
        expect(await make(root, 'abc', 2 * HOUR, ...options)).toBe(0)
        expect(await make(root, 'def', 2 * HOUR, ...options)).toBe(0)
        expect(await root.run('makehash', 'def', '1', HOUR, 'OWNER', 'p', ...options)).toBe(0)
      }
    })
  })

  test('with REPLACES, on either side of it, the older one leaves the set too', async () => {
    const root = new Root(redis)
    await make(root, 'other', 9 * HOUR)
    const other = await endOf(root, 'other')
    for (const [i, hash] of ['first', 'second', 'third'].entries()) {
      const ms = (3 - i) * HOUR
      const options = ['REPLACES', 'n', 'OWNER', 'o']
      const args = i % 2 ? options : [...options.slice(2), ...options.slice(0, 2)]
      expect(await root.run('makehash', hash, '1', ms, ...args)).toBe(1)
      const end = await endOf(root, hash)
      expect(await root.state()).toEqual({
        [`${root.name}:hash:other`]: { type: 'string', value: '1', end: other },
        [`${root.name}:hash:${hash}`]: { type: 'string', value: '1', end },
        [`${root.name}:latest:n`]: { type: 'string', value: hash, end },
        [`${root.name}:hashes:o`]: setOf([hash, end], ['other', other])
      })
    }
    // The same once more after it was taken.
    await root.run('takehash', 'third')
    await make(root, 'third', HOUR, 'REPLACES', 'n')
    expect(await setIn(root)).toEqual(
      setOf(['third', await endOf(root, 'third')], ['other', other])
    )
  })

  test.each(HASHES)('a hash of %s', async (_, hash) => {
    const root = new Root(redis)
    await make(root, hash, HOUR)
    const text = Buffer.from(hash as string).toString('latin1')
    expect((await setIn(root))!.value).toEqual([text, String(await endOf(root, hash))])
  })

  test('owners of any bytes have sets of their own', async () => {
    const root = new Root(redis)
    for (const [i, [, owner]] of OWNERS.entries())
      expect(await root.run('makehash', `h${i}`, '1', HOUR, 'OWNER', owner)).toBe(1)
    const state = await root.state()
    for (const [i, [, owner]] of OWNERS.entries()) {
      const set = state[bytes(root.at('hashes', owner))]!
      expect(set).toEqual(setOf([`h${i}`, set.end!]))
    }
    expect(Object.keys(state)).toHaveLength(2 * OWNERS.length)
  })

  test.each(strayTypes('zset'))('WRONGTYPE: a %s where the set belongs', async (_, put) => {
    const root = new Root(redis)
    await make(root, 'first', HOUR, 'REPLACES', 'n')
    await redis.del(root.at('hashes', 'o'))
    await put(redis, root.at('hashes', 'o'))
    for (const options of [[], ['REPLACES', 'n'], ['REPLACES', 'm']] as Arg[][])
      await root.refuses('WRONGTYPE', 'makehash', 'abc', '1', HOUR, 'OWNER', 'o', ...options)
    expect(await root.run('makehash', 'abc', '1', HOUR, 'OWNER', 'p')).toBe(1)
  })

  test.each(['1.5', '-inf', '+inf', '1e300', '4102444800000.5'])(
    'a score of %s in the set: no error, and it does not end before a hash in it',
    async (score) => {
      const root = new Root(redis)
      await make(root, 'a', HOUR)
      await redis.zadd(root.at('hashes', 'o'), score, 'x')
      expect(await make(root, 'b', 2 * HOUR, 'REPLACES', 'n')).toBe(1)
      const end = await redis.pexpiretime(root.at('hashes', 'o'))
      expect(end === -1 || end >= (await endOf(root, 'b'))).toBe(true)
    }
  )
})

test('tokens and hashes of the same name do not meet', async () => {
  const root = new Root(redis)
  await root.run('add', 'abc', id(1), 'abc', '{}')
  const before = await root.state()
  expect(await root.run('makehash', 'abc', '1', HOUR, 'REPLACES', 'abc')).toBe(1)
  expect(await root.state()).toMatchObject(before)
  expect(Object.keys(await root.state())).toHaveLength(5)
})

describe('TSBADARG', () => {
  const ready = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.run('makehash', 'first', '1', HOUR, 'REPLACES', 'n')
    return root
  }

  test('any other number of KEYS or arguments, and empty or long ones', async () => {
    const root = await ready()
    await root.refusesOtherCounts('makehash', ['abc', '1', HOUR])
    await root.refusesOtherCounts('makehash', ['abc', '1', HOUR], ['REPLACES'])
    await root.refusesOtherCounts('makehash', ['abc', '1', HOUR], ['REPLACES', 'n', 'surplus'])
    await root.refusesOtherCounts(
      'makehash',
      ['abc', '1', HOUR],
      ['REPLACES', 'n', 'REPLACES', 'm']
    )
    for (const surplus of [
      ['OWNER'],
      ['OWNER', ''],
      ['OWNER', 'o', 'OWNER', 'o'],
      ['OWNER', 'o', 'REPLACES', 'n', 'OWNER', 'o'],
      ['OWNER', 'o', 'REPLACES'],
      ['OWNER', 'o', 'REPLACES', ''],
      ['REPLACES', 'n', 'OWNER', 'o', 'surplus']
    ]) {
      await root.refusesOtherCounts('makehash', ['abc', '1', HOUR], surplus)
    }
    await root.refuses('TSBADARG', 'makehash', '', '1', HOUR)
    await root.refuses('TSBADARG', 'makehash', 'h'.repeat(257), '1', HOUR)
    await root.refuses('TSBADARG', 'makehash', 'abc', '', HOUR)
    await root.refuses('TSBADARG', 'makehash', 'abc', '1', HOUR, 'REPLACES', '')
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
  test.each(numbers)('ttl_ms %j', async (bad) => {
    const root = await ready()
    await root.refuses('TSBADARG', 'makehash', 'abc', '1', bad)
    await root.refuses('TSBADARG', 'makehash', 'abc', '1', bad, 'REPLACES', 'n')
  })

  test.each(['replaces', 'owner', '', 'NX', '5'])('an unknown option %j', async (word) => {
    const root = await ready()
    await root.refuses('TSBADARG', 'makehash', 'abc', '1', HOUR, word, 'n')
    await root.refuses('TSBADARG', 'makehash', 'abc', '1', HOUR, 'OWNER', 'o', word, 'n')
  })
})

test.each(strayTypes('string'))(
  'WRONGTYPE: a %s where the newest of a name belongs',
  async (_, put) => {
    const root = new Root(redis)
    await put(redis, root.at('latest', 'n'))
    await root.refuses('WRONGTYPE', 'makehash', 'abc', '1', HOUR, 'REPLACES', 'n')
    expect(await root.run('makehash', 'abc', '1', HOUR, 'REPLACES', 'm')).toBe(1)
  }
)

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':hash:', '2:hash:abc'])
    await redis.set(root.name + name, 'a neighbour')
  const before = await root.state()
  expect(await root.run('makehash', 'abc', '1', HOUR)).toBe(1)
  expect(await root.run('makehash', 'def', '1', HOUR, 'REPLACES', 'n')).toBe(1)
  expect(await root.state()).toMatchObject(before)
})
