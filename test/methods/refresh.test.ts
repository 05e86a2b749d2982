import { ReuseError, TokenstoreError } from '../../src/main'
import type { RefreshOptions, Token } from '../../src/types'
import {
  attrsToCarry,
  closeAfterAll,
  endOf,
  endsBetween,
  expectCarried,
  findsNothing,
  listed,
  noObject,
  noSeconds,
  open,
  type Opened,
  passed,
  redisNow,
  refuses,
  stored,
  strangeOwners,
  topology,
  viaCallback
} from './support'

closeAfterAll()

/** A token, refreshed by its first key, whose short grace is over. */
async function refreshed(
  { tokens }: Opened,
  options: RefreshOptions = {}
): Promise<[old: Token, token: Token]> {
  const old = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  const token = (await tokens.refresh(old.key, { grace: 0.001, ...options }))!
  await passed((await redisNow()) + 1)
  return [old, token]
}

test('gives the token of a key a new one, and leaves of the old one whose it was and until when', async () => {
  const { tokens, all, name } = open()
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  const before = await all()
  const from = await redisNow()
  const rotated = (await tokens.refresh(token.key))!
  const to = await redisNow()
  expect(rotated).toEqual({ ...token, key: expect.stringMatching(/^[\w-]{24}$/) })
  expect(rotated.key).not.toBe(token.key)
  const old = (await all())[name('key', token.key)] as { value: string }
  const [, till] = old.value.split(' ').map(Number)
  expect(till).toBeGreaterThanOrEqual(from + 10_000)
  expect(till).toBeLessThanOrEqual(to + 10_000)
  expect(await endOf(name('key', token.key))).toBe(till! - 10_000 + 86_400_000)
  expect(await all()).toEqual({
    [name('key', token.key)]: { type: 'string', value: `${token.id} ${till}`, expires: true },
    [name('key', rotated.key)]: before[name('key', token.key)],
    [name('id', token.id)]: { type: 'string', value: stored(rotated.key), expires: false },
    [name('tokens', 'user-7')]: before[name('tokens', 'user-7')]
  })
  expect(await tokens.getKey(rotated.key)).toEqual(rotated)
  expect(await tokens.getKey(token.key)).toEqual(token)
  expect(await tokens.get(token.id)).toEqual(listed(rotated))
  expect(await tokens.list('user-7')).toEqual([listed(rotated)])
})

test('with a callback', async () => {
  const opened = open()
  const { tokens } = opened
  const { key } = await tokens.add({ owner_id: 'user-7' })
  const rotated = await viaCallback<Token | null>((done) => tokens.refresh(key, done))
  expect(await tokens.getKey(rotated!.key)).toEqual(rotated)
  const again = await viaCallback<Token | null>((done) =>
    tokens.refresh(rotated!.key, { grace: null, detect: null }, done)
  )
  expect(again).toMatchObject({ id: rotated!.id })
  expect(await viaCallback((done) => tokens.refresh(rotated!.key, done))).toBeNull()
  const [old, { id }] = await refreshed(opened)
  await expect(viaCallback((done) => tokens.refresh(old.key, done))).rejects.toMatchObject({
    name: 'ReuseError',
    id
  })
})

test('keeps the old key for grace and detect, and for neither when both are null', async () => {
  const { tokens, all, name } = open()
  const { key } = await tokens.add({ owner_id: 'user-7' })
  let newest = key
  for (const [options, opens, known] of [
    [{ grace: 100, detect: 200 }, 100_000, 200_000],
    [{ grace: 100.5, detect: null }, 100_500, 100_500],
    [{ grace: null, detect: 200 }, null, 200_000],
    [{ detect: 50 }, 10_000, 50_000],
    [{ grace: 86_399.9 }, 86_399_900, 86_400_000]
  ] as const) {
    const from = await redisNow()
    const given = newest
    newest = (await tokens.refresh(given, options))!.key
    const spent = (await redisNow()) - from
    const [, till] = ((await all())[name('key', given)] as { value: string }).value.split(' ')
    const end = (await endOf(name('key', given)))! - from - known
    expect(end).toBeGreaterThanOrEqual(0)
    expect(end).toBeLessThanOrEqual(spent)
    expect(Number(till)).toBe(opens === null ? 0 : from + end + opens)
    expect(await tokens.getKey(given)).toEqual(
      opens === null ? null : expect.objectContaining({ key: given })
    )
  }
  const last = (await tokens.refresh(newest, { grace: null, detect: null }))!
  expect(await endOf(name('key', newest))).toBe(-2)
  expect(await tokens.getKey(last.key)).toEqual(last)
})

