import { LimitError } from '../../src/main'
import type { ChangeOptions } from '../../src/types'
import { client, freshPrefix, names, store } from '../support'
import {
  attrsToCarry,
  closeAfterAll,
  endOf,
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

test('gives a token another owner and changes nothing else', async () => {
  const { tokens, all, name, beside } = open()
  const owner_id = beside('user-7')
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  const changed = { ...token, owner_id }
  expect(await tokens.change(token.id, { owner_id })).toEqual(listed(changed))
  expect(await tokens.getKey(token.key)).toEqual(changed)
  expect(await tokens.get(token.id)).toEqual(listed(changed))
  expect(await tokens.list(owner_id)).toEqual([listed(changed)])
  expect(await tokens.list('user-7')).toEqual([])
  expect(await tokens.count('user-7')).toBe(0)
  expect(await all()).toEqual({
    [name('key', token.key)]: {
      type: 'string',
      value: `{"id":"${token.id}","owner_id":"${owner_id}","attrs":{"a":1}}`,
      expires: false
    },
    [name('id', token.id)]: { type: 'string', value: stored(token.key), expires: false },
    [name('tokens', owner_id)]: { type: 'zset', value: [token.id, 'inf'], expires: false }
  })
})

test('with a callback', async () => {
  const { tokens, spare } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const change = (id: string, options: ChangeOptions) =>
    viaCallback((done) => tokens.change(id, options, done))
  expect(await change(token.id, { attrs: { a: 1 } })).toEqual(listed({ ...token, attrs: { a: 1 } }))
  expect(await change(spare('user-7').id, { attrs: {} })).toBeNull()
  const limited = { owner_id: 'user-7', limit: 1, onLimit: 'evict' } as const
  expect(await change(token.id, limited)).toMatchObject({ id: token.id, evicted: [] })
  await tokens.add({ owner_id: 'user-7' })
  await expect(change(token.id, { owner_id: 'user-7', limit: 1 })).rejects.toThrow(LimitError)
})

test('whatever the owner is called', async () => {
  const { tokens, all, beside } = open()
  for (const owner_id of strangeOwners) {
    const token = await tokens.add({ owner_id: beside(owner_id), ttl: 100 })
    const changed = { ...token, owner_id }
    expect(await tokens.change(token.id, { owner_id })).toEqual(listed(changed))
    expect(await tokens.getKey(token.key)).toEqual(changed)
    expect(await tokens.list(owner_id)).toEqual([listed(changed)])
    expect(await tokens.change(token.id, { owner_id, attrs: { a: 1 } })).toMatchObject({ owner_id })
  }
  expect(Object.keys(await all())).toHaveLength(3 * strangeOwners.length)
})

test('the same owner is no move, and a limit of one then has room for it', async () => {
  const { tokens, all } = open()
  const { id, ...token } = await tokens.add({ owner_id: 'user-7', ttl: 100 })
  const before = await all()
  expect(await tokens.change(id, { owner_id: 'user-7' })).toEqual(listed({ id, ...token }))
  expect(await tokens.change(id, { owner_id: 'user-7', limit: 1 })).toMatchObject({ id })
  expect(await all()).toEqual(before)
})

test('owner, lifetime and attrs at once, and all of it ends together', async () => {
  const { tokens, all, name, beside } = open({ touchEvery: 0.5 })
  const owner_id = beside('user-7')
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 }, ttl: 50 })
  const from = await redisNow()
  const changed = await tokens.change(token.id, { owner_id, ttl: 200, idle: 100, attrs: { b: 2 } })
  const { used_at, expires_at } = changed!
  expect(changed).toEqual(listed({ ...token, owner_id, attrs: { b: 2 }, used_at, expires_at }))
  expect(used_at).toBeGreaterThanOrEqual(from)
  expect(used_at).toBeLessThanOrEqual(await redisNow())
  expect(expires_at).toBe(used_at! + 100_000)
  for (const at of [name('key', token.key), name('id', token.id), name('tokens', owner_id)])
    expect(await endOf(at)).toBe(expires_at)
  expect(Object.keys(await all())).toHaveLength(3)
  const times = `"ends_at":${used_at! + 200_000},"idle":100000,"every":500`
  expect((await all())[name('key', token.key)]).toMatchObject({
    value: `{"id":"${token.id}","owner_id":"${owner_id}",${times},"attrs":{"b":2}}`
  })
})

