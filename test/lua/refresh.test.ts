import { type Arg, bytes, client, closeAfterAll, type Entry, until } from '../support'
import { ATTRS, OWNERS, strayRecords, strayTypes } from '../support/cases'
import { id, key, Root, type State } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000
const DAY = 24 * HOUR

const LIFETIMES: [string, Arg[]][] = [
  ['without a lifetime', []],
  ['with TTL', ['TTL', 2 * HOUR]],
  ['with IDLE', ['IDLE', 2 * HOUR]],
  ['with both', ['TTL', 9 * HOUR, 'IDLE', 2 * HOUR]],
  ['with both, TTL being shorter', ['TTL', 2 * HOUR, 'IDLE', 9 * HOUR]]
]

interface Watch {
  GRACE?: number
  DETECT?: number
}
const WATCHES: Watch[] = [
  {},
  { GRACE: HOUR / 2 },
  { GRACE: 20 * HOUR },
  { DETECT: HOUR / 2 },
  { DETECT: DAY },
  { GRACE: HOUR / 2, DETECT: DAY },
  { DETECT: DAY, GRACE: 20 * HOUR },
  { GRACE: 9999999999998, DETECT: 9999999999999 }
]
const argsOf = (watch: Watch): Arg[] => Object.entries(watch).flat() as Arg[]

const triple = (root: Root, n: number): Promise<[string, string, number]> =>
  root.run('get', id(n)) as Promise<[string, string, number]>
const opened = async (root: Root, ...keys: Arg[]): Promise<boolean[]> => {
  const reply = (await root.run('getkey', 'PEEK', ...keys)) as unknown[]
  return keys.map((_, i) => reply[2 * i] !== null)
}
/** Of the state, what is left without these names. */
const without = (root: Root, state: State, ...rests: string[]): State =>
  Object.fromEntries(
    Object.entries(state).filter(([name]) => !rests.includes(name.slice(root.name.length + 1)))
  )

/** When the token of a record ends that is used at `now`, or else at `end`; 0 is never. */
function endOfUse(record: string, end: number, now: number): number {
  const { ends_at = Infinity, idle } = JSON.parse(record) as { ends_at?: number; idle?: number }
  return idle === undefined ? end : Math.min(now + idle, ends_at)
}

/** What its old key holds from then on. */
function oldKey(record: string, { GRACE, DETECT }: Watch, now: number): Entry | undefined {
  const { id, ends_at = Infinity } = JSON.parse(record) as { id: string; ends_at?: number }
  if (GRACE === undefined && DETECT === undefined) return undefined
  const till = GRACE === undefined ? 0 : now + GRACE
  const end = DETECT === undefined ? till : Math.min(now + DETECT, ends_at)
  return { type: 'string', value: `${id} ${till}`, end }
}

/** The set of owner o, to which token 9 belongs too, which never ends. */
const setOf = (n: number, end: number): Entry => ({
  type: 'zset',
  value: end ? [id(n), String(end), id(9), 'inf'] : [id(n), 'inf', id(9), 'inf'],
  end: null
})

