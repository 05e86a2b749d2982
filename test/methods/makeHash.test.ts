import { TokenstoreError } from '../../src/main'
import {
  closeAfterAll,
  endOf,
  expectCarried,
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
  valuesToCarry,
  viaCallback
} from './support'

closeAfterAll()

test('keeps a value under a new hash, for an hour when not said', async () => {
  const { tokens, all, name } = open()
  const from = await redisNow()
  const hash = await tokens.makeHash({ user: 7 })
  expect(hash).toMatch(/^[\w-]{8}$/)
  expect(await all()).toEqual({
    [name('hash', hash)]: { type: 'string', value: '{"user":7}', expires: true }
  })
  const end = (await endOf(name('hash', hash)))!
  expect(end).toBeGreaterThanOrEqual(from + 3_599_995)
  expect(end).toBeLessThanOrEqual((await redisNow()) + 3_600_005)
  expect(await tokens.getHash(hash)).toEqual({ user: 7 })
})

test('with a callback', async () => {
  const { tokens } = open()
  for (const rest of [[], [60], [{ ttl: 60 }], [undefined], [{ replaces: 'a' }]]) {
    const hash = await viaCallback<string>((done) =>
      tokens.makeHash('a', ...(rest as [number]), done)
    )
    expect(await tokens.getHash(hash)).toBe('a')
  }
})

test('for as long as the call says, else the store', async () => {
  const { tokens, name } = open({ hashTtl: 500 })
  for (const [options, seconds] of [
    [undefined, 500],
    [{}, 500],
    [60, 60],
    [60.5, 60.5],
    [{ ttl: 60 }, 60],
    [{ replaces: 'a' }, 500],
    [{ ttl: 60, replaces: 'b' }, 60]
  ] as const) {
    const from = await redisNow()
    const hash = await tokens.makeHash('a', options as number)
    const end = (await endOf(name('hash', hash)))!
    expect(end).toBeGreaterThanOrEqual(from + seconds * 1000 - 5)
    expect(end).toBeLessThanOrEqual((await redisNow()) + seconds * 1000 + 5)
  }
})

test.each(Object.entries(valuesToCarry))(
  'the value comes back as JSON carries it: %s',
  async (_name, value) => {
    const { tokens } = open()
    const hash = await tokens.makeHash(value)
    expectCarried(await tokens.getHash(hash), value)
    expectCarried(await tokens.takeHash(hash), value)
  }
)

test('hashes are as long as the store says', async () => {
  const { tokens } = open({ hashSize: 20 })
  expect(await tokens.makeHash('a')).toMatch(/^[\w-]{20}$/)
})

test('begins and ends with a letter or digit, as a link in a text must', async () => {
  const { tokens } = open({ hashSize: 5 })
  const drawn = Array.from({ length: 500 }, (_, i) =>
    tokens.makeHash('a', i % 2 ? { replaces: String(i) } : {})
  )
  const hashes = await Promise.all(drawn)
  expect(hashes.filter((hash) => !/^[A-Za-z\d][\w-]{3}[A-Za-z\d]$/.test(hash))).toEqual([])
  // Between them everything is as likely as before.
  for (const char of '-_aZ09') {
    const [before, last] = [3, 4].map((at) => hashes.filter((hash) => hash[at] === char).length)
    expect(before).toBeGreaterThan(0)
    if ('-_'.includes(char)) expect(last).toBe(0)
    else expect(last).toBeGreaterThan(0)
  }
})

test('a hash that is taken is drawn again, and what is under it stays', async () => {
  // The shortest that every layout has room for: 64 hashes under one root.
  const hashSize = topology.config.partitioned || topology.config.redis ? 4 : 1
  const { tokens } = open({ hashSize })
  const hashes = new Map<string, number>()
  for (let i = 0; i < 40; i++) hashes.set(await tokens.makeHash(i), i)
  expect(hashes.size).toBe(40)
  for (const [hash, value] of hashes) expect(await tokens.getHash(hash)).toBe(value)
})

