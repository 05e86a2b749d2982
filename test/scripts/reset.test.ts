import { client, closeAfterAll } from '../support'
import { ATTRS, HASHES, NOT_JSON, OWNERS, strayRecords, strayTypes, VALUES } from './cases'
import { type Arg, bytes, expectState, id, key, Root, type State } from './root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

/** Two owners, o with 1 (never ends), 2 (TTL) and 3 (IDLE, one key within its grace), p with 4; two hashes. */
async function filled(): Promise<Root> {
  const root = new Root(redis)
  await root.issue(1, 'o', '{"a":1}')
  await root.issue(2, 'o', '{}', 'TTL', HOUR)
  await root.issue(3, 'o', '{}', 'IDLE', 2 * HOUR)
  await root.run('rotate', id(3), key(13), 'GRACE', HOUR)
  await root.issue(4, 'p')
  await root.run('makehash', 'abc', '{"a":1}', HOUR)
  await root.run('makehash', 'def', '"text"', HOUR, 'REPLACES', 'n')
  return root
}

/** The names under a root, as SCAN tells them, without the root. */
const rests = async (root: Root): Promise<Buffer[]> =>
  Object.keys(await root.state())
    .filter((name) => name.startsWith(`${root.name}:`))
    .map((name) => Buffer.from(name.slice(root.name.length + 1), 'latin1'))

/** The state without the tokens of these numbers; the set of o ends at `end`, or is gone. */
function without(state: State, root: Root, numbers: number[], end?: number | null): State {
  const gone = numbers.flatMap((n) => [`:id:${id(n)}`, `:key:${key(n)}`, `:key:${key(n + 10)}`])
  const rest = Object.fromEntries(
    Object.entries(state).filter(([name]) => !gone.includes(name.slice(root.name.length)))
  )
  const name = `${root.name}:tokens:o`
  const members = [...(state[name]!.value as string[])]
  for (const n of numbers) if (members.includes(id(n))) members.splice(members.indexOf(id(n)), 2)
  if (members.length === 0) delete rest[name]
  else rest[name] = { type: 'zset', value: members, end: end! }
  return rest
}

test('all names at once: everything goes, each token and hash is counted once', async () => {
  const root = await filled()
  expect(await root.run('reset', ...(await rests(root)))).toEqual([4, 2, 0])
  expect(await root.state()).toEqual({})
})

test('all names in any order, one by one, some twice: the same, and each token whole at every step', async () => {
  for (const turn of [0, 3, 5, 8, 11]) {
    const root = await filled()
    const names = await rests(root)
    const order = [...names.slice(turn), ...names.slice(0, turn)].reverse()
    const sum = [0, 0]
    for (const name of [...order, ...order]) {
      const [tokens, hashes, left] = (await root.run('reset', name)) as [number, number, number]
      sum[0]! += tokens
      sum[1]! += hashes
      expect(left).toBe(0)
      expect(await root.faults()).toEqual([])
    }
    expect(sum).toEqual([4, 2])
    expect(await root.state()).toEqual({})
  }
})