describe.each(LIFETIMES)('a token %s', (_, options) => {
  /** Token 1, last used an hour ago. */
  const issued = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(9)
    await root.issue(1, 'o', '{"a":1}', ...options)
    await root.later(HOUR)
    return root
  }
  /** Token 1 rotated from key 1 to 2 and from that to 3. */
  const rotated = async (watch: Watch): Promise<Root> => {
    const root = await issued()
    for (const n of [1, 2]) await root.run('refresh', key(n), key(n + 1), ...argsOf(watch))
    return root
  }

  /** The state after a refresh to `fresh` of a token whose key was `current`. */
  const after = (
    root: Root,
    before: State,
    current: number,
    fresh: number,
    watch: Watch,
    now: number
  ): [unknown, State] => {
    const name = `${root.name}:key:${key(current)}`
    const { value: record, end: was } = before[name]! as { value: string; end: number | null }
    const end = endOfUse(record, was ?? 0, now)
    const state: State = {
      ...before,
      [`${root.name}:key:${key(fresh)}`]: { type: 'string', value: record, end: end || null },
      [`${root.name}:id:${id(1)}`]: { type: 'string', value: key(fresh), end: end || null },
      [`${root.name}:tokens:o`]: setOf(1, end)
    }
    delete state[name]
    const old = oldKey(record, watch, now)
    if (old) state[name] = old
    return [[key(fresh), record, end], state]
  }

  test.each(WATCHES)('its key rotates, and that is a use of it: %j', async (watch) => {
    const root = await issued()
    const before = await root.state()
    await root.becomes(
      () => root.run('refresh', key(1), key(2), ...argsOf(watch)),
      (now) => after(root, before, 1, 2, watch, now)
    )
    expect(await opened(root, key(2))).toEqual([true])
    expect(await root.faults()).toEqual([])
  })

  test.each(WATCHES.filter(({ GRACE }) => GRACE))(
    'a key within its grace rotates it again, whatever became of it: %j',
    async (watch) => {
      for (const old of [1, 2]) {
        const root = await rotated(watch)
        const before = await root.state()
        await root.becomes(
          () => root.run('refresh', key(old), key(4), ...argsOf(watch)),
          (now) => after(root, before, 3, 4, watch, now)
        )
        expect(await opened(root, ...[1, 2, 3, 4].map(key))).toEqual([true, true, true, true])
        expect(await root.faults()).toEqual([])
      }
    }
  )

  test('one that rotate left within its grace rotates it as well', async () => {
    const root = await issued()
    await root.run('rotate', id(1), key(2), 'GRACE', HOUR)
    const before = await root.state()
    await root.becomes(
      () => root.run('refresh', key(1), key(3)),
      (now) => after(root, before, 2, 3, {}, now)
    )
    expect(await opened(root, ...[1, 2, 3].map(key))).toEqual([true, false, true])
  })

  test.each<Watch>([{ DETECT: DAY }, { GRACE: 1000, DETECT: DAY }])(
    'a key past its grace revokes it, in the same step: %j',
    async (watch) => {
      // Whatever new key is asked for: one that is free, or one in use.
      for (const [old, fresh] of [
        [1, 4],
        [2, 4],
        [1, 9],
        [2, 2]
      ] as const) {
        const root = await rotated(watch)
        await root.later(1001)
        const before = await root.state()
        const reply = await root.run('refresh', key(old), key(fresh), ...argsOf(watch))
        expect(reply).toEqual([id(1), 'o'])
        const gone = [`key:${key(old)}`, `key:${key(3)}`, `id:${id(1)}`]
        expect(await root.state()).toEqual({
          ...without(root, before, ...gone),
          [`${root.name}:tokens:o`]: { type: 'zset', value: [id(9), 'inf'], end: null }
        })
        expect(await opened(root, ...[1, 2, 3, 9].map(key))).toEqual([false, false, false, true])
        expect(await root.faults()).toEqual([])
        // Neither this key nor another tells of it again.
        await root.unchanged(async () => {
          for (const n of [1, 2, 3]) expect(await root.run('refresh', key(n), key(4))).toBeNull()
        })
      }
    }
  )

  test('200 refreshes leave the record as it was, to the byte', async () => {
    const root = await issued()
    const [, record] = await triple(root, 1)
    await root.run('rotate', id(1), key(100))
    for (let n = 100; n < 300; n++) {
      const watch = ['GRACE', HOUR, 'DETECT', 2 * HOUR]
      expect(await root.run('refresh', key(n), key(n + 1), ...watch)).toEqual([
        ...[key(n + 1), record, expect.any(Number)]
      ])
    }
    expect(Object.keys(await root.state())).toHaveLength(3 + 2 + 200)
    expect(await root.faults()).toEqual([])
  })
})

