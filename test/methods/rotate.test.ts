import { KeyTakenError } from '../../src/main'
import type { Config, Token } from '../../src/types'
import { freshPrefix, store, until } from '../support'
import {
  attrsToCarry,
  closeAfterAll,
  endsBetween,
  endOf,
  expectCarried,
  listed,
  noObject,
  noSeconds,
  noText,
  open,
  passed,
  redisNow,
  refuses,
  stored,
  strangeOwners,
  topology,
  usedTill,
  viaCallback
} from './support'

closeAfterAll()

test('gives a token a new key and leaves nothing of the old one', async () => {
  const { tokens, all, name } = open()
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  const before = await all()
  const rotated = (await tokens.rotate(token.id))!
  expect(rotated).toEqual({
    ...token,
    key: expect.stringMatching(/^[\w-]{24}$/)
  })
  expect(rotated.key).not.toBe(token.key)
  expect(await tokens.getKey(token.key)).toBeNull()
  expect(await tokens.getKey(rotated.key)).toEqual(rotated)
  expect(await tokens.get(token.id)).toEqual(listed(rotated))
  expect(await tokens.list('user-7')).toEqual([listed(rotated)])
  expect(await all()).toEqual({
    [name('key', rotated.key)]: before[name('key', token.key)],
    [name('id', token.id)]: {
      type: 'string',
      value: stored(rotated.key),
      expires: false
    },
    [name('tokens', 'user-7')]: before[name('tokens', 'user-7')]
  })
})

test('with a callback', async () => {
  const { tokens, spare } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const rotated = await viaCallback<Token | null>((done) => tokens.rotate(token.id, done))
  expect(await tokens.getKey(rotated!.key)).toEqual(rotated)
  await viaCallback((done) => tokens.rotate(token.id, { grace: 100 }, done))
  expect(await tokens.getKey(rotated!.key)).not.toBeNull()
  expect(await viaCallback((done) => tokens.rotate(spare('user-7').id, done))).toBeNull()
})

test('null when the token is gone, and nothing is written', async () => {
  const { tokens, all, spare, name } = open()
  const [deleted, evicted] = [
    await tokens.add({ owner_id: 'user-7' }),
    await tokens.add({ owner_id: 'user-7' })
  ]
  await tokens.del(deleted.id)
  await topology.redis().del(name('key', evicted.key))
  const before = await all()
  for (const id of [deleted.id, evicted.id, spare('user-7').id, 'x', '*', '\0']) {
    expect(await tokens.rotate(id, { grace: 100 })).toBeNull()
  }
  expect(await all()).toEqual(before)
})

test('the lifetime stays, and goes on as before', async () => {
  const { tokens, all } = open({ touchEvery: 0.001 })
  for (const life of [{ ttl: 100 }, { idle: 100 }, { ttl: 200, idle: 100 }]) {
    const token = await tokens.add({ owner_id: 'user-7', ...life })
    const rotated = (await tokens.rotate(token.id))!
    expect(rotated.expires_at).toBe(token.expires_at)
    expect(await tokens.get(token.id)).toEqual(listed(rotated))
    await passed(token.expires_at! - 100_000 + 5)
    const used = (await tokens.getKey(rotated.key))!
    if (life.idle) expect(used.expires_at).toBeGreaterThan(token.expires_at!)
    else expect(used.expires_at).toBe(token.expires_at)
  }
  expect(Object.values(await all())).toEqual(
    Array(7).fill(expect.objectContaining({ expires: true }))
  )
})

test('attrs and owner come back as they were', async () => {
  const { tokens } = open()
  for (const [i, attrs] of (Object.values(attrsToCarry) as Record<string, unknown>[]).entries()) {
    const owner_id = strangeOwners.at(-i - 1)!
    const { id, key } = await tokens.add({ owner_id, attrs, idle: 100 })
    for (const grace of [undefined, 50, 60]) {
      const rotated = (await tokens.rotate(id, { grace }))!
      expect(rotated.owner_id).toBe(owner_id)
      expectCarried(rotated.attrs, attrs)
      expectCarried((await tokens.getKey(rotated.key))!.attrs, attrs)
    }
    expect(await tokens.getKey(key)).toBeNull()
    expect(await tokens.del(id)).toBe(true)
  }
})

