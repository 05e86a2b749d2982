import { KeyTakenError, LimitError, TokenstoreError } from '../../src/main'
import type { Config, NewToken } from '../../src/types'
import {
  attrsToCarry,
  carried,
  closeAfterAll,
  expectCarried,
  listed,
  noObject,
  noSeconds,
  notCarried,
  noText,
  open,
  passed,
  redisNow,
  refuses,
  stored,
  strangeOwners,
  topology,
  viaCallback
} from './support'

closeAfterAll()

test('a token is written under three names at once and read back by key, id and owner', async () => {
  const { tokens, all, name } = open()
  const token = await tokens.add({
    owner_id: 'user-7',
    attrs: { device: 'phone' }
  })
  expect(token).toEqual({
    key: expect.stringMatching(/^[\w-]{24}$/),
    id: expect.stringMatching(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[\da-f]{4}-[\da-f]{12}$/),
    owner_id: 'user-7',
    attrs: { device: 'phone' }
  })
  expect(await all()).toEqual({
    [name('key', token.key)]: {
      type: 'string',
      value: `{"id":"${token.id}","owner_id":"user-7","attrs":{"device":"phone"}}`,
      expires: false
    },
    [name('id', token.id)]: {
      type: 'string',
      value: stored(token.key),
      expires: false
    },
    [name('tokens', 'user-7')]: {
      type: 'zset',
      value: [token.id, 'inf'],
      expires: false
    }
  })
  expect(await tokens.getKey(token.key)).toEqual(token)
  expect(await tokens.get(token.id)).toEqual(listed(token))
  expect(await tokens.list('user-7')).toEqual([listed(token)])
})

test('a new key begins and ends with a letter or digit', async () => {
  const { tokens } = open({ size: 9 })
  const drawn = Array.from({ length: 300 }, (_, i) => tokens.add({ owner_id: `user-${i}` }))
  const keys = (await Promise.all(drawn)).map(({ key }) => key)
  expect(keys.filter((key) => !/^[A-Za-z\d][\w-]{7}[A-Za-z\d]$/.test(key))).toEqual([])
})

test('with a callback', async () => {
  const { tokens } = open()
  const token = await viaCallback<NewToken & { key: string }>((done) =>
    tokens.add({ owner_id: 'user-7', attrs: { a: 1 } }, done)
  )
  expect(token).toEqual(await tokens.getKey(token.key))
  const { key } = token
  const spare = open().spare('user-7')
  await expect(
    viaCallback((done) => tokens.add({ owner_id: 'user-7', key, id: spare.id }, done))
  ).rejects.toBeInstanceOf(KeyTakenError)
})

test('attrs are {} when absent, and the object given stays as it was', async () => {
  const { tokens } = open()
  const given = Object.freeze({ owner_id: 'user-7' })
  expect((await tokens.add(given)).attrs).toEqual({})
  expect(given).toEqual({ owner_id: 'user-7' })
})

test('every token has its own key and id, and ids sort by time of issue', async () => {
  const { tokens } = open()
  const added = await Promise.all(
    Array.from({ length: 300 }, () => tokens.add({ owner_id: 'user-7' }))
  )
  expect(new Set(added.map(({ key }) => key)).size).toBe(300)
  expect(new Set(added.map(({ id }) => id)).size).toBe(300)
  expect((await tokens.list('user-7')).map(({ id }) => id)).toEqual(added.map(({ id }) => id))
})

test.each(Object.entries(attrsToCarry))(
  'attrs come back as JSON carries them: %s',
  async (_name, attrs) => {
    const { tokens } = open()
    const token = await tokens.add({
      owner_id: 'user-7',
      attrs: attrs as Record<string, unknown>
    })
    expectCarried(token.attrs, attrs)
    expectCarried((await tokens.getKey(token.key))!.attrs, attrs)
    expectCarried((await tokens.get(token.id))!.attrs, attrs)
    expectCarried((await tokens.list('user-7'))[0]!.attrs, attrs)
    expect(token.attrs).toEqual(carried(attrs))
  }
)