describe('a use', () => {
  test('moves the end at once, however small the move, and the set of the owner', async () => {
    const root = new Root(redis)
    const { expires_at } = await root.issue(1, 'o', '{}', 'IDLE', HOUR, 'EVERY', HOUR)
    await root.issue(2, 'o', '{}', 'TTL', HOUR / 2)
    await root.later(5)
    const [, , end] = (await root.run('refresh', key(1), key(3))) as number[]
    expect(end).toBeGreaterThanOrEqual(expires_at)
    expect((await root.state())[`${root.name}:tokens:o`]!.end).toBe(end)
    expect(await root.faults()).toEqual([])
  })

  test('never shortens a life', async () => {
    const root = new Root(redis)
    const { expires_at } = await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    // As if the clock had been ahead when it was used last.
    await root.later(-HOUR)
    const [, , end] = (await root.run('refresh', key(1), key(2))) as number[]
    expect(end).toBe(expires_at + HOUR)
    expect(await root.run('get', id(1))).toEqual([key(2), expect.any(String), end])
  })
})

describe('the edge of a grace', () => {
  /** Token 1, rotated from key 1 to 2 with a grace that ends in that millisecond; token 3. */
  const till =
    (root: Root, earlier = 0) =>
    async (ms: number): Promise<void> => {
      await root.issue(1, 'o', '{}', 'TTL', HOUR).catch(() => {})
      await root.run('refresh', key(1), key(2), 'DETECT', HOUR)
      await redis.set(root.at('key', key(1)), `${id(1)} ${ms - earlier}`, 'KEEPTTL')
    }

  test('in its last millisecond the key is good, in the next it is reuse', async () => {
    const root = new Root(redis)
    await root.issue(3)
    const args = [key(1), key(3)] // in use, so that nothing is written
    const refused = await root.inMs(till(root), 'refresh', ...args)
    expect(String(refused)).toContain('TSKEYTAKEN')
    expect(await root.inMs(till(root, 1), 'refresh', ...args)).toEqual([id(1), 'o'])
  })

  test('getkey and delkey have the same', async () => {
    const root = new Root(redis)
    const record = expect.any(String) as string
    expect(await root.inMs(till(root), 'getkey', 'TOUCH', key(1))).toEqual([
      ...[record, expect.any(Number)]
    ])
    expect(await root.inMs(till(root, 1), 'getkey', 'TOUCH', key(1))).toEqual([null, 0])
    expect(await root.inMs(till(root), 'delkey', key(1))).toBe(1)
    expect(await root.inMs(till(root, 1), 'delkey', key(1))).toBe(0)
    expect(await opened(root, key(2))).toEqual([true])
  })
})

describe('the same call again', () => {
  test.each(WATCHES)('answers what is stored and writes nothing: %j', async (watch) => {
    for (const [, options] of LIFETIMES) {
      const root = new Root(redis)
      await root.issue(1, 'o', '{}', ...options)
      const reply = await root.run('refresh', key(1), key(2), ...argsOf(watch))
      // Without an option nothing tells of the old key any more.
      const known = watch.GRACE !== undefined || watch.DETECT !== undefined
      await root.unchanged(async () => {
        for (const again of WATCHES) {
          expect(await root.run('refresh', key(1), key(2), ...argsOf(again))).toEqual(
            known ? reply : null
          )
          expect(await root.run('refresh', key(2), key(2), ...argsOf(again))).toEqual(reply)
        }
      })
    }
  })

  test('past its grace too: no reuse', async () => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', 'TTL', DAY)
    await root.run('refresh', key(1), key(2), 'GRACE', 1000, 'DETECT', HOUR)
    await root.later(1001)
    const stored = await triple(root, 1)
    await root.unchanged(async () =>
      expect(await root.run('refresh', key(1), key(2), 'DETECT', HOUR)).toEqual(stored)
    )
    // But once the answer was used, it is.
    await root.run('refresh', key(2), key(3), 'DETECT', HOUR)
    expect(await root.run('refresh', key(1), key(2), 'DETECT', HOUR)).toEqual([id(1), 'o'])
  })
})