describe('with grace', () => {
  test('the old key goes on opening the token, its current attrs', async () => {
    const { tokens } = open()
    const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
    const rotated = (await tokens.rotate(token.id, { grace: 100 }))!
    expect(await tokens.getKey(token.key)).toEqual(token)
    await tokens.set(token.id, { a: 2 })
    expect(await tokens.getKey(token.key)).toEqual({
      ...token,
      attrs: { a: 2 }
    })
    expect(await tokens.list('user-7')).toEqual([listed({ ...rotated, attrs: { a: 2 } })])
    expect(await tokens.getKey(rotated.key)).toMatchObject({ attrs: { a: 2 } })
    expect(await tokens.count('user-7')).toBe(1)
  })

  test('the old key opens it until the grace is over', async () => {
    const { tokens, all } = open()
    const token = await tokens.add({ owner_id: 'user-7' })
    const from = await redisNow()
    const rotated = (await tokens.rotate(token.id, { grace: 0.4 }))!
    const made = await redisNow()
    await endsBetween(from + 400, made + 400, () => tokens.getKey(token.key))
    expect(await tokens.getKey(rotated.key)).toEqual(rotated)
    expect(Object.keys(await all())).toHaveLength(3)
  })

  test('several old keys at once, and one without grace beside them', async () => {
    const { tokens, all, name } = open()
    const first = await tokens.add({ owner_id: 'user-7' })
    const second = (await tokens.rotate(first.id, { grace: 100 }))!
    const third = (await tokens.rotate(first.id, { grace: 100 }))!
    const fourth = (await tokens.rotate(first.id))!
    expect(await tokens.getKey(third.key)).toBeNull()
    for (const { key } of [first, second, fourth])
      expect(await tokens.getKey(key)).toMatchObject({ id: first.id, key })
    expect(Object.keys(await all())).toHaveLength(5)
    await tokens.del(first.id)
    for (const { key } of [first, second, fourth]) expect(await tokens.getKey(key)).toBeNull()
    const left = [first, second].map(({ key }) => name('key', key))
    expect(Object.keys(await all())).toEqual(left.sort())
  })

  test('an old key holds the id of its token and until when, and the record not a byte more', async () => {
    const { tokens, all, name } = open()
    const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
    const record = (await all())[name('key', token.key)]
    const from = await redisNow()
    let key = token.key
    for (let i = 0; i < 20; i++) key = (await tokens.rotate(token.id, { grace: 100 }))!.key
    const made = await redisNow()
    expect((await all())[name('key', key)]).toEqual(record)
    const till = (await endOf(name('key', token.key)))!
    expect(till).toBeGreaterThanOrEqual(from + 100_000)
    expect(till).toBeLessThanOrEqual(made + 100_000)
    expect((await all())[name('key', token.key)]).toEqual({
      type: 'string',
      value: `${token.id} ${till}`,
      expires: true
    })
  })

  test('never longer than the token lives', async () => {
    const { tokens, all, name } = open()
    const token = await tokens.add({ owner_id: 'user-7', ttl: 0.3 })
    await tokens.rotate(token.id, { grace: 100 })
    await endsBetween(token.expires_at!, token.expires_at!, () => tokens.getKey(token.key))
    expect(Object.keys(await all())).toEqual([name('key', token.key)])
  })

  test('an id forced again is opened by the old key of its earlier life', async () => {
    const { tokens } = open()
    const token = await tokens.add({ owner_id: 'user-7' })
    const { key } = (await tokens.rotate(token.id, { grace: 100 }))!
    await tokens.del(token.id)
    expect(await tokens.getKey(token.key)).toBeNull()
    await tokens.add({ ...token, key, attrs: { again: true } })
    expect(await tokens.getKey(token.key)).toMatchObject({
      id: token.id,
      attrs: { again: true }
    })
  })

  test('a use by the old key moves the end of the token, but not its own', async () => {
    const { tokens, name } = open({ touchEvery: 0.001 })
    const token = await tokens.add({ owner_id: 'user-7', idle: 100 })
    const rotated = (await tokens.rotate(token.id, { grace: 200 }))!
    const till = await endOf(name('key', token.key))
    await passed(token.expires_at! - 100_000 + 50)
    const { expires_at } = (await tokens.getKey(token.key))!
    expect(expires_at).toBeGreaterThan(token.expires_at!)
    expect(await tokens.getKey(rotated.key, { touch: false })).toEqual(
      usedTill(rotated, expires_at!)
    )
    expect(await endOf(name('key', rotated.key))).toBe(expires_at)
    expect(await endOf(name('key', token.key))).toBe(till)
  })

  test('the old key is not free for another token meanwhile, and is afterwards', async () => {
    const { tokens, all, spare } = open()
    const [now, soon] = [
      await tokens.add({ owner_id: 'user-7' }),
      await tokens.add({ owner_id: 'user-7' })
    ]
    await tokens.rotate(now.id, { grace: 100 })
    const before = await all()
    const { id } = spare('user-7')
    await expect(tokens.add({ owner_id: 'user-7', key: now.key, id })).rejects.toMatchObject({
      code: 'TSKEYTAKEN'
    })
    expect(await all()).toEqual(before)
    await tokens.rotate(soon.id, { grace: 0.1 })
    await until(async () => (await tokens.getKey(soon.key)) === null)
    const other = await tokens.add({ owner_id: 'user-7', key: soon.key, id })
    expect(await tokens.del(soon.id)).toBe(true)
    expect(await tokens.getKey(soon.key)).toEqual(other)
  })
})