describe('a token goes whole, by any of its names', () => {
  test.each<[string, string, number, (ends: number[]) => number | null]>([
    ['id', `id:${id(1)}`, 1, (ends) => ends[2]!],
    ['key', `key:${key(1)}`, 1, (ends) => ends[2]!],
    ['id, with TTL', `id:${id(2)}`, 2, () => null],
    ['key, with TTL', `key:${key(2)}`, 2, () => null],
    ['id, rotated', `id:${id(3)}`, 3, () => null],
    ['key, rotated', `key:${key(13)}`, 3, () => null],
    ['key within its grace', `key:${key(3)}`, 3, () => null]
  ])("%s; the owner's set ends with its last", async (_, name, n, last) => {
    const root = await filled()
    const ends: number[] = []
    for (const n of [1, 2, 3]) ends.push(((await root.run('get', id(n))) as [string, string, number])[2])
    const before = await root.state()
    expect(await root.run('reset', name)).toEqual([1, 0, 0])
    expectState(await root.state(), without(before, root, [n], last(ends)))
    await root.unchanged(async () => expect(await root.run('reset', name)).toEqual([0, 0, 0]))
  })

  test("the owner's set takes all its tokens with it", async () => {
    const root = await filled()
    const before = await root.state()
    expect(await root.run('reset', 'tokens:o')).toEqual([3, 0, 0])
    expectState(await root.state(), without(before, root, [1, 2, 3]))
  })

  test('but one that ended, and was issued again to another owner', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.issue(2, 'o', '{}', 'TTL', HOUR)
    await root.later(HOUR + 1)
    const again = await root.issue(2, 'p')
    expect(await root.run('reset', 'tokens:o')).toEqual([1, 0, 0])
    expect(await root.run('list', 'p')).toEqual(['', again.key, again.record, 0])
    expect(Object.keys(await root.state())).toEqual(
      [`id:${id(2)}`, `key:${key(2)}`, 'tokens:p'].map((rest) => `${root.name}:${rest}`)
    )
  })

  test('several names of one token, and of several', async () => {
    const root = await filled()
    const before = await root.state()
    const names = [`id:${id(3)}`, `key:${key(13)}`, `key:${key(3)}`, `key:${key(1)}`, `id:${id(3)}`]
    const [, , end] = (await root.run('get', id(2))) as [string, string, number]
    expect(await root.run('reset', ...names)).toEqual([2, 0, 0])
    expectState(await root.state(), without(before, root, [1, 3], end))
  })

  test.each(ATTRS)('attrs are never parsed: %s', async (_, attrs) => {
    const root = new Root(redis)
    await root.issue(1, 'o', attrs)
    await root.issue(2, 'o', attrs, 'TTL', 2 * HOUR, 'IDLE', HOUR)
    await root.run('rotate', id(2), key(3), 'GRACE', HOUR)
    expect(await root.run('reset', `key:${key(1)}`, `key:${key(3)}`)).toEqual([2, 0, 0])
    expect(await root.state()).toEqual({})
  })

  test('owners of any bytes, by key and by set', async () => {
    const root = new Root(redis)
    for (const [i, [, owner]] of OWNERS.entries()) await root.issue(i, owner)
    for (const [i, [, owner]] of OWNERS.entries()) {
      const name = i % 2 ? `key:${key(i)}` : Buffer.concat([Buffer.from('tokens:'), Buffer.from(owner as string)])
      expect(await root.run('reset', name)).toEqual([1, 0, 0])
      expect(Object.keys(await root.state())).toHaveLength(3 * (OWNERS.length - i - 1))
    }
  })
})

test.each(VALUES)('a hash goes with any value: %s', async (_, value) => {
  const root = new Root(redis)
  await root.run('makehash', 'abc', value, HOUR)
  expect(await root.run('reset', 'hash:abc')).toEqual([0, 1, 0])
  expect(await root.state()).toEqual({})
})

test.each(HASHES)('a hash of %s, and a name of REPLACES', async (_, hash) => {
  const root = new Root(redis)
  await root.run('makehash', hash, '1', HOUR, 'REPLACES', hash)
  const name = (family: string): Buffer => Buffer.concat([Buffer.from(`${family}:`), Buffer.from(hash as string)])
  expect(await root.run('reset', name('latest'))).toEqual([0, 0, 0])
  expect(Object.keys(await root.state())).toEqual([bytes(root.at('hash', hash))])
  expect(await root.run('reset', name('hash'))).toEqual([0, 1, 0])
  expect(await root.state()).toEqual({})
})