test('any well-formed owner_id is one owner of its own', async () => {
  const { tokens, all } = open()
  const added = await Promise.all(
    strangeOwners.map((owner_id, i) => tokens.add({ owner_id, attrs: { i } }))
  )
  for (const [i, owner_id] of strangeOwners.entries()) {
    expect(added[i]).toMatchObject({ owner_id, attrs: { i } })
    expect(await tokens.getKey(added[i]!.key)).toEqual(added[i])
    expect(await tokens.get(added[i]!.id)).toEqual(listed(added[i]!))
    expect(await tokens.list(owner_id)).toEqual([listed(added[i]!)])
    expect(await tokens.count(owner_id)).toBe(1)
  }
  expect(Object.keys(await all())).toHaveLength(3 * strangeOwners.length)
})

test('a forced key and a forced id are taken', async () => {
  const { tokens, spare } = open()
  const forced = spare('user-7')
  const token = await tokens.add({
    owner_id: 'user-7',
    attrs: { a: 1 },
    ...forced
  })
  expect(token).toEqual({ ...forced, owner_id: 'user-7', attrs: { a: 1 } })
  expect(await tokens.getKey(forced.key)).toEqual(token)
  expect(await tokens.get(forced.id)).toEqual(listed(token))
})

test('a lost database is restored from what was answered once, of which expires_at is no option', async () => {
  const { tokens, all } = open({ ttl: 1000 })
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  const before = Object.keys(await all())
  await tokens.reset()
  await expect(tokens.add({ ...token })).rejects.toThrow(
    'token must be a plain object with nothing but'
  )
  const { key, id, owner_id, attrs, expires_at } = token
  const from = await redisNow()
  const restored = await tokens.add({
    key,
    id,
    owner_id,
    attrs,
    ttl: (expires_at! - from) / 1000
  })
  expect(restored).toEqual({ ...token, expires_at: restored.expires_at })
  expect(restored.expires_at! - expires_at!).toBeGreaterThanOrEqual(0)
  expect(restored.expires_at! - expires_at!).toBeLessThanOrEqual((await redisNow()) - from)
  expect(await tokens.getKey(key)).toEqual(restored)
  expect(Object.keys(await all())).toEqual(before)
})

test('a token that ended is restored under its old key and id', async () => {
  const { tokens, all } = open()
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  const before = await all()
  expect(await tokens.del(token.id)).toBe(true)
  expect(await tokens.add(token)).toEqual(token)
  expect(await all()).toEqual(before)
})

test('the same key and id again answers the stored token and writes nothing', async () => {
  const { tokens, all } = open()
  const token = await tokens.add({
    owner_id: 'user-7',
    attrs: { a: 1 },
    ttl: 1000
  })
  const before = await all()
  const { key, id } = token
  expect(
    await tokens.add({
      owner_id: 'user-7',
      attrs: { a: 2 },
      key,
      id,
      ttl: 5,
      idle: 2
    })
  ).toEqual(token)
  expect(await all()).toEqual(before)
})

test("another token's key or id is refused and nothing changes", async () => {
  const { tokens, all, spare } = open()
  const { key, id } = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  const second = await tokens.add({ owner_id: 'user-7', attrs: { a: 2 } })
  const before = await all()
  for (const forced of [
    { key },
    { id },
    { key, id: second.id },
    { key: second.key, id },
    { key, id: spare('user-7').id }
  ]) {
    const error = await tokens
      .add({ owner_id: 'user-7', ...forced })
      .catch((error: unknown) => error)
    expect(error).toBeInstanceOf(KeyTakenError)
    expect(error).toBeInstanceOf(TokenstoreError)
    expect((error as KeyTakenError).code).toBe('TSKEYTAKEN')
  }
  expect(await all()).toEqual(before)
})