test('of many rotations at once exactly one answered key is the token’s own, and nothing of the others is left', async () => {
  const { tokens, all } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const rotated = await Promise.all(Array.from({ length: 50 }, () => tokens.rotate(token.id)))
  const found = await Promise.all(
    [token, ...rotated].map((rotation) => tokens.getKey(rotation!.key))
  )
  expect(found.filter((token) => token !== null)).toHaveLength(1)
  expect(Object.keys(await all())).toHaveLength(3)
})

test('of many rotations from one key at once exactly one happens', async () => {
  const { tokens, all } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const tries = Array.from({ length: 50 }, () => tokens.rotate(token.id, { from: token.key }))
  const outcomes = await Promise.allSettled(tries)
  const won = outcomes.flatMap((one) => (one.status === 'fulfilled' ? [one.value!] : []))
  const lost = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason as Error] : []))
  expect(won).toHaveLength(1)
  expect(lost).toHaveLength(49)
  for (const error of lost)
    expect(error).toMatchObject({ name: 'ConflictError', code: 'TSCONFLICT' })
  expect(await tokens.getKey(won[0]!.key)).toEqual(won[0])
  expect(await tokens.getKey(token.key)).toBeNull()
  expect(Object.keys(await all())).toHaveLength(3)
})

test('from is the key of the token: no old one, none of another, and never of a gone one', async () => {
  const { tokens, all, spare } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const other = await tokens.add({ owner_id: 'user-7' })
  const second = (await tokens.rotate(token.id, { from: token.key, grace: 100 }))!
  const before = await all()
  for (const from of [token.key, other.key, 'x'])
    await expect(tokens.rotate(token.id, { from })).rejects.toMatchObject({ code: 'TSCONFLICT' })
  expect(await tokens.rotate(spare('user-7').id, { from: token.key })).toBeNull()
  expect(await all()).toEqual(before)
  // What getKey answers by a key within its grace has that key.
  const inHand = (await tokens.getKey(token.key))!
  await expect(tokens.rotate(token.id, { from: inHand.key })).rejects.toThrow()
  expect((await tokens.rotate(token.id, { from: second.key }))!.id).toBe(token.id)
  await tokens.del(token.id)
  expect(await tokens.rotate(token.id, { from: second.key })).toBeNull()
})