test('the owner that it leaves keeps what it has, until that ends', async () => {
  const { tokens, name, beside } = open()
  const owner_id = beside('user-7')
  const [stays, goes] = [
    await tokens.add({ owner_id: 'user-7', ttl: 100 }),
    await tokens.add({ owner_id: 'user-7', ttl: 200 })
  ]
  const has = await tokens.add({ owner_id, ttl: 50 })
  await tokens.change(goes.id, { owner_id })
  expect(await tokens.list('user-7')).toEqual([listed(stays)])
  expect(await endOf(name('tokens', 'user-7'))).toBe(stays.expires_at)
  expect(await endOf(name('tokens', owner_id))).toBe(goes.expires_at)
  expect(await tokens.delOwner('user-7')).toBe(1)
  expect(await tokens.getKey(goes.key)).toEqual({ ...goes, owner_id })
  expect(await tokens.delOwner(owner_id)).toBe(2)
  for (const { key } of [goes, has]) expect(await tokens.getKey(key)).toBeNull()
})

test('a key within its grace opens it for the new owner as well', async () => {
  const { tokens, beside } = open()
  const owner_id = beside('user-7')
  const token = await tokens.add({ owner_id: 'user-7' })
  await tokens.rotate(token.id, { grace: 100 })
  await tokens.change(token.id, { owner_id, attrs: { a: 1 } })
  expect(await tokens.getKey(token.key)).toEqual({ ...token, owner_id, attrs: { a: 1 } })
})

describe('from', () => {
  const conflict = { name: 'ConflictError', code: 'TSCONFLICT' }

  test('changes it only while the attrs are these, whatever is to change', async () => {
    const { tokens, all, beside } = open()
    const owner_id = beside('user-7')
    const attrs = { a: 1, b: ['é', null] }
    const changes: ChangeOptions[] = [
      { owner_id },
      { ttl: 100 },
      { idle: 50 },
      { attrs: { a: 2 } },
      { owner_id, ttl: 100, idle: 50, attrs: {}, limit: 1, onLimit: 'evict' }
    ]
    for (const change of changes) {
      const token = await tokens.add({ owner_id: 'user-7', attrs })
      const before = await all()
      for (const from of [{}, { ...attrs, c: 3 }, { b: attrs.b, a: 1 }, { a: 1 }]) {
        await expect(tokens.change(token.id, { ...change, from })).rejects.toMatchObject(conflict)
        await expect(
          viaCallback((done) => tokens.change(token.id, { ...change, from }, done))
        ).rejects.toMatchObject(conflict)
      }
      expect(await all()).toEqual(before)
      const { attrs: from } = (await tokens.getKey(token.key))!
      const { evicted, ...rest } = (await tokens.change(token.id, { ...change, from }))!
      expect(evicted).toEqual(change.onLimit && [])
      expect(rest).toEqual(await tokens.get(token.id))
      expect(rest).toMatchObject({
        owner_id: change.owner_id ?? 'user-7',
        attrs: change.attrs ?? attrs
      })
      expect('expires_at' in rest).toBe('ttl' in change || 'idle' in change)
      await tokens.del(token.id)
    }
    expect(await all()).toEqual({})
  })

  test('of attrs that differ a limit is not looked at', async () => {
    const { tokens, beside } = open()
    const owner_id = beside('user-7')
    await tokens.add({ owner_id })
    const { id, attrs } = await tokens.add({ owner_id: 'user-7' })
    const change = { owner_id, limit: 1 }
    await expect(tokens.change(id, { ...change, from: { a: 1 } })).rejects.toMatchObject(conflict)
    await expect(tokens.change(id, { ...change, from: attrs })).rejects.toThrow(LimitError)
  })
})