describe('large owners', () => {
  test('300 members go at a time, the rest is told; each step leaves whole tokens', async () => {
    const root = new Root(redis)
    await root.seed(1, 750)
    const replies: unknown[] = []
    do {
      replies.push(await root.run('reset', 'hash:none', 'tokens:o'))
      expect(await root.faults()).toEqual([])
    } while ((replies.at(-1) as number[])[2]! > 0)
    expect(replies).toEqual([
      [300, 0, 450],
      [300, 0, 150],
      [150, 0, 0]
    ])
    expect(await root.state()).toEqual({})
  })

  test('300 members of all owner sets named, with keys within their grace among them', async () => {
    const root = new Root(redis)
    await root.seed(1, 200, 'o')
    await root.seed(201, 305, 'p')
    for (const n of [1, 150, 210, 220, 230, 240, 250, 260, 304]) {
      await root.run('rotate', id(n), `newer-${n}`, 'GRACE', HOUR)
    }
    expect(await root.run('reset', 'tokens:o', 'tokens:p')).toEqual([300, 0, 5])
    expect(await root.faults()).toEqual([])
    expect(await root.run('reset', 'tokens:o', 'tokens:p')).toEqual([5, 0, 0])
    expect(await root.state()).toEqual({})
  })

  test('9,000 tokens, 1,000 names a call', async () => {
    const root = new Root(redis)
    await root.seed(1, 9000)
    const names = await rests(root)
    let tokens = 0
    for (let i = 0; i < names.length; i += 1000) {
      for (let left = 1; left > 0;) {
        const reply = (await root.run('reset', ...names.slice(i, i + 1000))) as [number, number, number]
        tokens += reply[0]
        left = reply[2]
      }
    }
    expect(tokens).toBe(9000)
    expect(await root.state()).toEqual({})
  })
})

describe('what Redis evicted', () => {
  test.each<[string, (root: Root) => Promise<unknown>, number]>([
    ['the record', (root) => redis.del(root.at('key', key(1))), 0],
    ['the id', (root) => redis.del(root.at('id', id(1))), 1],
    ["the owner's set", (root) => redis.del(root.at('tokens', 'o')), 1]
  ])('%s: what is left of the token goes', async (_, evict, tokens) => {
    for (const reverse of [false, true]) {
      const root = new Root(redis)
      await root.issue(1)
      await evict(root)
      const names = await rests(root)
      expect(await root.run('reset', ...(reverse ? names.reverse() : names))).toEqual([tokens, 0, 0])
      expect(await root.state()).toEqual({})
    }
  })

  test('a key within its grace whose token is gone', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
    await redis.del(root.at('key', key(2)), root.at('id', id(1)))
    expect(await root.run('reset', `key:${key(1)}`, 'tokens:o')).toEqual([0, 0, 0])
    expect(await root.state()).toEqual({})
  })

  test.each([
    ['not rotated', false],
    ['rotated out of it', true]
  ])('an id whose key was issued again goes by its own name, the other token by its own: %s', async (_, rotated) => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('key', key(1)))
    await root.run('add', key(1), id(2), 'p', '{}')
    if (rotated) await root.run('rotate', id(2), key(3), 'GRACE', HOUR)
    const before = await root.state()
    expect(await root.run('reset', `id:${id(1)}`)).toEqual([0, 0, 0])
    delete before[`${root.name}:id:${id(1)}`]
    expectState(await root.state(), before)
  })

  test('the same, all names at once in any order', async () => {
    for (const reverse of [false, true]) {
      const root = new Root(redis)
      await root.issue(1)
      await redis.del(root.at('key', key(1)))
      await root.run('add', key(1), id(2), 'p', '{}')
      const names = await rests(root)
      expect(await root.run('reset', ...(reverse ? names.reverse() : names))).toEqual([1, 0, 0])
      expect(await root.state()).toEqual({})
    }
  })

  test('an id that was restored under another key since is not torn from it', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('id', id(1)))
    await root.run('add', key(2), id(1), 'o', '{}')
    const before = await root.state()
    expect(await root.run('reset', `key:${key(1)}`)).toEqual([1, 0, 0])
    delete before[`${root.name}:key:${key(1)}`]
    expectState(await root.state(), before)
  })

  test.each<[string, number, (root: Root) => Promise<unknown>]>([
    ['after its grace', 1000, (root) => root.later(1001)],
    ['after Redis evicted it', HOUR, (root) => redis.del(root.at('key', key(1)))]
  ])('a key that came free and is another token by now stays: %s', async (_, grace, end) => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(11), 'GRACE', grace)
    await end(root)
    await root.run('add', key(1), id(2), 'p', '{}')
    await root.run('rotate', id(2), key(12), 'GRACE', HOUR)
    expect(await root.run('reset', `id:${id(1)}`)).toEqual([1, 0, 0])
    expect(await root.run('getkey', 'PEEK', key(1), key(12), key(11))).toMatchObject([{}, 0, {}, 0, null, 0])
    expect(await root.faults()).toEqual([])
  })
})