describe('reuse', () => {
  const used = async (...owner: Arg[]): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1, ...(owner as [Arg]))
    await root.run('refresh', key(1), key(2), 'DETECT', HOUR)
    return root
  }

  test('leaves no set of an owner who has no other token', async () => {
    const root = await used()
    expect(await root.run('refresh', key(1), key(3))).toEqual([id(1), 'o'])
    expect(await root.state()).toEqual({})
  })

  test('leaves the set of an owner the TTL of the last to end', async () => {
    const root = new Root(redis)
    const { expires_at } = await root.issue(2, 'o', '{}', 'TTL', HOUR)
    await root.issue(1)
    await root.run('refresh', key(1), key(3), 'DETECT', HOUR)
    expect(await root.run('refresh', key(1), key(4))).toEqual([id(1), 'o'])
    expect((await root.state())[`${root.name}:tokens:o`]).toEqual({
      type: 'zset',
      value: [id(2), String(expires_at)],
      end: expires_at
    })
  })

  test('of an owner of any bytes', async () => {
    for (const [, owner] of OWNERS) {
      const root = await used(owner)
      expect(await root.run('refresh', key(1), key(3))).toEqual([id(1), bytes(owner as string)])
      expect(await root.state()).toEqual({})
    }
  })

  test('names the owner that it has then', async () => {
    const root = await used()
    await root.run('change', id(1), 'OWNER', 'p')
    expect(await root.run('refresh', key(1), key(3))).toEqual([id(1), 'p'])
    expect(await root.state()).toEqual({})
  })

  test('is known as long as DETECT says, but no longer', async () => {
    const root = await used()
    await root.later(HOUR + 1)
    await root.unchanged(async () =>
      expect(await root.run('refresh', key(1), key(3), 'DETECT', HOUR)).toBeNull()
    )
    expect(await opened(root, key(2))).toEqual([true])
  })

  test('is not known of a key that rotate gave a grace, nor of one without any option', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('rotate', id(1), key(2), 'GRACE', 1000)
    await root.run('refresh', key(2), key(3))
    await root.later(1001)
    await root.unchanged(async () => {
      for (const n of [1, 2]) expect(await root.run('refresh', key(n), key(4))).toBeNull()
    })
  })
})

describe('a key past its grace that is still known', () => {
  const known = async (...options: Arg[]): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1, 'o', '{}', ...options)
    await root.issue(3)
    await root.run('refresh', key(1), key(2), 'GRACE', 1000, 'DETECT', HOUR)
    await root.later(1001)
    return root
  }

  test.each(LIFETIMES)('opens nothing, and revokes nothing: a token %s', async (_, options) => {
    const root = await known(...options)
    const reply = await root.run('getkey', 'PEEK', key(2))
    await root.unchanged(async () => {
      for (const use of ['PEEK', 'TOUCH']) {
        expect(await root.run('getkey', use, key(1))).toEqual([null, 0])
        expect(await root.run('getkey', use, key(1), key(2), key(1))).toEqual([
          ...[null, 0],
          ...(reply as unknown[]),
          ...[null, 0]
        ])
      }
      expect(await root.run('delkey', key(1))).toBe(0)
    })
  })

  test('is in use: for add, rotate and refresh', async () => {
    const root = await known()
    await root.refuses('TSKEYTAKEN', 'add', key(1), id(4), 'o', '{}')
    await root.refuses('TSKEYTAKEN', 'add', key(1), id(1), 'o', '{}')
    await root.refuses('TSKEYTAKEN', 'rotate', id(1), key(1))
    await root.refuses('TSKEYTAKEN', 'rotate', id(3), key(1), 'GRACE', HOUR)
    await root.refuses('TSKEYTAKEN', 'refresh', key(2), key(1))
    await root.refuses('TSKEYTAKEN', 'refresh', key(3), key(1), 'DETECT', HOUR)
    await root.later(HOUR)
    await root.run('add', key(1), id(4), 'o', '{}')
    expect(await root.faults()).toEqual([])
  })

  test('when its token is gone leads nowhere', async () => {
    const root = await known()
    await root.run('del', id(1))
    await root.unchanged(async () => {
      expect(await root.run('refresh', key(1), key(4))).toBeNull()
      expect(await opened(root, key(1))).toEqual([false])
    })
  })

  test('leads to the next life of its id, when that is forced again', async () => {
    const root = await known()
    await root.run('del', id(1))
    await root.run('add', key(4), id(1), 'p', '{}')
    await root.unchanged(async () => {
      expect(await opened(root, key(1), key(4))).toEqual([false, true])
      expect(await root.run('delkey', key(1))).toBe(0)
    })
    expect(await root.run('refresh', key(1), key(5))).toEqual([id(1), 'p'])
    expect(await opened(root, key(4))).toEqual([false])
    expect(await root.faults()).toEqual([])
  })
})