describe('lifetimes', () => {
  const before: { ttl?: number; idle?: number }[] = [
    {},
    { ttl: 100 },
    { idle: 50 },
    { ttl: 100, idle: 50 }
  ]
  const changes: ChangeOptions[] = [
    { ttl: 200 },
    { ttl: 20.5 },
    { ttl: null },
    { idle: 300 },
    { idle: 10 },
    { idle: null },
    { ttl: 40, idle: 30 },
    { ttl: 30, idle: 40 },
    { ttl: null, idle: 30 },
    { ttl: 30, idle: null },
    { ttl: null, idle: null }
  ]

  test.each(before)('of a token with %j, counted from now; null is never', async (lifetime) => {
    const { tokens, all, name } = open()
    for (const change of changes) {
      const begun = await redisNow()
      const added = await tokens.add({ owner_id: 'user-7', ...lifetime })
      const issued = await redisNow()
      await passed(issued)
      const from = await redisNow()
      const changed = (await tokens.change(added.id, change))!
      const to = await redisNow()
      const { ttl, idle = lifetime.idle } = change
      /** When it expires, had it been changed then. */
      const end = (now: number, ttlFrom: number): number =>
        Math.min(
          ttl === null ? Infinity : ttlFrom + (ttl ?? lifetime.ttl ?? Infinity) * 1000,
          idle === null ? Infinity : now + (idle ?? Infinity) * 1000
        )
      const { expires_at = Infinity, used_at } = changed
      // An old ttl goes on from when the token was issued.
      const isOld = ttl === undefined
      expect(expires_at).toBeGreaterThanOrEqual(end(from, isOld ? begun : from))
      expect(expires_at).toBeLessThanOrEqual(end(to, isOld ? issued : to))
      expect(used_at).toBe(idle ? expires_at - idle * 1000 : undefined)
      expect(await tokens.get(added.id)).toEqual(changed)
      const ends = expires_at === Infinity ? null : expires_at
      for (const at of [name('key', added.key), name('id', added.id), name('tokens', 'user-7')])
        expect([change, await endOf(at)]).toEqual([change, ends])
      await tokens.del(added.id)
    }
    expect(await all()).toEqual({})
  })

  test('stay to the millisecond when neither is given, whatever the store says', async () => {
    const { tokens, prefix, beside } = open()
    const { tokens: other } = open({ prefix, ttl: 1000, idle: 500 })
    for (const lifetime of before) {
      const token = await tokens.add({ owner_id: 'user-7', ...lifetime })
      await passed((await redisNow()) + 2)
      const changed = { ...token, attrs: { a: 1 }, owner_id: beside('user-7') }
      const { attrs, owner_id } = changed
      expect(await other.change(token.id, { attrs, owner_id })).toEqual(listed(changed))
      expect(await tokens.get(token.id)).toEqual(listed(changed))
    }
  })

  test("a use is written as the store's touchEvery says, else by a tenth of idle", async () => {
    for (const [touchEvery, every] of [
      [undefined, 1000],
      [3, 3000]
    ]) {
      const { tokens, all, name } = open({ touchEvery })
      const { id, key } = await tokens.add({ owner_id: 'user-7' })
      await tokens.change(id, { idle: 10 })
      expect((await all())[name('key', key)]).toMatchObject({
        value: expect.stringContaining(`,"idle":10000,"every":${every},`)
      })
    }
  })

  test('the new one goes on as one of add does', async () => {
    const { tokens } = open({ touchEvery: 0.001 })
    const { id, key } = await tokens.add({ owner_id: 'user-7' })
    const changed = (await tokens.change(id, { idle: 100 }))!
    await passed(changed.expires_at! - 100_000 + 5)
    expect((await tokens.getKey(key))!.expires_at).toBeGreaterThan(changed.expires_at!)
    const { expires_at } = (await tokens.change(id, { ttl: 0.2 }))!
    await passed(expires_at! + 1)
    expect(await tokens.getKey(key)).toBeNull()
  })
})

describe('limit', () => {
  test('rejects by default what would be too many, and nothing changes', async () => {
    const { tokens, all, beside } = open()
    const owner_id = beside('user-7')
    const token = await tokens.add({ owner_id: 'user-7' })
    for (let i = 0; i < 2; i++) await tokens.add({ owner_id })
    const before = await all()
    for (const onLimit of [undefined, 'reject'] as const) {
      const change = { owner_id, limit: 2, onLimit, attrs: { a: 1 }, ttl: 5 }
      const error: unknown = await tokens.change(token.id, change).catch((error: unknown) => error)
      expect(error).toBeInstanceOf(LimitError)
      expect(error).toMatchObject({ code: 'TSLIMIT' })
    }
    expect(await all()).toEqual(before)
    const changed = await tokens.change(token.id, { owner_id, limit: 3 })
    expect(changed).toEqual(listed({ ...token, owner_id }))
    expect(await tokens.count(owner_id)).toBe(3)
  })

  test('evicts those of the new owner that would expire first, and never the token itself', async () => {
    const { tokens, all, beside } = open()
    const owner_id = beside('user-7')
    const token = await tokens.add({ owner_id: 'user-7', ttl: 60 })
    const stays = await tokens.add({ owner_id: 'user-7', ttl: 50 })
    const [never, late, soon] = [
      await tokens.add({ owner_id }),
      await tokens.add({ owner_id, ttl: 200 }),
      await tokens.add({ owner_id, ttl: 100 })
    ]
    const change = (limit: number) => tokens.change(token.id, { owner_id, limit, onLimit: 'evict' })
    const changed = { ...listed({ ...token, owner_id }), evicted: [] as string[] }
    expect(await change(4)).toEqual(changed)
    expect(await change(3)).toEqual({ ...changed, evicted: [soon.id] })
    expect(await change(1)).toEqual({ ...changed, evicted: [late.id, never.id] })
    expect(await tokens.get(token.id)).not.toHaveProperty('evicted')
    expect(await tokens.list(owner_id)).toEqual([listed({ ...token, owner_id })])
    for (const { key } of [never, late, soon]) expect(await tokens.getKey(key)).toBeNull()
    expect(await tokens.getKey(stays.key)).toEqual(stays)
    expect(Object.keys(await all())).toHaveLength(6)
  })

  test('counts only the living', async () => {
    const { tokens, beside } = open()
    const owner_id = beside('user-7')
    const ended = await tokens.add({ owner_id, ttl: 0.05 })
    await tokens.del((await tokens.add({ owner_id })).id)
    const { id } = await tokens.add({ owner_id: 'user-7' })
    await passed(ended.expires_at! + 1)
    expect(await tokens.change(id, { owner_id, limit: 1 })).toMatchObject({ owner_id })
  })
})