test('names that are not there, or no names of the store: nothing happens', async () => {
  const root = await filled()
  const names: Arg[] = [`id:${id(9)}`, `key:${key(9)}`, 'tokens:x', 'hash:x', 'latest:x']
  const others = ['', ':', 'key', 'key:', 'id:', 'tokens:', 'hash:', 'latest:', 'KEY:x', 'other:x', `x:id:${id(1)}`]
  const globs = ['*', 'key:*', 'tokens:*', 'id:?', `${root.name}:id:${id(1)}`, Buffer.from([0, 0xff])]
  await root.unchanged(async () => {
    expect(await root.run('reset', ...names, ...others, ...globs)).toEqual([0, 0, 0])
  })
})

describe('TSBADARG', () => {
  test('no name, more than 1,000, and any other number of KEYS', async () => {
    const root = await filled()
    await root.refusesOtherCounts('reset', [`id:${id(1)}`], [])
    await root.refuses('TSBADARG', 'reset', ...Array.from({ length: 1001 }, () => `id:${id(1)}`))
    expect(await root.run('reset', ...Array.from({ length: 1000 }, () => `id:${id(1)}`))).toEqual([1, 0, 0])
  })
})

describe('what is not of this layout stays, and all the rest goes', () => {
  /** The stray is given before, between and after the names of what must go. */
  const stays = async (root: Root, stray: State, ...names: string[]): Promise<void> => {
    await root.issue(50, 'q', '{}', 'TTL', HOUR)
    await root.run('makehash', 'ghi', '1', HOUR)
    const all = [...names, `key:${key(50)}`, ...names, 'hash:ghi', ...names]
    expect(await root.run('reset', ...all)).toEqual([1, 1, 0])
    expectState(await root.state(), stray)
  }

  test.each(strayRecords(id(1), key(1)))('a record of another layout: %s', async (_, text) => {
    const root = new Root(redis)
    await redis.set(root.at('key', key(1)), text)
    await redis.sadd(root.at('tokens', 'o'), key(1))
    await redis.set(root.at('id', id(1)), key(1))
    await stays(root, await root.state(), `key:${key(1)}`, `id:${id(1)}`, 'tokens:o')
  })

  test.each(strayTypes('string'))('a %s under the name of a key, an id, a hash, a name of REPLACES', async (_, put) => {
    const root = new Root(redis)
    for (const family of ['key', 'id', 'hash', 'latest']) await put(redis, root.at(family, 'x'))
    await redis.set(root.at('id', id(1)), 'x')
    await stays(root, await root.state(), 'key:x', 'id:x', 'hash:x', 'latest:x', `id:${id(1)}`)
  })

  test.each(strayTypes('zset'))('a %s where an owner set belongs, as 0.0.4 left it', async (_, put) => {
    const root = new Root(redis)
    await put(redis, root.at('tokens', 'o'))
    await stays(root, await root.state(), 'tokens:o')
  })

  test.each(NOT_JSON)('a text %j where a value belongs', async (text) => {
    const root = new Root(redis)
    await redis.set(root.at('hash', 'abc'), text)
    await stays(root, await root.state(), 'hash:abc')
  })
})

test('neighbours are neither read nor written, not even one with the name of the root', async () => {
  const root = await filled()
  const names = await rests(root)
  const neighbours: State = {}
  for (const rest of ['', ':', ':key:', '2', '2:key:x', `2:id:${id(1)}`, 'X:tokens:o', '*']) {
    await redis.set(root.name + rest, 'a neighbour')
    neighbours[root.name + rest] = { type: 'string', value: 'a neighbour', end: null }
  }
  expect(await root.run('reset', ...names)).toEqual([4, 2, 0])
  expectState(await root.state(), neighbours)
})
