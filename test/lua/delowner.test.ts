import { type Arg, bytes, client, closeAfterAll } from '../support'
import { ATTRS, OWNERS, strayBeginnings, strayTypes } from '../support/cases'
import { id, key, Root, type State } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

/**
 * Owner o with tokens 1 (TTL), 2 (IDLE), 3 (never ends, one key within its grace); owner p with
 * 4.
 */
async function owners(): Promise<Root> {
  const root = new Root(redis)
  await root.issue(1, 'o', '{"a":1}', 'TTL', HOUR)
  await root.issue(2, 'o', '{}', 'IDLE', 2 * HOUR)
  await root.issue(3)
  await root.run('rotate', id(3), key(13), 'GRACE', HOUR)
  await root.issue(4, 'p', '{}', 'TTL', HOUR)
  return root
}

/**
 * Of the state, the names of the tokens with these numbers, of owner p, and the old key, which
 * goes by its TTL.
 */
function only(state: State, ...numbers: number[]): State {
  const rests = [...numbers, 4].flatMap((n) => [key(n), key(n + 10), id(n)]).concat(key(3))
  return Object.fromEntries(
    Object.entries(state).filter(
      ([name]) => name.endsWith(':tokens:p') || rests.some((rest) => name.endsWith(rest))
    )
  )
}