test('null when the token is gone, and nothing is written', async () => {
  const { tokens, all, spare, name, beside } = open()
  const [deleted, ended, evicted] = [
    await tokens.add({ owner_id: 'user-7' }),
    await tokens.add({ owner_id: 'user-7', ttl: 0.05 }),
    await tokens.add({ owner_id: 'user-7' })
  ]
  await tokens.del(deleted.id)
  await topology.redis().del(name('key', evicted.key))
  await passed(ended.expires_at! + 1)
  const before = await all()
  const change = { owner_id: beside('user-7'), ttl: 100, attrs: {} }
  for (const id of [deleted.id, ended.id, evicted.id, spare('user-7').id, 'x', '*', '\0']) {
    expect(await tokens.change(id, change)).toBeNull()
    expect(await tokens.change(id, { ...change, from: { a: 1 } })).toBeNull()
  }
  expect(await all()).toEqual(before)
})

test('attrs come back as JSON carries them', async () => {
  const { tokens } = open()
  const { id, key } = await tokens.add({ owner_id: 'user-7', attrs: { old: true }, idle: 100 })
  for (const attrs of Object.values(attrsToCarry) as Record<string, unknown>[]) {
    expectCarried((await tokens.change(id, { attrs }))!.attrs, attrs)
    expectCarried((await tokens.change(id, { ttl: 1000 }))!.attrs, attrs)
    expectCarried((await tokens.getKey(key))!.attrs, attrs)
  }
})

