import { client, closeAfterAll } from '../support'
import { ATTRS, OWNERS, strayRecords, strayTypes } from './cases'
import { type Arg, bytes, expectState, id, key, Root, type State } from './root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

/** Owner o with tokens 1 (TTL), 2 (IDLE), 3 (never ends, one key within its grace); owner p with 4. */
async function owners(): Promise<Root> {
  const root = new Root(redis)
  await root.issue(1, 'o', '{"a":1}', 'TTL', HOUR)
  await root.issue(2, 'o', '{}', 'IDLE', 2 * HOUR)
  await root.issue(3)
  await root.run('rotate', id(3), key(13), 'GRACE', HOUR)
  await root.issue(4, 'p', '{}', 'TTL', HOUR)
  return root
}

/** Of the state, the names of the tokens with these numbers, and of owner p. */
function only(state: State, ...numbers: number[]): State {
  const rests = [...numbers, 4].flatMap((n) => [key(n), key(n + 10), id(n)])
  return Object.fromEntries(
    Object.entries(state).filter(([name]) => name.endsWith(':tokens:p') || rests.some((rest) => name.endsWith(rest)))
  )
}

test('ends every token of an owner, all their names, and nothing of others', async () => {
  const root = await owners()
  const before = await root.state()
  expect(await root.run('delowner', 'o')).toBe(3)
  expectState(await root.state(), only(before))
  await root.unchanged(async () => expect(await root.run('delowner', 'o')).toBe(0))
  expect(await root.run('delowner', 'p')).toBe(1)
  expect(await root.state()).toEqual({})
})

describe('EXCEPT', () => {
  test.each([
    ['an absolute lifetime', 1],
    ['a sliding one', 2],
    ['none, and a key within its grace', 3]
  ])("keeps one token, with %s; the owner's set ends with it", async (_, n) => {
    const root = await owners()
    const before = await root.state()
    const [, , end] = (await root.run('get', id(n))) as [string, string, number]
    expect(await root.run('delowner', 'o', 'EXCEPT', id(n))).toBe(2)
    expectState(await root.state(), {
      ...only(before, n),
      [`${root.name}:tokens:o`]: { type: 'zset', value: [id(n), String(end || 'inf')], end: end || null }
    })
    expect(await root.faults()).toEqual([])
    await root.unchanged(async () => expect(await root.run('delowner', 'o', 'EXCEPT', id(n))).toBe(0))
  })

  test.each<[string, Arg]>([
    ['of another owner', id(4)],
    ['unknown', id(9)],
    ['in upper case', id(1).toUpperCase()],
    ['of no form', 'x'],
    ['in bytes', Buffer.from([0, 0xff])]
  ])('an id %s keeps nothing', async (_, one) => {
    const root = await owners()
    const before = await root.state()
    expect(await root.run('delowner', 'o', 'EXCEPT', one)).toBe(3)
    expectState(await root.state(), only(before))
  })

  test.each<[string, (root: Root) => Promise<unknown>, number]>([
    ['that has ended', (root) => root.run('del', id(1)), 2],
    ['that has expired', (root) => root.later(HOUR + 1), 2],
    ['whose record Redis evicted', (root) => redis.del(root.at('key', key(1))), 2],
    ['whose id Redis evicted', (root) => redis.del(root.at('id', id(1))), 2]
  ])('an id %s keeps nothing', async (_, end, count) => {
    const root = await owners()
    await end(root)
    expect(await root.run('delowner', 'o', 'EXCEPT', id(1))).toBe(count)
    expect((await root.state())[`${root.name}:tokens:o`]).toBeUndefined()
    expect(await root.run('count', 'o')).toBe(0)
  })
})

test('an unknown owner has none, and gets no set', async () => {
  const root = await owners()
  await root.unchanged(async () => {
    for (const owner of ['x', '*', 'O', 'o ', Buffer.from([0, 0xff])]) {
      expect(await root.run('delowner', owner)).toBe(0)
      expect(await root.run('delowner', owner, 'EXCEPT', id(1))).toBe(0)
    }
  })
})