test('revokes every token of an owner, and nothing of others', async () => {
  const root = await owners()
  const before = await root.state()
  expect(await root.run('delowner', 'o')).toBe(3)
  expect(await root.state()).toEqual(only(before))
  await root.unchanged(async () => expect(await root.run('delowner', 'o')).toBe(0))
  expect(await root.run('delowner', 'p')).toBe(1)
  expect(Object.keys(await root.state())).toEqual([`${root.name}:key:${key(3)}`])
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
    expect(await root.state()).toEqual({
      ...only(before, n),
      [`${root.name}:tokens:o`]: {
        type: 'zset',
        value: [id(n), String(end || 'inf')],
        end: end || null
      }
    })
    expect(await root.faults()).toEqual([])
    await root.unchanged(async () =>
      expect(await root.run('delowner', 'o', 'EXCEPT', id(n))).toBe(0)
    )
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
    expect(await root.state()).toEqual(only(before))
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
  await root.run('rotate', id(2), key(3))
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
  test('end with their tokens: they lead nowhere, and go when their grace is over', async () => {
    const root = new Root(redis)
    for (const n of [1, 2]) {
      await root.issue(n, 'o', '{}', 'IDLE', HOUR)
      for (const m of [10, 20, 30]) await root.run('rotate', id(n), key(n + m), 'GRACE', HOUR)
    }
    const before = await root.state()
    expect(await root.run('delowner', 'o')).toBe(2)
    const old = [1, 2, 11, 12, 21, 22].map(key)
    expect(await root.state()).toEqual(
      Object.fromEntries(old.map((k) => [`${root.name}:key:${k}`, before[`${root.name}:key:${k}`]]))
    )
    expect(await root.run('getkey', 'TOUCH', ...old)).toEqual(old.flatMap(() => [null, 0]))
    await root.later(HOUR + 1)
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
  test('members without record or id: dropped, not counted', async () => {
    const root = await owners()
    await redis.del(root.at('key', key(1)), root.at('id', id(2)), root.at('key', key(2)))
    const before = await root.state()
    expect(await root.run('delowner', 'o')).toBe(1)
    // The id that leads nowhere is left to its TTL.
    const idName = `${root.name}:id:${id(1)}`
    expect(await root.state()).toEqual({ ...only(before), [idName]: before[idName] })
  })

  test('an id whose key was issued again is dropped, the other stays, rotated or not', async () => {
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
    await redis.del(root.at('id', id(1)), root.at('id', id(2)))
    expect(await root.faults()).toEqual([])
    expect(Object.keys(await root.state())).toHaveLength(2 + 3 + 1)
  })

  test('an id that leads to another token of that owner neither counts nor ends it', async () => {
    for (const [except, revoked] of [
      [[], 1],
      [['EXCEPT', id(2)], 0]
    ] as [Arg[], number][]) {
      const root = new Root(redis)
      await root.issue(1)
      await redis.del(root.at('key', key(1)))
      await root.run('add', key(1), id(2), 'o', '{}')
      expect(await root.run('delowner', 'o', ...except)).toBe(revoked)
      expect(await redis.exists(root.at('key', key(1)))).toBe(1 - revoked)
      await redis.del(root.at('id', id(1)))
      expect(await root.faults()).toEqual([])
    }
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

describe('HASHES', () => {
  /** The owners, o and p with a hash each, o with a second by a name, and one of nobody. */
  const made = async (): Promise<Root> => {
    const root = await owners()
    await root.run('makehash', 'first', '1', HOUR, 'OWNER', 'o')
    await root.run('makehash', 'second', '2', 2 * HOUR, 'REPLACES', 'n', 'OWNER', 'o')
    await root.run('makehash', 'other', '3', HOUR, 'OWNER', 'p')
    await root.run('makehash', 'nobody', '4', HOUR)
    return root
  }
  const names = (...rests: string[]): string[] => rests.map((rest) => `hash:${rest}`)
  /** Of the state, what is left without these names. */
  const without = (root: Root, state: State, ...rests: string[]): State =>
    Object.fromEntries(
      Object.entries(state).filter(([name]) => !rests.includes(name.slice(root.name.length + 1)))
    )
  const OF_O = [...names('first', 'second'), 'hashes:o']

  test('deletes the hashes of the owner as well, and their set; others stay', async () => {
    const root = await made()
    const before = await root.state()
    expect(await root.run('delowner', 'o', 'HASHES')).toBe(3)
    const left = [1, 2, 3].flatMap((n) => [`id:${id(n)}`, `key:${key(n === 3 ? 13 : n)}`])
    expect(await root.state()).toEqual(without(root, before, ...OF_O, ...left, 'tokens:o'))
    expect(await root.faults()).toEqual([])
    await root.unchanged(async () => expect(await root.run('delowner', 'o', 'HASHES')).toBe(0))
  })

  test('counts tokens only', async () => {
    const root = new Root(redis)
    for (let n = 0; n < 3; n++) await root.run('makehash', `h${n}`, '1', HOUR, 'OWNER', 'o')
    expect(await root.run('delowner', 'o', 'HASHES')).toBe(0)
    expect(await root.state()).toEqual({})
  })

  test.each<[string, Arg[], number, number[]]>([
    ['COUNT', ['COUNT', 1], 1, [1, 2]],
    ['COUNT before it', ['COUNT', 2], 2, [1]],
    ['EXCEPT', ['EXCEPT', id(2)], 2, [2]],
    ['both', ['EXCEPT', id(2), 'COUNT', 1], 1, [1, 2]],
    ['both, the other way round', ['COUNT', 1000, 'EXCEPT', id(1)], 2, [1]],
    ['an EXCEPT that is its word', ['EXCEPT', 'HASHES'], 3, []]
  ])('with %s: of the hashes all go, wherever it stands', async (_, options, revoked, kept) => {
    for (const at of [0, 2, 4].filter((at) => at <= options.length)) {
      const root = await made()
      const before = await root.state()
      const args = [...options.slice(0, at), 'HASHES', ...options.slice(at)]
      expect(await root.run('delowner', 'o', ...args)).toBe(revoked)
      const state = await root.state()
      const family = (one: string): string[] =>
        Object.keys(state).filter((name) => name.startsWith(`${root.name}:${one}:`))
      expect(family('hash')).toEqual([`${root.name}:hash:nobody`, `${root.name}:hash:other`])
      expect(family('hashes')).toEqual([`${root.name}:hashes:p`])
      expect(family('id')).toEqual([...kept, 4].map((n) => `${root.name}:id:${id(n)}`))
      for (const name of Object.keys(state))
        if (!name.endsWith('tokens:o')) expect(state[name]).toEqual(before[name])
      expect(await root.faults()).toEqual([])
    }
  })

  test('without it hashes stay, of an owner too', async () => {
    const root = await made()
    const before = await root.state()
    for (const options of [['COUNT', 1], ['EXCEPT', id(2)], []] as Arg[][])
      await root.run('delowner', 'o', ...options)
    expect(await root.state()).toMatchObject(
      Object.fromEntries([...OF_O, 'hashes:p'].map((rest) => [`${root.name}:${rest}`, {}]))
    )
    expect((await root.state())[`${root.name}:hashes:o`]).toEqual(before[`${root.name}:hashes:o`])
  })

  test('a hash goes whenever it ends: a slot that moves takes what is left of a TTL along', async () => {
    for (const ms of [HOUR / 2, 5 * HOUR]) {
      const root = await made()
      await redis.pexpire(root.at('hash', 'first'), ms)
      await root.run('delowner', 'o', 'HASHES')
      expect(await root.run('gethash', 'first')).toBeNull()
    }
  })

  test('what was taken, has expired or Redis evicted is nothing to it', async () => {
    const root = await made()
    await root.run('makehash', 'third', '1', 3 * HOUR, 'OWNER', 'o')
    await root.run('makehash', 'fourth', '1', 3 * HOUR, 'OWNER', 'o')
    await root.run('takehash', 'second')
    await redis.del(root.at('hash', 'third'))
    await root.later(HOUR + 1)
    expect(await root.run('delowner', 'o', 'HASHES')).toBe(2)
    expect(Object.keys(await root.state())).toEqual([`${root.name}:latest:n`])
  })

  test('another type in place of a hash goes like any', async () => {
    for (const [, put] of strayTypes('string')) {
      const root = await made()
      await redis.del(root.at('hash', 'first'))
      await put(redis, root.at('hash', 'first'))
      expect(await root.run('delowner', 'o', 'HASHES')).toBe(3)
      expect(await redis.exists(root.at('hash', 'first'), root.at('hash', 'second'))).toBe(0)
    }
  })

  test.each(strayTypes('zset'))(
    'WRONGTYPE: a %s where the set of hashes belongs',
    async (_, put) => {
      const root = await owners()
      await put(redis, root.at('hashes', 'o'))
      await root.refuses('WRONGTYPE', 'delowner', 'o', 'HASHES')
      await root.refuses('WRONGTYPE', 'delowner', 'o', 'COUNT', 1, 'HASHES')
      expect(await root.run('delowner', 'o')).toBe(3)
    }
  )

  test('WRONGTYPE: another type where the set of tokens belongs: hashes stay', async () => {
    for (const [, put] of strayTypes('zset')) {
      const root = await made()
      await redis.del(root.at('tokens', 'o'))
      await put(redis, root.at('tokens', 'o'))
      await root.refuses('WRONGTYPE', 'delowner', 'o', 'HASHES')
    }
  })

  test('owners of any bytes: each deletes its own', async () => {
    const root = new Root(redis)
    for (const [i, [, owner]] of OWNERS.entries())
      await root.run('makehash', `h${i}`, '1', HOUR, 'OWNER', owner)
    for (const [i, [, owner]] of OWNERS.entries()) {
      expect(await root.run('delowner', owner, 'HASHES')).toBe(0)
      expect(Object.keys(await root.state())).toHaveLength(2 * (OWNERS.length - i - 1))
    }
  })

  test('9,000 of them at once', async () => {
    const root = new Root(redis)
    const end = (await root.now()) + HOUR
    const pipe = redis.pipeline()
    for (let n = 0; n < 9000; n++) {
      pipe.set(root.at('hash', `h${n}`), '1', 'PXAT', end)
      pipe.zadd(root.at('hashes', 'o'), end, `h${n}`)
    }
    await pipe.exec()
    expect(await root.run('delowner', 'o', 'HASHES')).toBe(0)
    expect(await root.state()).toEqual({})
  })
})

test.each([['all'], ['all but one', 'EXCEPT', id(4500)]])(
  '9,000 tokens at once: %s',
  async (_, ...except) => {
    const root = new Root(redis)
    await root.seed(1, 9000)
    expect(await root.run('delowner', 'o', ...except)).toBe(except.length ? 8999 : 9000)
    expect(Object.keys(await root.state())).toHaveLength(except.length ? 3 : 0)
    expect(await root.faults()).toEqual([])
  }
)

describe('COUNT', () => {
  /**
   * Owner o with tokens 1, 2, 3, which end one after the other, then 5 and 6, which never do;
   * owner p with 4.
   */
  const five = async (): Promise<Root> => {
    const root = new Root(redis)
    for (const n of [1, 2, 3]) await root.issue(n, 'o', '{}', 'TTL', n * HOUR)
    for (const n of [5, 6]) await root.issue(n)
    await root.issue(4, 'p')
    return root
  }
  const left = (root: Root): Promise<string[]> => redis.zrange(root.at('tokens', 'o'), '0', '-1')

  /** Calls until fewer than `count` were revoked, and answers how many each call did. */
  const walk = async (root: Root, count: number, ...except: Arg[]): Promise<number[]> => {
    const revoked: number[] = []
    do {
      revoked.push((await root.run('delowner', 'o', 'COUNT', count, ...except)) as number)
      expect(await root.faults()).toEqual([])
    } while (revoked.at(-1) === count)
    return revoked
  }

  test('revokes at most so many, those that would expire last first; none by half', async () => {
    const root = await five()
    const before = await root.state()
    const others = [`id:${id(4)}`, `key:${key(4)}`, 'tokens:p']
    const members = before[`${root.name}:tokens:o`]!.value as string[]
    const only = (...rests: string[]): State =>
      Object.fromEntries(
        rests.map((rest) => [`${root.name}:${rest}`, before[`${root.name}:${rest}`]!])
      )
    for (const kept of [[1, 2, 3], [1]]) {
      expect(await root.run('delowner', 'o', 'COUNT', 2)).toBe(2)
      const value = members.slice(0, 2 * kept.length)
      expect(await root.state()).toEqual({
        ...only(...others, ...kept.flatMap((n) => [`id:${id(n)}`, `key:${key(n)}`])),
        [`${root.name}:tokens:o`]: { type: 'zset', value, end: Number(value.at(-1)) }
      })
    }
    expect(await root.run('delowner', 'o', 'COUNT', 2)).toBe(1)
    expect(await root.state()).toEqual(only(...others))
    await root.unchanged(async () => expect(await root.run('delowner', 'o', 'COUNT', 2)).toBe(0))
  })

  test.each<[number, number[]]>([
    [1, [1, 1, 1, 1, 1, 0]],
    [2, [2, 2, 1]],
    [4, [4, 1]],
    [5, [5, 0]],
    [6, [5]],
    [1000, [5]]
  ])('%d: fewer than that means that none is left', async (count, revoked) => {
    const root = await five()
    expect(await walk(root, count)).toEqual(revoked)
    expect(await left(root)).toEqual([])
    expect(await root.run('count', 'p')).toBe(1)
  })

  test.each([1, 3, 5, 6])('with EXCEPT %d, in either order, that one is left', async (n) => {
    for (const count of [1, 2, 3, 4, 5, 1000]) {
      const root = await five()
      const kept = await root.run('get', id(n))
      const revoked = await walk(root, count, 'EXCEPT', id(n))
      expect(revoked).toEqual([
        ...Array.from({ length: Math.floor(4 / count) }, () => count),
        4 % count
      ])
      expect(await root.run('list', 'o')).toEqual(['', ...(kept as unknown[])])
      expect(await root.run('delowner', 'o', 'EXCEPT', id(n), 'COUNT', count)).toBe(0)
      expect(await left(root)).toEqual([id(n)])
    }
  })

  test('expired members are none', async () => {
    const root = await five()
    await root.later(2 * HOUR + 1)
    expect(await walk(root, 2)).toEqual([2, 1])
    expect(await root.run('list', 'o')).toEqual([''])
  })

  test.each([[[6]], [[5, 6]], [[3, 5, 6]], [[2, 5]], [[1, 2]]])(
    'members %j whose record Redis evicted are none, wherever they stand',
    async (lost) => {
      for (const count of [1, 2, 3]) {
        const root = await five()
        for (const n of lost) await redis.del(root.at('key', key(n)))
        const revoked: number[] = []
        do {
          revoked.push((await root.run('delowner', 'o', 'COUNT', count)) as number)
        } while (revoked.at(-1) === count)
        expect(revoked.reduce((sum, n) => sum + n)).toBe(5 - lost.length)
        expect((await left(root)).filter((one) => !lost.map(id).includes(one))).toEqual([])
        expect(await root.run('list', 'o')).toEqual([''])
      }
    }
  )

  test("a member that is another's by now is none", async () => {
    const root = await five()
    await redis.del(root.at('key', key(6)))
    await root.run('add', key(16), id(6), 'p', '{}')
    expect(await walk(root, 1)).toEqual([1, 1, 1, 1, 0])
    expect(await root.run('get', id(6))).toMatchObject([key(16), {}, 0])
    expect(await left(root)).toEqual([])
  })

  test('9,000 tokens, page by page', async () => {
    const root = new Root(redis)
    await root.seed(1, 9000)
    for (let n = 0; n < 9; n++) expect(await root.run('delowner', 'o', 'COUNT', 1000)).toBe(1000)
    expect(await root.run('delowner', 'o', 'COUNT', 1000)).toBe(0)
    expect(await root.state()).toEqual({})
  })
})

describe('TSBADARG', () => {
  test('any other number of KEYS or arguments, and empty ones', async () => {
    const root = await owners()
    await root.refusesOtherCounts('delowner', ['o'])
    await root.refusesOtherCounts('delowner', ['o'], ['EXCEPT'])
    await root.refusesOtherCounts('delowner', ['o'], ['EXCEPT', id(1), 'surplus'])
    await root.refusesOtherCounts('delowner', ['o'], ['EXCEPT', id(1), 'EXCEPT', id(2)])
    await root.refusesOtherCounts('delowner', ['o'], ['COUNT'])
    await root.refusesOtherCounts('delowner', ['o'], ['COUNT', 5, 'EXCEPT'])
    await root.refusesOtherCounts('delowner', ['o'], ['COUNT', 5, 'COUNT', 5])
    await root.refusesOtherCounts('delowner', ['o'], ['COUNT', 5, 'EXCEPT', id(1), 'surplus'])
    for (const surplus of [
      ['HASHES', 'surplus'],
      ['HASHES', ''],
      ['HASHES', 'HASHES'],
      ['HASHES', 'EXCEPT', id(1), 'HASHES'],
      ['HASHES', 'COUNT'],
      ['COUNT', 'HASHES'],
      ['HASHES', 5]
    ]) {
      await root.refusesOtherCounts('delowner', ['o'], surplus)
    }
    await root.refuses('TSBADARG', 'delowner', '')
    await root.refuses('TSBADARG', 'delowner', '', 'EXCEPT', id(1))
    await root.refuses('TSBADARG', 'delowner', 'o', 'EXCEPT', '')
  })

  test.each(['except', 'count', 'hashes', '', 'BUT', id(1)])('an unknown option %j', async (word) =>
    (await owners()).refuses('TSBADARG', 'delowner', 'o', word, 5)
  )

  test.each([
    '',
    '0',
    '00',
    '01',
    '-1',
    '+1',
    '1.5',
    '1e2',
    ' 1',
    '1\n',
    'x',
    'inf',
    '1001',
    '99999999999999999999'
  ])('COUNT %j', async (bad) => {
    const root = await owners()
    await root.refuses('TSBADARG', 'delowner', 'o', 'COUNT', bad)
    await root.refuses('TSBADARG', 'delowner', 'o', 'EXCEPT', id(1), 'COUNT', bad)
  })
})

describe('what is not of this layout', () => {
  /** Something else lies under the key or the id of token 1: that stays, the member goes. */
  const leaves = async (root: Root): Promise<void> => {
    const before = await root.state()
    expect(await root.run('delowner', 'o', 'EXCEPT', id(1))).toBe(2)
    expect(await root.state()).toEqual(only(before, 1))
  }

  test.each(strayBeginnings(id(1), key(1)))(
    'a foreign record stays, its member leaves: %s',
    async (_, text) => {
      const root = await owners()
      await redis.set(root.at('key', key(1)), text)
      await leaves(root)
    }
  )

  test.each(strayTypes('string'))(
    'a %s where a record or an id belongs: the same',
    async (_, put) => {
      for (const name of [`key:${key(1)}`, `id:${id(1)}`]) {
        const root = await owners()
        const [family, rest] = name.split(':') as [string, string]
        await redis.del(root.at(family, rest))
        await put(redis, root.at(family, rest))
        await leaves(root)
      }
    }
  )

  test.each(strayTypes('zset'))(
    'WRONGTYPE: a %s where the owner set belongs, as 0.0.4 left it',
    async (_, put) => {
      const root = await owners()
      await redis.del(root.at('tokens', 'o'))
      await put(redis, root.at('tokens', 'o'))
      await root.refuses('WRONGTYPE', 'delowner', 'o')
      await root.refuses('WRONGTYPE', 'delowner', 'o', 'EXCEPT', id(1))
      await root.refuses('WRONGTYPE', 'delowner', 'o', 'COUNT', 1)
    }
  )
})

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':tokens:', '2:tokens:o'])
    await redis.set(root.name + name, 'a neighbour')
  const before = await root.state()
  expect(await root.run('delowner', 'o')).toBe(0)
  await root.issue(1)
  expect(await root.run('delowner', 'o')).toBe(1)
  expect(await root.state()).toEqual(before)
})