test('a key is not watched for longer than its token can live', async () => {
  const { tokens, name } = open()
  const [token, idle] = [
    await tokens.add({ owner_id: 'user-7', ttl: 50 }),
    await tokens.add({ owner_id: 'user-7', idle: 50 })
  ]
  for (const { key } of [token, idle]) await tokens.refresh(key)
  expect(await endOf(name('key', token.key))).toBe(token.expires_at)
  // One that is used lives on.
  expect(await endOf(name('key', idle.key))).toBeGreaterThan(idle.expires_at!)
})

test('counts as a use, whatever touchEvery says, never past ttl', async () => {
  const { tokens, name } = open({ touchEvery: 40 })
  for (const lifetime of [{ idle: 50 }, { idle: 50, ttl: 100 }, { idle: 50, ttl: 50.002 }]) {
    const token = await tokens.add({ owner_id: 'user-7', ...lifetime })
    const issued = token.expires_at! - 50_000
    await passed(issued + 5)
    const from = await redisNow()
    const { key, expires_at, used_at } = (await tokens.refresh(token.key))!
    const to = await redisNow()
    const end = (now: number): number =>
      Math.min(now + 50_000, issued + ((lifetime as { ttl?: number }).ttl ?? Infinity) * 1000)
    expect(expires_at).toBeGreaterThanOrEqual(end(from))
    expect(expires_at).toBeLessThanOrEqual(end(to))
    expect(used_at).toBe(expires_at! - 50_000)
    expect(await tokens.getKey(key)).toMatchObject({ expires_at, used_at })
    for (const at of [name('key', key), name('id', token.id), name('tokens', 'user-7')])
      expect(await endOf(at)).toBe(expires_at)
    await tokens.del(token.id)
  }
  const never = await tokens.add({ owner_id: 'user-7' })
  expect(await tokens.refresh(never.key)).not.toHaveProperty('expires_at')
  const ttl = await tokens.add({ owner_id: 'user-7', ttl: 50 })
  expect(await tokens.refresh(ttl.key)).toMatchObject({ expires_at: ttl.expires_at })
})

describe('within the grace of a key', () => {
  test('gives the token another new key, since the answer was lost', async () => {
    const { tokens, all } = open()
    const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
    const lost = (await tokens.refresh(token.key))!
    const found = (await tokens.refresh(token.key))!
    expect(found).toEqual({ ...token, key: expect.any(String) })
    expect(await tokens.list('user-7')).toEqual([listed(found)])
    for (const key of [token.key, lost.key, found.key])
      expect(await tokens.getKey(key)).toEqual({ ...token, key })
    expect(Object.keys(await all())).toHaveLength(5)
  })

  test('of many at once none is taken for theft, and one answered key is the token’s own', async () => {
    const { tokens, prefix, all } = open()
    const stores = [tokens, open({ prefix }).tokens]
    const token = await tokens.add({ owner_id: 'user-7' })
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => stores[i % 2]!.refresh(token.key))
    )
    const keys = [token, ...answers].map((answer) => answer!.key)
    expect(new Set(keys).size).toBe(41)
    const found = await Promise.all(keys.map((key) => tokens.getKey(key)))
    expect(found.map((one) => one!.id)).toEqual(keys.map(() => token.id))
    const records = Object.values(await all()).filter((entry) =>
      /"value":"{/.test(JSON.stringify(entry))
    )
    expect(records).toHaveLength(1)
    expect(await tokens.count('user-7')).toBe(1)
  })

  test('so does one that rotate left, and afterwards it is unknown', async () => {
    const { tokens } = open()
    const token = await tokens.add({ owner_id: 'user-7' })
    await tokens.rotate(token.id, { grace: 0.3 })
    expect(await tokens.refresh(token.key, { grace: 100 })).toMatchObject({ id: token.id })
    const from = await redisNow()
    await endsBetween(from - 10_000, from + 300, () => tokens.getKey(token.key))
    expect(await tokens.refresh(token.key)).toBeNull()
    expect(await tokens.count('user-7')).toBe(1)
  })
})