test('a key within its grace rotates the next life of its id, when that is forced again', async () => {
  const root = new Root(redis)
  await root.issue(1)
  await root.run('refresh', key(1), key(2), 'GRACE', HOUR)
  await root.run('del', id(1))
  const [, record] = (await root.run('add', key(4), id(1), 'p', '{}')) as string[]
  expect(await root.run('refresh', key(1), key(5))).toEqual([key(5), record, 0])
  expect(await opened(root, key(4), key(5))).toEqual([false, true])
  expect(await root.faults()).toEqual([])
})

test('of key after key each leads on; in the end nothing of it is left', async () => {
  const root = new Root(redis)
  await root.issue(1, 'o', '{}', 'TTL', 120)
  await root.run('refresh', key(1), key(2), 'GRACE', 20)
  await root.run('refresh', key(2), key(3), 'GRACE', 20, 'DETECT', 60)
  await root.run('refresh', key(3), key(4), 'GRACE', 1, 'DETECT', 2)
  await root.run('refresh', key(4), key(5), 'DETECT', HOUR)
  await until(async () => Object.keys(await root.state()).length === 0)
})

describe('newkey', () => {
  const refuses = async (root: Root, ...keys: Arg[]): Promise<void> => {
    for (const given of [key(1), key(11)]) {
      for (const one of keys) {
        await root.refuses('TSKEYTAKEN', 'refresh', given, one)
        await root.refuses('TSKEYTAKEN', 'refresh', given, one, 'GRACE', 5, 'DETECT', HOUR)
      }
    }
  }
  /** Token 1 with key 11, key 1 being within its grace. */
  const ready = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('refresh', key(1), key(11), 'GRACE', HOUR)
    return root
  }

  test('TSKEYTAKEN: another token has it, or had it within its grace, or this one had', async () => {
    const root = await ready()
    for (const n of [2, 3]) await root.issue(n, n === 3 ? 'p' : 'o', '{}', 'TTL', n * HOUR)
    await root.run('refresh', key(3), key(13), 'GRACE', HOUR)
    await refuses(root, ...[2, 3, 13, 1].map(key))
    await root.run('del', id(3))
    await refuses(root, key(3))
  })

  test.each(strayRecords(id(2), key(2)))(
    'TSKEYTAKEN: a foreign record lies there: %s',
    async (_, text) => {
      const root = await ready()
      await redis.set(root.at('key', key(2)), text)
      await refuses(root, key(2))
    }
  )

  test.each(strayTypes('string'))('TSKEYTAKEN: a %s lies there', async (_, put) => {
    const root = await ready()
    await put(redis, root.at('key', key(2)))
    await refuses(root, key(2))
  })

  test('a key that came free may be used again, by its own token too', async () => {
    const root = new Root(redis)
    for (const n of [1, 2]) await root.issue(n)
    await root.run('refresh', key(1), key(11))
    await root.run('refresh', key(11), key(1))
    await root.run('refresh', key(2), key(11), 'GRACE', 5, 'DETECT', HOUR)
    await root.later(HOUR + 1)
    await root.run('refresh', key(1), key(2), 'DETECT', HOUR)
    expect(await opened(root, ...[1, 2, 11].map(key))).toEqual([false, true, true])
    expect(await root.faults()).toEqual([])
  })

  test.each<[string, Arg]>([
    ['one byte', 'k'],
    ['256 bytes', 'k'.repeat(256)],
    ['bytes that are not UTF-8', Buffer.from([0, 0x7f, 0xff, 0xfe])],
    ['quotes and backslashes', '"k\\"\\'],
    ['braces', '}},"attrs":{'],
    ['signs of Lua patterns', '/%1%%/'],
    ['digits', '123'],
    ['what lies under an old key', `${id(1)} 1`],
    ['a record', `{"id":"${id(1)}","owner_id":"o","attrs":{}}`]
  ])('of %s, and as an old key then', async (_, odd) => {
    const root = new Root(redis)
    const { record } = await root.issue(1)
    const reply = [bytes(odd as string), record, 0]
    expect(await root.run('refresh', key(1), odd, 'DETECT', HOUR)).toEqual(reply)
    expect(await root.run('refresh', key(1), odd)).toEqual(reply)
    const watch = ['GRACE', HOUR, 'DETECT', DAY]
    expect(await root.run('refresh', odd, key(2), ...watch)).toEqual([key(2), record, 0])
    expect(await root.run('refresh', odd, key(3), ...watch)).toEqual([key(3), record, 0])
    await root.refuses('TSKEYTAKEN', 'refresh', key(3), odd)
    await root.later(HOUR + 1)
    expect(await root.run('refresh', odd, key(4))).toEqual([id(1), 'o'])
    expect(Object.keys(await root.state())).toEqual([`${root.name}:key:${key(2)}`])
  })
})