test('of many changes at once each happens as a whole, one after the other', async () => {
  const { tokens, all, beside } = open()
  const owners = ['user-7', beside('user-7')]
  const { id, key } = await tokens.add({ owner_id: 'user-7' })
  const changes = Array.from({ length: 50 }, (_, n) => {
    const owner_id = owners[n % 2]!
    return tokens.change(id, { owner_id, attrs: { owner_id, n }, ttl: 1000 + n })
  })
  for (const token of await Promise.all(changes))
    expect(token!.owner_id).toBe(token!.attrs['owner_id'])
  const last = (await tokens.getKey(key))!
  expect(last.owner_id).toBe(last.attrs['owner_id'])
  expect(await tokens.count(last.owner_id)).toBe(1)
  expect(Object.keys(await all())).toHaveLength(3)
})

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  const { id } = await opened.tokens.add({ owner_id: 'user-7' })
  const refused = (says: string, ...calls: unknown[][]): Promise<void> =>
    refuses(opened, 'change', says, ...calls)
  const having = (name: string, values: unknown[], more: object = {}): unknown[][] =>
    values.filter((value) => value !== undefined).map((value) => [id, { ...more, [name]: value }])
  const owner_id = 'user-7'

  await refused(
    'id must be a non-empty well-formed string',
    ...[...noText(), '\ud800'].map((wrong) => [wrong, { ttl: 5 }])
  )
  await refused('options must be a plain object', ...noObject().map((wrong) => [id, wrong]))
  await refused('options must be a plain object with nothing but owner_id', [id, { owner: 'a' }])
  const nothing = 'options must be an object with owner_id, ttl, idle or attrs'
  await refused(nothing, [id], [id, undefined], [id, {}], [id, { ttl: undefined }])
  await refused(nothing, [id, { replicas: 0 }], [id, { from: {} }])
  await refused(
    'owner_id must be a non-empty well-formed string',
    ...having('owner_id', [...noText(), '\ud800'])
  )
  const noAttrs = [null, [], 'a', 7, () => 1, new Date(0), { toJSON: () => [] }]
  await refused('attrs must be a plain object', ...having('attrs', noAttrs))
  await refused('from must be a plain object', ...having('from', noAttrs, { ttl: 5 }))
  for (const [says, a] of notCarried('attrs', '.a')) await refused(says, [id, { attrs: { a } }])
  for (const [says, a] of notCarried('from', '.a'))
    await refused(says, [id, { ttl: 5, from: { a } }])
  await refused('ttl must be a number of seconds', ...having('ttl', noSeconds()))
  await refused('idle must be a number of seconds', ...having('idle', noSeconds()))
  await refused(
    'limit must be a whole number',
    ...having('limit', [0, -1, 1.5, NaN, 1e10, '5', null, 5n, true], { owner_id })
  )
  await refused(
    "onLimit must be 'reject' or 'evict'",
    ...having('onLimit', ['REJECT', null, true, 1, []], { owner_id, limit: 3 })
  )
  await refused('replicas must be a whole number', ...having('replicas', [-1, '1'], { owner_id }))

  // What excludes or needs another.
  await refused(
    'owner_id must be given together with limit',
    [id, { limit: 3 }],
    [id, { limit: 3, onLimit: 'evict', ttl: 5 }]
  )
  await refused('owner_id must be given together with onLimit', [id, { onLimit: 'evict', ttl: 5 }])
  await refused('limit must be given together with onLimit', [id, { owner_id, onLimit: 'evict' }])
  const touching = open({ touchEvery: 60 })
  await refuses(touching, 'change', "idle must be at least the store's touchEvery", [
    id,
    { idle: 59 }
  ])
})

test('a partitioned store refuses an owner of another root, and sends nothing', async () => {
  const prefix = freshPrefix().replace(/[{}]/g, '')
  const redis = client()
  const tokens = store({ ...topology.config, redis, prefix, partitioned: true })
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  const before = await names(redis, prefix)
  const send = jest.spyOn(redis, 'sendCommand')
  const change = { owner_id: 'user-8', ttl: 5, attrs: {} }
  const error: unknown = await tokens.change(token.id, change).catch((error: unknown) => error)
  expect(send).not.toHaveBeenCalled()
  send.mockRestore()
  expect(error).toMatchObject({
    name: 'TokenstoreError',
    code: 'TSPARTITION',
    message: expect.stringMatching(/^change: .*add a new token for that owner and del this one$/)
  })
  await expect(viaCallback((done) => tokens.change(token.id, change, done))).rejects.toMatchObject({
    code: 'TSPARTITION'
  })
  expect(await names(redis, prefix)).toEqual(before)
  // What cannot be an id is not found, whoever the owner is.
  expect(await tokens.change('x', change)).toBeNull()
  expect(await tokens.change(token.id, { owner_id: 'user-7', attrs: {} })).toEqual(
    listed({ ...token, attrs: {} })
  )
})

test("what is none of the store's stays as it is", async () => {
  const { tokens, all, spare, name, beside } = open()
  const redis = topology.redis()
  const { key, id } = spare('user-7')
  const owner_id = beside('user-7')
  const fails = async (of = id): Promise<void> => {
    const before = await all()
    await expect(tokens.change(of, { owner_id, ttl: 5, attrs: {} })).rejects.toMatchObject({
      code: 'TSRECORD',
      name: 'TokenstoreError'
    })
    expect(await all()).toEqual(before)
  }
  await redis.sadd(name('id', id), 'a')
  await fails()
  await topology.index(name('id', id), key)
  await redis.hset(name('key', key), 'a', '1')
  await fails()
  for (const stray of [
    'text',
    `{"owner_id":"user-7","attrs":{},"key":"${stored(key)}","id":"${id}"}`
  ]) {
    await redis.del(name('key', key))
    await redis.set(name('key', key), stray)
    await fails()
  }
  const token = await tokens.add({ owner_id: 'user-7' })
  await redis.sadd(name('tokens', owner_id), 'a')
  await fails(token.id)
  await redis.del(name('tokens', owner_id), name('tokens', 'user-7'))
  await redis.sadd(name('tokens', 'user-7'), 'a')
  await fails(token.id)
})