describe('past the grace of a key', () => {
  test('revokes the token, and says whose it was', async () => {
    const opened = open()
    const { tokens, all } = opened
    const other = await tokens.add({ owner_id: 'user-7' })
    const before = await all()
    const [old, { key, id }] = await refreshed(opened)
    const newest = (await tokens.refresh(key))!
    const error: unknown = await tokens.refresh(old.key).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(ReuseError)
    expect(error).toBeInstanceOf(TokenstoreError)
    expect(error).toMatchObject({ name: 'ReuseError', code: 'TSREUSE', id, owner_id: 'user-7' })
    for (const dead of [old.key, key, newest.key]) {
      expect(await tokens.getKey(dead)).toBeNull()
      expect(await tokens.refresh(dead)).toBeNull()
    }
    expect(await tokens.get(id)).toBeNull()
    expect(await tokens.list('user-7')).toEqual([listed(other)])
    // The other old key stays, and leads nowhere.
    const left = { ...before, [opened.name('key', key)]: expect.anything() }
    expect(await all()).toEqual(left)
  })

  test('with grace null, at once', async () => {
    const { tokens } = open()
    const { key, id } = await tokens.add({ owner_id: 'user-7' })
    await tokens.refresh(key, { grace: null })
    expect(await tokens.getKey(key)).toBeNull()
    await expect(tokens.refresh(key)).rejects.toMatchObject({ code: 'TSREUSE', id })
    expect(await tokens.count('user-7')).toBe(0)
  })

  test('of many at once one is told, and the others find nothing', async () => {
    const opened = open()
    const [old] = await refreshed(opened)
    const tries = Array.from({ length: 20 }, () => opened.tokens.refresh(old.key))
    const outcomes = await Promise.allSettled(tries)
    const told = outcomes.filter(({ status }) => status === 'rejected')
    expect(told).toMatchObject([{ reason: { code: 'TSREUSE' } }])
    for (const one of outcomes) if (one.status === 'fulfilled') expect(one.value).toBeNull()
  })

  test('it opens nothing and revokes nothing elsewhere', async () => {
    const opened = open()
    const { tokens, all, spare } = opened
    const [old, token] = await refreshed(opened)
    const before = await all()
    expect(await tokens.getKey(old.key)).toBeNull()
    expect(await tokens.delKey(old.key)).toBe(false)
    await expect(tokens.rotate(token.id, { key: old.key })).rejects.toMatchObject({
      code: 'TSKEYTAKEN'
    })
    await expect(
      tokens.add({ owner_id: 'user-7', key: old.key, id: spare('user-7').id })
    ).rejects.toMatchObject({ code: 'TSKEYTAKEN' })
    expect(await all()).toEqual(before)
    expect(await tokens.getKey(token.key)).toEqual(token)
  })

  test('and past detect it is unknown, and revokes nothing', async () => {
    const opened = open()
    const { tokens, name } = opened
    const [old, token] = await refreshed(opened, { detect: 0.2 })
    const end = (await endOf(name('key', old.key)))!
    await passed(end + 1)
    expect(await tokens.refresh(old.key)).toBeNull()
    expect(await tokens.getKey(token.key)).toEqual(token)
  })

  test('of a token that is gone, or issued again, it finds nothing or that', async () => {
    const opened = open()
    const { tokens } = opened
    const [old, token] = await refreshed(opened)
    await tokens.del(token.id)
    expect(await tokens.refresh(old.key)).toBeNull()
    await tokens.add(token)
    await expect(tokens.refresh(old.key)).rejects.toMatchObject({ code: 'TSREUSE', id: token.id })
  })
})