test('another size', async () => {
  for (const size of [8, 128]) {
    const { tokens, spare } = open({ size })
    const token = await tokens.add({ owner_id: 'user-7' })
    expect(token.key).toMatch(new RegExp(`^[\\w-]{${size}}$`))
    const forced = spare('user-7')
    expect(await tokens.add({ owner_id: 'user-7', ...forced })).toMatchObject(forced)
    expect(await tokens.getKey(forced.key)).toMatchObject(forced)
  }
})

describe('lifetimes', () => {
  test('ttl, idle, or whichever ends earlier, of the token or else of the store', async () => {
    const cases: [
      config: { ttl?: number; idle?: number },
      of: Partial<NewToken>,
      seconds: number | null
    ][] = [
      [{}, {}, null],
      [{}, { ttl: 100 }, 100],
      [{}, { idle: 50 }, 50],
      [{}, { ttl: 100, idle: 50 }, 50],
      [{}, { ttl: 50, idle: 100 }, 50],
      [{}, { ttl: null, idle: null }, null],
      [{}, { ttl: undefined, idle: undefined }, null],
      [{ ttl: 100 }, {}, 100],
      [{ ttl: 100 }, { ttl: undefined }, 100],
      [{ ttl: 100 }, { ttl: 200 }, 200],
      [{ ttl: 100 }, { ttl: null }, null],
      [{ ttl: 100 }, { idle: 20 }, 20],
      [{ idle: 100 }, {}, 100],
      [{ idle: 100 }, { idle: 200 }, 200],
      [{ idle: 100 }, { idle: null }, null],
      [{ ttl: 100, idle: 50 }, {}, 50],
      [{ ttl: 100, idle: 50 }, { idle: null }, 100],
      [{ ttl: 100, idle: 50 }, { ttl: null }, 50],
      [{ ttl: 100, idle: 50 }, { ttl: null, idle: null }, null],
      [{}, { ttl: 0.5 }, 0.5],
      [{}, { ttl: 9_999_999_999 }, 9_999_999_999]
    ]
    for (const [config, of, seconds] of cases) {
      const { tokens, all } = open(config)
      const from = await redisNow()
      const token = await tokens.add({ owner_id: 'user-7', ...of })
      if (seconds === null) {
        expect('expires_at' in token).toBe(false)
      } else {
        expect(token.expires_at! - seconds * 1000).toBeGreaterThanOrEqual(from)
        expect(token.expires_at! - seconds * 1000).toBeLessThanOrEqual(await redisNow())
      }
      const entries = Object.values(await all()) as { expires: boolean }[]
      if (seconds !== 0.5)
        expect(entries.map(({ expires }) => expires)).toEqual(Array(3).fill(seconds !== null))
    }
  })

  test('with idle a token says when it was used last: at its issue, or since then', async () => {
    const { tokens } = open()
    for (const [of, idle] of [
      [{ idle: 50 }, 50],
      [{ idle: 50, ttl: 100 }, 50],
      [{ idle: 50, ttl: 50 }, 50],
      [{ ttl: 50 }, null],
      [{}, null]
    ] as const) {
      const from = await redisNow()
      const token = await tokens.add({ owner_id: 'user-7', ...of })
      const to = await redisNow()
      expect('used_at' in token).toBe(idle !== null)
      if (idle !== null) {
        expect(token.used_at).toBeGreaterThanOrEqual(from)
        expect(token.used_at).toBeLessThanOrEqual(to)
        expect(token.used_at).toBe(token.expires_at! - idle * 1000)
      }
      for (const found of [await tokens.get(token.id), (await tokens.list('user-7'))[0]])
        expect(found).toEqual(listed(token))
      await tokens.del(token.id)
    }
    // Of one that ends before it can be idle for so long: it may have been used since.
    const brief = await tokens.add({ owner_id: 'user-7', idle: 50, ttl: 20 })
    expect(brief.used_at).toBe(brief.expires_at! - 50_000)
  })

  test('nothing is left of a token that has ended', async () => {
    const { tokens, all } = open()
    const token = await tokens.add({ owner_id: 'user-7', ttl: 0.15 })
    const idle = await tokens.add({ owner_id: 'user-7', idle: 0.15 })
    await passed(idle.expires_at! + 1)
    expect(await tokens.getKey(token.key)).toBeNull()
    expect(await tokens.getKey(idle.key)).toBeNull()
    expect(await tokens.get(token.id)).toBeNull()
    expect(await tokens.list('user-7')).toEqual([])
    expect(await tokens.count('user-7')).toBe(0)
    expect(await all()).toEqual({})
  })

  test.each([-3_600_000, 3_600_000])(
    'an app whose clock is %i ms off issues the same lifetimes',
    async (off) => {
      const now = Date.now
      const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() + off)
      try {
        const { tokens } = open({ ttl: 100 })
        const from = await redisNow()
        const token = await tokens.add({ owner_id: 'user-7', idle: 50 })
        expect(clock).toHaveBeenCalled()
        expect(token.expires_at! - 50_000).toBeGreaterThanOrEqual(from)
        expect(token.expires_at! - 50_000).toBeLessThanOrEqual(await redisNow())
        expect(await tokens.getKey(token.key)).toMatchObject({ id: token.id })
        expect(await tokens.list('user-7')).toHaveLength(1)
      } finally {
        clock.mockRestore()
      }
    }
  )
})