test.each(ATTRS)('the record is kept byte for byte, whatever the attrs: %s', async (_, attrs) => {
  const root = new Root(redis)
  const { record } = await root.issue(1, 'o', attrs)
  expect(await root.run('refresh', key(1), key(2), 'GRACE', HOUR)).toEqual([key(2), record, 0])
  expect(await root.run('refresh', key(1), key(3), 'DETECT', HOUR)).toEqual([key(3), record, 0])
  expect((await root.state())[`${root.name}:key:${key(3)}`]!.value).toBe(record)
  expect(await root.run('refresh', key(2), key(4))).toEqual([id(1), 'o'])
})

test('owners of any bytes', async () => {
  const root = new Root(redis)
  for (const [i, [, owner]] of OWNERS.entries()) {
    const { record } = await root.issue(i, owner, '{}', ...(i % 2 ? ['IDLE', HOUR] : []))
    const reply = [`new-${i}`, record, expect.any(Number)]
    expect(await root.run('refresh', key(i), `new-${i}`, 'DETECT', HOUR)).toEqual(reply)
    expect(await root.run('refresh', key(i), `new-${i}`)).toEqual(reply)
  }
  for (const [i] of OWNERS.entries()) expect(await root.run('delkey', `new-${i}`)).toBe(1)
  expect(Object.keys(await root.state())).toHaveLength(OWNERS.length)
  await root.later(HOUR + 1)
  expect(await root.state()).toEqual({})
})