describe('key', () => {
  test('forces the new key', async () => {
    const { tokens, spare, name } = open()
    const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 }, ttl: 100 })
    const { key } = spare('user-7')
    expect(await tokens.rotate(token.id, { key, from: token.key })).toEqual({ ...token, key })
    expect(await tokens.getKey(key)).toEqual({ ...token, key })
    expect(await tokens.getKey(token.key)).toBeNull()
    expect(await topology.redis().get(name('id', token.id))).toBe(stored(key))
    // And back, with a grace for the one between.
    const back = await tokens.rotate(token.id, { key: token.key, grace: 100 })
    expect(back).toEqual(token)
    expect(await tokens.getKey(key)).toEqual({ ...token, key })
  })

  test('the same again answers the stored token and writes nothing, whatever from says', async () => {
    const { tokens, all, spare } = open()
    const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
    const { key } = spare('user-7')
    const options = { key, grace: 100, from: token.key }
    const rotated = await tokens.rotate(token.id, options)
    const before = await all()
    expect(await tokens.rotate(token.id, options)).toEqual(rotated)
    expect(await all()).toEqual(before)
  })

  test('one that is in use, or within its grace, is refused and nothing changes', async () => {
    const { tokens, all } = open()
    const token = await tokens.add({ owner_id: 'user-7' })
    const other = await tokens.add({ owner_id: 'user-7' })
    await tokens.rotate(token.id, { grace: 100 })
    const before = await all()
    for (const key of [other.key, token.key]) {
      const error: unknown = await tokens
        .rotate(token.id, { key, grace: 100 })
        .catch((error: unknown) => error)
      expect(error).toBeInstanceOf(KeyTakenError)
      expect(error).toMatchObject({ code: 'TSKEYTAKEN' })
    }
    expect(await all()).toEqual(before)
  })

  test('is one of the owner on a partitioned store', async () => {
    const prefix = freshPrefix().replace(/[{}]/g, '')
    const tokens = store({ ...topology.config, prefix, partitioned: true })
    const [token, other] = [
      await tokens.add({ owner_id: 'user-7' }),
      await tokens.add({ owner_id: 'user-8' })
    ]
    await expect(tokens.rotate(token.id, { key: other.key })).rejects.toThrow(
      new TypeError('key must be one once issued to this owner: it carries another tag')
    )
    const key = token.key.slice(0, 3) + 'x'.repeat(21)
    expect(await tokens.rotate(token.id, { key })).toEqual({ ...token, key })
  })
})

test('keys are as long as the store says', async () => {
  const { tokens } = open({ size: 40 })
  const { id } = await tokens.add({ owner_id: 'user-7' })
  expect((await tokens.rotate(id))!.key).toMatch(/^[\w-]{40}$/)
})

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  const { id } = await opened.tokens.add({ owner_id: 'user-7' })
  const refused = (says: string, ...calls: unknown[][]): Promise<void> =>
    refuses(opened, 'rotate', says, ...calls)
  await refused(
    'id must be a non-empty well-formed string',
    ...[...noText(), '\ud800'].map((wrong) => [wrong])
  )
  await refused('options must be a plain object', ...noObject().map((wrong) => [id, wrong]))
  await refused('options must be a plain object with nothing but grace', [id, { gracce: 5 }])
  await refused(
    'grace must be a number of seconds',
    ...[null, ...noSeconds()].map((grace) => [id, { grace }])
  )
  await refused(
    'from must be a non-empty well-formed string',
    ...[...noText(), null, '\ud800']
      .filter((from) => from !== undefined)
      .map((from) => [id, { from }])
  )
  await refused(
    'key must be a non-empty well-formed string',
    ...[...noText(), '\ud800'.repeat(24)]
      .filter((key) => key !== undefined)
      .map((key) => [id, { key }])
  )
  const ofLength = (config: Config, says: string, ...keys: string[]): Promise<void> =>
    refuses(open(config), 'rotate', says, ...keys.map((key) => [id, { key }]))
  const exact = 'key must be a string of exactly 24 characters'
  await ofLength({ digest: false }, exact, 'a', 'a'.repeat(23), 'a'.repeat(25))
  await ofLength({ digest: false, size: 128 }, 'key must be at most 256', '日'.repeat(128))
  await ofLength({ digest: true }, 'key must be a string of at most 4096', 'a'.repeat(4097))
})

test("what is none of the store's stays as it is", async () => {
  const { tokens, all, spare, name } = open()
  const redis = topology.redis()
  const { key, id } = spare('user-7')
  const fails = async (): Promise<void> => {
    const before = await all()
    await expect(tokens.rotate(id)).rejects.toMatchObject({
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
  await redis.del(name('key', key))
  await redis.set(
    name('key', key),
    `{"owner_id":"user-7","attrs":{},"key":"${stored(key)}","id":"${id}"}`
  )
  await fails()
})