describe('limit', () => {
  test('rejects by default what would be too many, and nothing changes', async () => {
    const { tokens, all } = open()
    for (let i = 0; i < 3; i++) await tokens.add({ owner_id: 'user-7', limit: 3 })
    const before = await all()
    for (const onLimit of [undefined, 'reject'] as const) {
      const error = await tokens
        .add({ owner_id: 'user-7', limit: 3, onLimit })
        .catch((error: unknown) => error)
      expect(error).toBeInstanceOf(LimitError)
      expect((error as LimitError).code).toBe('TSLIMIT')
    }
    expect(await all()).toEqual(before)
    await tokens.add({ owner_id: 'user-8', limit: 3 })
    await tokens.add({ owner_id: 'user-7', limit: 4 })
    await tokens.add({ owner_id: 'user-7' })
    await expect(
      viaCallback((done) => tokens.add({ owner_id: 'user-7', limit: 5 }, done))
    ).rejects.toThrow(LimitError)
  })

  test('counts only the living', async () => {
    const { tokens } = open()
    const a = await tokens.add({ owner_id: 'user-7', limit: 3 })
    await tokens.add({ owner_id: 'user-7', limit: 3 })
    const c = await tokens.add({ owner_id: 'user-7', limit: 3, ttl: 1000 })
    await expect(tokens.add({ owner_id: 'user-7', limit: 3 })).rejects.toThrow(LimitError)
    await tokens.del(c.id)
    const ends = await tokens.add({ owner_id: 'user-7', limit: 3, ttl: 0.1 })
    await passed(ends.expires_at! + 1)
    await tokens.add({ owner_id: 'user-7', limit: 3 })
    await tokens.del(a.id)
    await tokens.add({ owner_id: 'user-7', limit: 3 })
    await expect(tokens.add({ owner_id: 'user-7', limit: 3 })).rejects.toThrow(LimitError)
    expect(await tokens.count('user-7')).toBe(3)
  })

  test('a token that Redis evicted counts until list has met it, or it is one too many', async () => {
    const { tokens, name } = open()
    const redis = topology.redis()
    const [a, b] = [
      await tokens.add({ owner_id: 'user-7' }),
      await tokens.add({ owner_id: 'user-7' })
    ]
    await redis.del(name('key', a.key))
    await expect(tokens.add({ owner_id: 'user-7', limit: 2 })).rejects.toThrow(LimitError)
    await tokens.list('user-7')
    await tokens.add({ owner_id: 'user-7', limit: 2 })
    await redis.del(name('key', b.key))
    const { evicted } = await tokens.add({
      owner_id: 'user-7',
      limit: 2,
      onLimit: 'evict'
    })
    expect(evicted).toEqual([b.id])
    expect(await tokens.count('user-7')).toBe(2)
  })

  test('evicts the tokens that would end first, and of never-ending ones the oldest', async () => {
    const { tokens, all } = open()
    const [never1, late, soon, never2] = [
      await tokens.add({ owner_id: 'user-7' }),
      await tokens.add({ owner_id: 'user-7', ttl: 2000 }),
      await tokens.add({ owner_id: 'user-7', ttl: 1000 }),
      await tokens.add({ owner_id: 'user-7' })
    ]
    const add = (limit: number) => tokens.add({ owner_id: 'user-7', limit, onLimit: 'evict' })
    const fifth = await add(5)
    expect(fifth.evicted).toEqual([])
    expect(await tokens.getKey(fifth.key)).not.toHaveProperty('evicted')
    const sixth = await add(5)
    expect(sixth.evicted).toEqual([soon.id])
    const seventh = await add(3)
    expect(seventh.evicted).toEqual([late.id, never1.id, never2.id])
    for (const { key } of [never1, late, soon, never2]) expect(await tokens.getKey(key)).toBeNull()
    const living = [fifth, sixth, seventh].map(listed)
    expect(await tokens.list('user-7')).toEqual(living)
    expect(Object.keys(await all())).toHaveLength(7)
    const only = await viaCallback<{ evicted?: string[] }>((done) =>
      tokens.add({ owner_id: 'user-7', limit: 1, onLimit: 'evict' }, done)
    )
    expect(only.evicted).toEqual(living.map(({ id }) => id))
    expect(Object.keys(await all())).toHaveLength(3)
  })

  test('a token used last ends last', async () => {
    const { tokens } = open({ idle: 1000, touchEvery: 0.001 })
    const [a, b] = [
      await tokens.add({ owner_id: 'user-7' }),
      await tokens.add({ owner_id: 'user-7' })
    ]
    await passed((await redisNow()) + 5)
    expect((await tokens.getKey(a.key))!.expires_at).toBeGreaterThan(b.expires_at!)
    const { evicted } = await tokens.add({
      owner_id: 'user-7',
      limit: 2,
      onLimit: 'evict'
    })
    expect(evicted).toEqual([b.id])
  })

  test('keys within their grace of an evicted token open nothing any more', async () => {
    const { tokens, all } = open()
    const token = await tokens.add({ owner_id: 'user-7' })
    await tokens.rotate(token.id, { grace: 1000 })
    const { evicted } = await tokens.add({
      owner_id: 'user-7',
      limit: 1,
      onLimit: 'evict'
    })
    expect(evicted).toEqual([token.id])
    expect(await tokens.getKey(token.key)).toBeNull()
    expect(Object.keys(await all())).toHaveLength(4)
  })

  test('the same key and id again is no further token', async () => {
    const { tokens } = open()
    const token = await tokens.add({ owner_id: 'user-7', limit: 1 })
    expect(await tokens.add({ ...token, limit: 1 })).toEqual(token)
    expect(await tokens.add({ ...token, limit: 1, onLimit: 'evict' })).toEqual({
      ...token,
      evicted: []
    })
  })
})

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  const { tokens } = opened
  await tokens.add({ owner_id: 'user-7' })
  const add = (says: string, wrong: unknown[]): Promise<void> =>
    refuses(opened, 'add', says, ...wrong.map((x) => [x]))
  const having = (name: string, values: unknown[]): object[] =>
    values.map((value) => ({
      owner_id: 'user-7',
      ...(name === 'onLimit' ? { limit: 3 } : {}),
      [name]: value
    }))
  const given = (values: unknown[]): unknown[] => values.filter((value) => value !== undefined)

  await add('token must be a plain object', [undefined, ...noObject()])
  await add('token must be a plain object with nothing but', [{ owner_id: 'user-7', tll: 60 }])
  await add(
    'owner_id must be a non-empty well-formed string',
    having('owner_id', [...noText(), '\ud800', 'a\udc00'])
  )
  await add(
    'attrs must be a plain object',
    having('attrs', [null, [], ['a'], 'a', '', 7, true, 7n, Symbol('a')])
  )
  await add(
    'attrs must be a plain object',
    having('attrs', [() => 1, new Date(0), { toJSON: () => [] }])
  )
  for (const [says, a] of notCarried('attrs', '.a')) await add(says, having('attrs', [{ a }]))
  await add('attrs must be a value that JSON can carry', having('attrs', [new Map(), new Error()]))
  await add(
    'key must be a non-empty well-formed string',
    having('key', [...given(noText()), '\ud800'.repeat(24)])
  )
  await add('id must be a UUID in lower case', having('id', given(noText())))
  await add(
    'id must be a UUID in lower case',
    having('id', ['0190A0B0-0000-7000-8000-00000000000A', '*'.repeat(36)])
  )
  await add('ttl must be a number of seconds', having('ttl', noSeconds()))
  await add('idle must be a number of seconds', having('idle', noSeconds()))
  await add(
    'limit must be a whole number',
    having('limit', [0, -1, 1.5, NaN, Infinity, 1e10, '5', null, 5n, true])
  )
  await add(
    "onLimit must be 'reject' or 'evict'",
    having('onLimit', ['REJECT', 'drop', null, true, 1, []])
  )
  await add('limit must be given together with onLimit', [{ owner_id: 'user-7', onLimit: 'evict' }])

  const touching = open({ touchEvery: 60 })
  await refuses(touching, 'add', "idle must be at least the store's touchEvery", [
    { owner_id: 'user-7', idle: 59 }
  ])
})