test('null when the token is gone, and nothing is written', async () => {
  const { tokens, all, spare, name } = open()
  const [deleted, ended, evicted, graced] = [
    await tokens.add({ owner_id: 'user-7' }),
    await tokens.add({ owner_id: 'user-7', ttl: 0.05 }),
    await tokens.add({ owner_id: 'user-7' }),
    await tokens.add({ owner_id: 'user-7' })
  ]
  const { key } = (await tokens.refresh(graced.key))!
  await tokens.del(deleted.id)
  await tokens.delKey(key)
  await topology.redis().del(name('key', evicted.key))
  await passed(ended.expires_at! + 1)
  const before = await all()
  for (const given of [
    ...[deleted, ended, evicted, graced].map((token) => token.key),
    ...[key, spare('user-7').key, deleted.id, 'x', '*', '\0', '😀'.repeat(12)]
  ]) {
    expect(await tokens.refresh(given)).toBeNull()
  }
  expect(await all()).toEqual(before)
})

test('what is no text finds nothing, and Redis is not asked', () => findsNothing('refresh', null))

test('attrs and owner come back as they were', async () => {
  const { tokens } = open()
  for (const [i, attrs] of (Object.values(attrsToCarry) as Record<string, unknown>[]).entries()) {
    const owner_id = strangeOwners.at(-i - 1)!
    const token = await tokens.add({ owner_id, attrs, idle: 100 })
    for (const grace of [null, 50, 60]) {
      const rotated = (await tokens.refresh(token.key, { grace }))!
      expect(rotated.owner_id).toBe(owner_id)
      expectCarried(rotated.attrs, attrs)
      expectCarried((await tokens.getKey(rotated.key))!.attrs, attrs)
      token.key = rotated.key
    }
    await tokens.refresh(token.key, { grace: null })
    await expect(tokens.refresh(token.key)).rejects.toMatchObject({ owner_id })
  }
})

test('keys are as long as the store says', async () => {
  const { tokens } = open({ size: 40 })
  const { key } = await tokens.add({ owner_id: 'user-7' })
  expect((await tokens.refresh(key))!.key).toMatch(/^[\w-]{40}$/)
})

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  const { key } = await opened.tokens.add({ owner_id: 'user-7' })
  const refused = (says: string, ...options: unknown[]): Promise<void> =>
    // Also beside a key that was not sent.
    refuses(
      opened,
      'refresh',
      says,
      ...options.flatMap((wrong) => [
        [key, wrong],
        [undefined, wrong]
      ])
    )
  await refused('options must be a plain object', ...noObject())
  await refused('options must be a plain object with nothing but grace, detect', { Grace: 5 })
  const having = (name: string): object[] => noSeconds().map((wrong) => ({ [name]: wrong }))
  await refused('grace must be a number of seconds', ...having('grace'))
  await refused('detect must be a number of seconds', ...having('detect'))
  await refused(
    'detect must be longer than grace',
    { grace: 5, detect: 5 },
    { grace: 5, detect: 4.999 },
    { detect: 10 },
    { grace: 86_400 }
  )
  await refused(
    'replicas must be a whole number',
    ...[null, -1, 1.5, '1'].map((replicas) => ({ replicas }))
  )
})

test("what is none of the store's stays as it is", async () => {
  const { tokens, all, spare, name } = open()
  const redis = topology.redis()
  const { key, id } = spare('user-7')
  const fails = async (): Promise<void> => {
    const before = await all()
    await expect(tokens.refresh(key)).rejects.toMatchObject({
      code: 'TSRECORD',
      name: 'TokenstoreError'
    })
    expect(await all()).toEqual(before)
  }
  await redis.hset(name('key', key), 'a', '1')
  await fails()
  await redis.del(name('key', key))
  for (const stray of [
    'text',
    `{"owner_id":"user-7","attrs":{},"key":"${stored(key)}","id":"${id}"}`
  ]) {
    await redis.set(name('key', key), stray)
    await fails()
  }
  for (const old of [`${id} 9999999999999`, `${id} 1`]) {
    await redis.set(name('key', key), old)
    const before = await all()
    expect(await tokens.refresh(key)).toBeNull()
    expect(await all()).toEqual(before)
  }
})