test('gives up with an error when every drawn hash is taken', async () => {
  if (topology.config.partitioned || topology.config.redis) return
  const { tokens, all } = open({ hashSize: 1 })
  let error: unknown
  for (let made = 0; error === undefined; made++) {
    expect(made).toBeLessThanOrEqual(64)
    await tokens.makeHash('a').catch((failed: unknown) => (error = failed))
  }
  expect(error).toBeInstanceOf(TokenstoreError)
  expect((error as TokenstoreError).code).toBe('TSHASHES')
  expect(Object.keys(await all()).length).toBeLessThanOrEqual(64)
})

describe('replaces', () => {
  test('ends the hash made last under that name, and no other', async () => {
    const { tokens, all, name } = open()
    const [plain, other] = [
      await tokens.makeHash('plain'),
      await tokens.makeHash('b', { replaces: 'reset:user-8' })
    ]
    const first = await tokens.makeHash(1, { replaces: 'reset:user-7' })
    const from = await redisNow()
    const second = await tokens.makeHash(2, {
      replaces: 'reset:user-7',
      ttl: 100
    })
    const made = await redisNow()
    expect(await tokens.getHash(first)).toBeNull()
    expect(await tokens.getHash(second)).toBe(2)
    expect(await tokens.getHash(plain)).toBe('plain')
    expect(await tokens.getHash(other)).toBe('b')
    expect(await all()).toEqual({
      [name('hash', plain)]: {
        type: 'string',
        value: '"plain"',
        expires: true
      },
      [name('hash', other)]: { type: 'string', value: '"b"', expires: true },
      [name('latest', 'reset:user-8')]: {
        type: 'string',
        value: stored(other),
        expires: true
      },
      [name('hash', second)]: { type: 'string', value: '2', expires: true },
      [name('latest', 'reset:user-7')]: {
        type: 'string',
        value: stored(second),
        expires: true
      }
    })
    for (const at of [name('latest', 'reset:user-7'), name('hash', second)]) {
      const end = (await endOf(at))!
      expect(end).toBeGreaterThanOrEqual(from + 99_995)
      expect(end).toBeLessThanOrEqual(made + 100_005)
    }
  })

  test('a hash that was taken meanwhile is no hindrance', async () => {
    const { tokens, all } = open()
    const first = await tokens.makeHash(1, { replaces: 'a' })
    expect(await tokens.takeHash(first)).toBe(1)
    const second = await tokens.makeHash(2, { replaces: 'a' })
    await tokens.delHash(second)
    const third = await tokens.makeHash(3, { replaces: 'a' })
    expect(await tokens.getHash(third)).toBe(3)
    expect(Object.keys(await all())).toHaveLength(2)
  })

  test('whatever the name is', async () => {
    const { tokens, all } = open()
    for (const replaces of strangeOwners) await tokens.makeHash('old', { replaces })
    const made: string[] = []
    for (const replaces of strangeOwners) made.push(await tokens.makeHash(replaces, { replaces }))
    for (const [i, hash] of made.entries())
      expect(await tokens.getHash(hash)).toBe(strangeOwners[i])
    expect(Object.keys(await all())).toHaveLength(2 * strangeOwners.length)
  })

  test('of many made at once under one name exactly one is left', async () => {
    const { tokens, all } = open()
    const made = await Promise.all(
      Array.from({ length: 50 }, (_, i) => tokens.makeHash(i, { replaces: 'a' }))
    )
    const found = await Promise.all(made.map((hash) => tokens.getHash(hash)))
    expect(found.filter((value) => value !== null)).toHaveLength(1)
    expect(Object.keys(await all())).toHaveLength(2)
  })
})