test('a key of a wrong length, or that Redis cannot hold, is refused like any', async () => {
  const refused = (config: Config, says: string, ...keys: string[]): Promise<void> =>
    refuses(open(config), 'add', says, ...keys.map((key) => [{ owner_id: 'user-7', key }]))
  const exact = 'key must be a string of exactly 24 characters'
  await refused({ digest: false }, exact, 'a', 'a'.repeat(23), 'a'.repeat(25))
  await refused({ digest: false, size: 128 }, 'key must be at most 256', '日'.repeat(128))
  await refused({ digest: true }, 'key must be a string of at most 4096', 'a'.repeat(4097))
})

test("what lies under a token's name but is none of the store's is not touched", async () => {
  const { tokens, all, spare, name } = open()
  const redis = topology.redis()
  const { key, id } = spare('user-7')
  const [owner, at, index] = [name('tokens', 'user-7'), name('key', key), name('id', id)]
  const old = `{"owner_id":"user-7","attrs":{},"key":"${stored(key)}","id":"${id}"}`
  const strays: [code: string, under: string, write: () => Promise<unknown>][] = [
    ['TSRECORD', owner, () => redis.sadd(owner, 'a set, as of 0.0.4')],
    ['TSRECORD', owner, () => redis.set(owner, 'text')],
    ['TSRECORD', at, () => redis.hset(at, 'a', '1')],
    ['TSRECORD', index, () => redis.rpush(index, 'a')],
    ['TSKEYTAKEN', at, () => redis.set(at, old)],
    ['TSKEYTAKEN', at, () => redis.set(at, 'text')]
  ]
  for (const [code, under, write] of strays) {
    await write()
    const before = await all()
    const error: unknown = await tokens
      .add({ owner_id: 'user-7', key, id })
      .catch((error: unknown) => error)
    expect(error).toBeInstanceOf(TokenstoreError)
    expect(error).toMatchObject({ code })
    expect(await all()).toEqual(before)
    await redis.del(under)
  }
  await tokens.add({ owner_id: 'user-7', key, id })
})