describe('nil, and nothing created or written', () => {
  const nil = (root: Root, ...keys: Arg[]): Promise<void> =>
    root.unchanged(async () => {
      for (const one of keys) {
        for (const watch of WATCHES) {
          expect(await root.run('refresh', one, key(50), ...argsOf(watch))).toBeNull()
          expect(await root.run('refresh', one, key(9), ...argsOf(watch))).toBeNull()
        }
      }
    })

  test.each<[string, Arg]>([
    ['unknown', key(2)],
    ['long', 'x'.repeat(70_000)],
    ['a glob', '*'],
    ['bytes', Buffer.from([0, 0xff])]
  ])('a key that is %s', async (_, one) => {
    const root = new Root(redis)
    for (const n of [1, 9]) await root.issue(n)
    await nil(root, one)
  })

  const lose: [string, (root: Root) => Promise<unknown>][] = [
    ['was revoked', (root) => root.run('del', id(1))],
    ['has expired', (root) => root.later(HOUR + 1)],
    ['to its owner has expired', (root) => redis.zadd(root.at('tokens', 'o'), 1, id(1))],
    ['its owner does not list', (root) => redis.zrem(root.at('tokens', 'o'), id(1))],
    ['has an owner without a set', (root) => redis.del(root.at('tokens', 'o'))],
    ['Redis evicted the record of', (root) => redis.del(root.at('key', key(12)))],
    ['Redis evicted the id of', (root) => redis.del(root.at('id', id(1)))],
    ['has an id under which no key is', (root) => redis.set(root.at('id', id(1)), key(77))],
    [
      'should have ended',
      (root) =>
        redis.set(
          root.at('key', key(12)),
          `{"id":"${id(1)}","owner_id":"o","ends_at":1,"attrs":{}}`,
          'KEEPTTL'
        )
    ]
  ]
  test.each(lose)('a token that %s, by each of its keys', async (_, end) => {
    const root = new Root(redis)
    await root.issue(9)
    await root.issue(1, 'o', '{}', 'TTL', HOUR)
    // One key past its grace, one within.
    await root.run('refresh', key(1), key(11), 'DETECT', 2 * HOUR)
    await root.run('refresh', key(11), key(12), 'GRACE', 2 * HOUR)
    await end(root)
    await nil(root, ...[1, 11, 12].map(key))
  })

  test('a token whose id was restored under another key since', async () => {
    const root = new Root(redis)
    for (const n of [1, 9]) await root.issue(n)
    await redis.del(root.at('id', id(1)))
    await root.run('add', key(2), id(1), 'o', '{}')
    await nil(root, key(1))
    expect(await root.run('refresh', key(2), key(3))).toMatchObject([key(3), {}, 0])
  })

  test('a token in the very millisecond of its end', async () => {
    const root = new Root(redis)
    for (const n of [1, 9]) await root.issue(n)
    const end = (ms: number): Promise<unknown> => redis.zadd(root.at('tokens', 'o'), ms, id(1))
    const next = (ms: number): Promise<unknown> => end(ms + 1)
    const args = [key(1), key(9)]
    expect(await root.inMs(end, 'refresh', ...args)).toBeNull()
    expect(String(await root.inMs(next, 'refresh', ...args))).toContain('TSKEYTAKEN')
  })
})

describe('TSBADARG', () => {
  const ready = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('refresh', key(1), key(2), 'DETECT', HOUR)
    return root
  }
  /** By a key of the token, by one that would revoke it, and by an unknown one. */
  const refuses = async (root: Root, ...options: Arg[]): Promise<void> => {
    for (const n of [2, 1, 9]) await root.refuses('TSBADARG', 'refresh', key(n), key(3), ...options)
  }

  test('any other number of KEYS or arguments, and empty or long ones', async () => {
    const root = await ready()
    for (const surplus of [
      ['GRACE'],
      ['DETECT'],
      ['surplus', 5],
      ['GRACE', 5, 'surplus'],
      ['GRACE', 5, 'DETECT'],
      ['GRACE', 5, 'DETECT', 6, 'surplus']
    ]) {
      await root.refusesOtherCounts('refresh', [key(1), key(3)], surplus)
    }
    await root.refuses('TSBADARG', 'refresh', '', key(3))
    await root.refuses('TSBADARG', 'refresh', key(1), '')
    await root.refuses('TSBADARG', 'refresh', key(1), 'k'.repeat(257))
    await root.refuses('TSBADARG', 'refresh', key(1), 'k'.repeat(255) + 'é', 'GRACE', 5)
  })

  const numbers = ['', '0', '01', '-1', '+1', '1.5', '1e3', '0x10', ' 1', '1\n', 'inf', 'nan', 'x']
  test.each([...numbers, 'NEVER', '10000000000000'])('a number of %j', async (bad) => {
    const root = await ready()
    await refuses(root, 'GRACE', bad)
    await refuses(root, 'DETECT', bad)
    await refuses(root, 'GRACE', bad, 'DETECT', 5)
    await refuses(root, 'GRACE', 5, 'DETECT', bad)
  })

  test.each<[string, Arg[]]>([
    ['GRACE twice', ['GRACE', 5, 'GRACE', 5]],
    ['DETECT twice', ['DETECT', 5, 'DETECT', 5]],
    ['DETECT twice, around GRACE', ['DETECT', 5, 'GRACE', 1, 'DETECT', 5]],
    ['DETECT as long as GRACE', ['GRACE', 5, 'DETECT', 5]],
    ['DETECT shorter than GRACE, given first', ['DETECT', 9, 'GRACE', 10]],
    ['an option in lower case', ['grace', 5]],
    ['an unknown option', ['IF', 5]],
    ['an empty option', ['', 5]],
    ['an option in bytes', [Buffer.from([0, 0xff]), 5]],
    ['a long option', ['x'.repeat(70_000), 5]],
    ['a number in bytes', ['GRACE', Buffer.from([0x31, 0])]]
  ])('%s', async (_, options) => refuses(await ready(), ...options))
})