test.each(ATTRS)('attrs are never parsed: %s', async (_, attrs) => {
  const root = new Root(redis)
  await root.issue(1, 'o', attrs)
  await root.issue(2, 'o', attrs, 'TTL', 2 * HOUR, 'IDLE', HOUR)
  await root.run('rotate', id(2), key(3), 'GRACE', HOUR)
  expect(await root.run('delowner', 'o')).toBe(2)
  expect(await root.state()).toEqual({})
})

test('owners of any bytes: each ends its own', async () => {
  const root = new Root(redis)
  for (const [i, [, owner]] of OWNERS.entries()) {
    await root.issue(2 * i, owner)
    await root.issue(2 * i + 1, owner, '{}', 'TTL', HOUR)
  }
  for (const [i, [, owner]] of OWNERS.entries()) {
    expect(await root.run('delowner', owner, 'EXCEPT', id(2 * i))).toBe(1)
    const kept = (await root.state())[bytes(root.at('tokens', owner))]
    expect(kept).toEqual({ type: 'zset', value: [id(2 * i), 'inf'], end: null })
    expect(await root.run('delowner', owner)).toBe(1)
    expect(Object.keys(await root.state())).toHaveLength(5 * (OWNERS.length - i - 1))
  }
})

describe('keys within their grace', () => {
  test('end with their tokens', async () => {
    const root = new Root(redis)
    for (const n of [1, 2]) {
      await root.issue(n, 'o', '{}', 'IDLE', HOUR)
      for (const m of [10, 20, 30]) await root.run('rotate', id(n), key(n + m), 'GRACE', HOUR)
    }
    expect(await root.run('delowner', 'o')).toBe(2)
    expect(await root.state()).toEqual({})
  })

  test.each<[string, number, (root: Root) => Promise<unknown>]>([
    ['after its grace', 1000, (root) => root.later(1001)],
    ['after Redis evicted it', HOUR, (root) => redis.del(root.at('key', key(1)))]
  ])('but not a name that is another token by now, %s', async (_, grace, end) => {
    const root = new Root(redis)
    for (const n of [1, 2]) await root.issue(n)
    await root.run('rotate', id(1), key(11), 'GRACE', grace)
    await end(root)
    await root.run('add', key(1), id(3), 'p', '{}')
    await root.run('rotate', id(2), key(12), 'GRACE', grace)
    await redis.del(root.at('key', key(2)))
    await root.run('add', key(2), id(4), 'p', '{}')
    await root.run('rotate', id(4), key(14), 'GRACE', HOUR)
    const kept = await root.run('getkey', 'PEEK', key(1), key(2), key(14))
    expect(await root.run('delowner', 'o')).toBe(2)
    expect(await root.run('getkey', 'PEEK', key(1), key(2), key(14))).toEqual(kept)
    expect(await root.run('count', 'p')).toBe(2)
    expect(await root.faults()).toEqual([])
  })
})

describe('what Redis evicted', () => {
  test('ids without record, members without id: dropped, not counted', async () => {
    const root = await owners()
    await redis.del(root.at('key', key(1)), root.at('id', id(2)), root.at('key', key(2)))
    const before = await root.state()
    expect(await root.run('delowner', 'o')).toBe(1)
    expectState(await root.state(), only(before))
  })

  test('an id whose key was issued again is dropped, the other token stays, rotated out of it or not', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.issue(2)
    await root.issue(3)
    await redis.del(root.at('key', key(1)), root.at('key', key(2)))
    await root.run('add', key(1), id(11), 'p', '{}')
    await root.run('add', key(2), id(12), 'p', '{}')
    await root.run('rotate', id(12), key(22), 'GRACE', HOUR)
    const kept = await root.run('getkey', 'PEEK', key(1), key(2), key(22))
    expect(await root.run('delowner', 'o')).toBe(1)
    expect(await root.run('getkey', 'PEEK', key(1), key(2), key(22))).toEqual(kept)
    expect(await root.faults()).toEqual([])
    expect(Object.keys(await root.state())).toHaveLength(2 + 3 + 1)
  })

  test('an id that was restored for another owner stays', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('key', key(1)))
    await root.run('add', key(2), id(1), 'p', '{}')
    await root.unchanged(() => root.run('get', id(1)))
    expect(await root.run('delowner', 'o', 'EXCEPT', id(1))).toBe(0)
    expect(await root.run('get', id(1))).toMatchObject([key(2), {}, 0])
    expect(Object.keys(await root.state())).toHaveLength(3)
    expect(await root.faults()).toEqual([])
  })
})