describe('owner_id', () => {
  test('lists the hash under its owner, until the last of them ends', async () => {
    const { tokens, all, name } = open()
    const [soon, late] = [
      await tokens.makeHash(1, { ttl: 100, owner_id: 'user-7' }),
      await tokens.makeHash(2, { ttl: 200, owner_id: 'user-7' })
    ]
    const other = await tokens.makeHash(3, { owner_id: 'user-8' })
    const hash = async (of: string): Promise<[string, string]> => [
      stored(of),
      String(await endOf(name('hash', of)))
    ]
    const held = (value: string): object => ({ type: 'string', value, expires: true })
    const set = (value: string[]): object => ({ type: 'zset', value, expires: true })
    expect(await all()).toEqual({
      [name('hash', soon)]: held('1'),
      [name('hash', late)]: held('2'),
      [name('hash', other)]: held('3'),
      [name('hashes', 'user-7')]: set([...(await hash(soon)), ...(await hash(late))]),
      [name('hashes', 'user-8')]: set(await hash(other))
    })
    expect(await endOf(name('hashes', 'user-7'))).toBe(await endOf(name('hash', late)))
    expect(await tokens.takeHash(soon)).toBe(1)
    expect(await tokens.getHash(late)).toBe(2)
  })

  test('drops what has ended, and what it replaces', async () => {
    const { tokens, all, name } = open()
    const options = { replaces: 'reset', owner_id: 'user-7' }
    await tokens.makeHash(1, { ...options, replaces: 'other', ttl: 0.05 })
    const replaced = await tokens.makeHash(2, options)
    await passed((await redisNow()) + 51)
    const last = await tokens.makeHash(3, options)
    expect(await tokens.getHash(replaced)).toBeNull()
    const end = await endOf(name('hash', last))
    expect(await all()).toEqual({
      [name('hash', last)]: { type: 'string', value: '3', expires: true },
      // What it replaces is looked for where its owner's hashes are.
      [name('hashes', 'user-7').replace(':hashes:user-7', ':latest:reset')]: {
        type: 'string',
        value: stored(last),
        expires: true
      },
      [name('hashes', 'user-7')]: {
        type: 'zset',
        value: [stored(last), String(end)],
        expires: true
      }
    })
  })

  test('whoever it is', async () => {
    const { tokens, all, name } = open()
    const made: string[] = []
    for (const owner_id of strangeOwners) made.push(await tokens.makeHash(owner_id, { owner_id }))
    for (const [i, owner_id] of strangeOwners.entries()) {
      expect(await tokens.getHash(made[i])).toBe(owner_id)
      expect(await topology.redis().zcard(name('hashes', owner_id))).toBe(1)
    }
    expect(Object.keys(await all())).toHaveLength(2 * strangeOwners.length)
  })
})

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  const refused = (says: string, ...calls: unknown[][]): Promise<void> =>
    refuses(opened, 'makeHash', says, ...calls)
  await refused('value must be a value that JSON can carry', [], [undefined], [undefined, 60])
  for (const [says, value] of notCarried('value')) {
    // A function alone is taken for the callback.
    if (typeof value !== 'function') await refused(says, [value])
    await refused(says, [value, 60])
  }
  for (const [says, value] of notCarried('value', '[0]')) await refused(says, [[value]])
  await refused(
    'ttl must be a number of seconds',
    ...noSeconds().flatMap((ttl) => [['a', { ttl }]])
  )
  const noNumber = noSeconds().filter((ttl) => typeof ttl !== 'object')
  await refused('ttl must be a number of seconds', ...noNumber.map((ttl) => ['a', ttl]))
  const noOptions = noObject().filter((options) => typeof options === 'object')
  await refused('options must be a plain object', ...noOptions.map((options) => ['a', options]))
  await refused('options must be a plain object with nothing but ttl, replaces', ['a', { TTL: 60 }])
  const wrong = [...noText().slice(1), '\ud800']
  await refused(
    'replaces must be a non-empty well-formed string',
    ...wrong.map((replaces) => ['a', { replaces }])
  )
  await refused(
    'owner_id must be a non-empty well-formed string',
    ...wrong.map((owner_id) => ['a', { owner_id }])
  )
})

test("what is none of the store's stays as it is", async () => {
  const { tokens, all, name } = open()
  await topology.redis().rpush(name('latest', 'a'), 'b')
  const before = await all()
  await expect(tokens.makeHash(1, { replaces: 'a' })).rejects.toMatchObject({
    code: 'TSRECORD'
  })
  expect(await all()).toEqual(before)
  await topology.redis().set(name('hashes', 'user-7'), 'a')
  const after = await all()
  await expect(tokens.makeHash(1, { owner_id: 'user-7' })).rejects.toMatchObject({
    code: 'TSRECORD'
  })
  expect(await all()).toEqual(after)
})