describe('what is not of this layout', () => {
  const WATCH = ['GRACE', 5, 'DETECT', HOUR]
  const refuses = async (code: string, root: Root, ...keys: string[]): Promise<void> => {
    for (const one of keys) {
      await root.refuses(code, 'refresh', one, key(50))
      await root.refuses(code, 'refresh', one, key(50), ...WATCH)
    }
  }

  test.each(strayRecords(id(1), key(1)))('TSRECORD: a foreign record: %s', async (_, text) => {
    const root = new Root(redis)
    await redis.set(root.at('id', id(1)), key(1))
    await redis.set(root.at('key', key(1)), text)
    await redis.zadd(root.at('tokens', 'o'), '+inf', id(1))
    // By old keys that lead to it too, within a grace or not.
    await redis.set(root.at('key', key(2)), `${id(1)} 9999999999999`)
    await redis.set(root.at('key', key(3)), `${id(1)} 0`)
    await refuses('TSRECORD', root, ...[1, 2, 3].map(key))
  })

  test('TSRECORD: an old key whose token lost its key to another', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await root.run('refresh', key(1), key(2), 'DETECT', HOUR)
    await root.run('refresh', key(2), key(3), 'GRACE', HOUR)
    await redis.del(root.at('key', key(3)))
    await root.run('add', key(3), id(2), 'p', '{}')
    await refuses('TSRECORD', root, key(1), key(2))
    await root.refuses('TSRECORD', 'refresh', key(1), key(3))
    expect(await opened(root, key(3))).toEqual([true])
  })

  test.each(strayTypes('string'))(
    'WRONGTYPE: a %s where a record or an id belongs',
    async (_, put) => {
      for (const [family, rest] of [
        ['id', id(1)],
        ['key', key(3)]
      ] as const) {
        const root = new Root(redis)
        await root.issue(1)
        await root.run('refresh', key(1), key(2), 'DETECT', HOUR)
        await root.run('refresh', key(2), key(3), 'GRACE', HOUR)
        await redis.del(root.at(family, rest))
        await put(redis, root.at(family, rest))
        await refuses('WRONGTYPE', root, ...[1, 2, 3].map(key))
      }
    }
  )

  test.each(strayTypes('zset'))(
    'WRONGTYPE: a %s where the owner set belongs, as 0.0.4 left it',
    async (_, put) => {
      const root = new Root(redis)
      await root.issue(1, 'o', '{}', 'IDLE', HOUR)
      await root.run('refresh', key(1), key(2), 'DETECT', HOUR)
      await root.run('refresh', key(2), key(3), 'GRACE', HOUR)
      await redis.del(root.at('tokens', 'o'))
      await put(redis, root.at('tokens', 'o'))
      await refuses('WRONGTYPE', root, ...[1, 2, 3].map(key))
    }
  )
})

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':id:', ':key:', ':tokens:'])
    await redis.set(root.name + name, 'a neighbour')
  const before = await root.state()
  await root.issue(1)
  await root.run('refresh', key(1), key(2), 'DETECT', HOUR)
  expect(await root.run('refresh', key(5), key(3))).toBeNull()
  expect(await root.run('refresh', key(1), key(3))).toEqual([id(1), 'o'])
  expect(await root.state()).toEqual(before)
})