test('hashes stay', async () => {
  const root = new Root(redis)
  await root.run('makehash', 'o', '{"owner_id":"o"}', HOUR, 'REPLACES', 'o')
  await root.unchanged(() => root.run('delowner', 'o'))
})

test.each([['all'], ['all but one', 'EXCEPT', id(4500)]])('9,000 tokens at once: %s', async (_, ...except) => {
  const root = new Root(redis)
  await root.seed(1, 9000)
  await root.run('rotate', id(1), key(9001), 'GRACE', HOUR)
  expect(await root.run('delowner', 'o', ...except)).toBe(except.length ? 8999 : 9000)
  expect(Object.keys(await root.state())).toHaveLength(except.length ? 3 : 0)
  expect(await root.faults()).toEqual([])
})

describe('TSBADARG', () => {
  test('any other number of KEYS or arguments, and empty ones', async () => {
    const root = await owners()
    await root.refusesOtherCounts('delowner', ['o'])
    await root.refusesOtherCounts('delowner', ['o'], ['EXCEPT'])
    await root.refusesOtherCounts('delowner', ['o'], ['EXCEPT', id(1), 'surplus'])
    await root.refusesOtherCounts('delowner', ['o'], ['EXCEPT', id(1), 'EXCEPT', id(2)])
    await root.refuses('TSBADARG', 'delowner', '')
    await root.refuses('TSBADARG', 'delowner', '', 'EXCEPT', id(1))
    await root.refuses('TSBADARG', 'delowner', 'o', 'EXCEPT', '')
  })

  test.each(['except', '', 'BUT', id(1)])('%j instead of EXCEPT', async (word) =>
    (await owners()).refuses('TSBADARG', 'delowner', 'o', word, id(1))
  )
})

describe('TSRECORD', () => {
  const refuses = async (root: Root): Promise<void> => {
    await root.refuses('TSRECORD', 'delowner', 'o')
    await root.refuses('TSRECORD', 'delowner', 'o', 'EXCEPT', id(1))
    await root.refuses('TSRECORD', 'delowner', 'o', 'EXCEPT', id(2))
  }

  test.each(strayRecords(id(1), key(1)))('a record of another layout: %s', async (_, text) => {
    const root = await owners()
    await redis.set(root.at('key', key(1)), text)
    await refuses(root)
  })

  test.each(strayTypes('string'))('a %s where a record belongs', async (_, put) => {
    const root = await owners()
    await redis.del(root.at('key', key(1)))
    await put(redis, root.at('key', key(1)))
    await refuses(root)
  })

  test.each(strayTypes('string'))('a %s where an id belongs', async (_, put) => {
    const root = await owners()
    await redis.del(root.at('id', id(1)))
    await put(redis, root.at('id', id(1)))
    await refuses(root)
  })

  test.each(strayTypes('zset'))('a %s where the owner set belongs, as 0.0.4 left it', async (_, put) => {
    const root = await owners()
    await redis.del(root.at('tokens', 'o'))
    await put(redis, root.at('tokens', 'o'))
    await refuses(root)
  })
})

test('neighbours are neither read nor written, not even one with the name of the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':tokens:', '2:tokens:o']) await redis.set(root.name + name, 'a neighbour')
  const before = await root.state()
  expect(await root.run('delowner', 'o')).toBe(0)
  await root.issue(1)
  expect(await root.run('delowner', 'o')).toBe(1)
  expectState(await root.state(), before)
})
