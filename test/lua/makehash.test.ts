import { type Arg, bytes, client, closeAfterAll, until } from '../support'
import { HASHES, strayTypes, VALUES } from '../support/cases'
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

  test.each(['replaces', '', 'NX', '5'])('%j instead of REPLACES', async (word) =>
    (await ready()).refuses('TSBADARG', 'makehash', 'abc', '1', HOUR, word, 'n')
  )
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
