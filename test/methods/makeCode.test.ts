import { createHash } from 'node:crypto'
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
  strangeOwners,
  topology,
  valuesToCarry,
  viaCallback
} from './support'

closeAfterAll()

const digestOf = (name: string, code: string): string =>
  createHash('sha256').update(`${name}:${code}`).digest('base64url')

test('keeps a digest, whatever the store keeps of keys, for ten minutes and five tries', async () => {
  const { tokens, all, name } = open()
  const from = await redisNow()
  const code = (await tokens.makeCode('login:ann@example.org', { value: { user: 7 } }))!
  const to = await redisNow()
  expect(code).toMatch(/^\d{6}$/)
  const at = name('code', 'login:ann@example.org')
  const made = (await endOf(at))! - 600_000
  expect(made).toBeGreaterThanOrEqual(from)
  expect(made).toBeLessThanOrEqual(to)
  const fields = await topology.redis().hgetall(at)
  expect(fields).toEqual({
    digest: digestOf('login:ann@example.org', code),
    value: '{"user":7}',
    left: '5',
    made: String(made)
  })
  expect(Object.keys(await all())).toEqual([at])
})

test('with a callback', async () => {
  const { tokens } = open()
  const code = await viaCallback<string | null>((done) => tokens.makeCode('a', done))
  expect(await tokens.tryCode('a', code)).toEqual({ ok: true, value: null })
  const longer = await viaCallback<string | null>((done) =>
    tokens.makeCode('b', { digits: 8, every: 600 }, done)
  )
  expect(longer).toMatch(/^\d{8}$/)
  expect(await viaCallback((done) => tokens.makeCode('b', { every: 600 }, done))).toBeNull()
})

test('of as many digits as said, each as likely as another', async () => {
  const { tokens } = open()
  for (const digits of [4, 7, 12]) {
    const code = await tokens.makeCode('a', { digits })
    expect(code).toMatch(new RegExp(`^\\d{${digits}}$`))
    expect(await tokens.tryCode('a', code)).toMatchObject({ ok: true })
  }
  const drawn = await Promise.all(
    Array.from({ length: 300 }, (_, i) => tokens.makeCode(`name-${i}`, { digits: 4 }))
  )
  for (let at = 0; at < 4; at++) expect(new Set(drawn.map((code) => code![at])).size).toBe(10)
  expect(new Set(drawn).size).toBeGreaterThan(250)
})

test.each(Object.entries(valuesToCarry))(
  'the value comes back as JSON carries it: %s',
  async (_name, value) => {
    const { tokens } = open()
    const code = await tokens.makeCode('a', { value })
    const tried = await tokens.tryCode('a', code)
    expect(tried.ok).toBe(true)
    if (tried.ok) expectCarried(tried.value, value)
  }
)

test('for as long as said', async () => {
  const { tokens, all, name } = open()
  for (const ttl of [60.5, 9_999_999_999]) {
    const from = await redisNow()
    await tokens.makeCode('a', { ttl })
    const end = (await endOf(name('code', 'a')))!
    expect(end).toBeGreaterThanOrEqual(from + ttl * 1000)
    expect(end).toBeLessThanOrEqual((await redisNow()) + ttl * 1000)
  }
  const code = await tokens.makeCode('a', { ttl: 0.05 })
  await passed((await endOf(name('code', 'a'))) ?? 0)
  expect(await tokens.tryCode('a', code)).toEqual({ ok: false, left: 0 })
  expect(await all()).toEqual({})
})

test('whatever the name is', async () => {
  const { tokens, all, name } = open()
  const made: (string | null)[] = []
  for (const each of strangeOwners) made.push(await tokens.makeCode(each, { value: each }))
  expect(Object.keys(await all()).sort()).toEqual(
    strangeOwners.map((each) => name('code', each)).sort()
  )
  for (const [i, each] of strangeOwners.entries())
    expect(await tokens.tryCode(each, made[i])).toEqual({ ok: true, value: each })
})

describe('a code after another', () => {
  test('takes its place, value and time', async () => {
    const { tokens, all, name } = open()
    const first = (await tokens.makeCode('a', { value: 1, digits: 12 }))!
    const second = (await tokens.makeCode('a', { value: 2, digits: 12, ttl: 60 }))!
    expect(await endOf(name('code', 'a'))).toBeLessThanOrEqual((await redisNow()) + 60_000)
    expect(Object.keys(await all())).toHaveLength(1)
    expect(await tokens.tryCode('a', first)).toEqual({ ok: false, left: 4 })
    expect(await tokens.tryCode('a', second)).toEqual({ ok: true, value: 2 })
  })

  test('does not refill the tries, and takes some away when it is given fewer', async () => {
    const { tokens } = open()
    await tokens.makeCode('a', { tries: 5 })
    expect(await tokens.tryCode('a', 'wrong')).toEqual({ ok: false, left: 4 })
    for (const [tries, left] of [
      [5, 3],
      [1000, 2],
      [1, 0]
    ]) {
      expect(await tokens.makeCode('a', { tries })).toMatch(/^\d{6}$/)
      expect(await tokens.tryCode('a', 'wrong')).toEqual({ ok: false, left })
    }
    expect(await tokens.makeCode('b', { tries: 1 })).toMatch(/^\d{6}$/)
  })

  test('is none once the tries are spent, until the time of the last one is over', async () => {
    const { tokens, all, name } = open()
    await tokens.makeCode('a', { tries: 1, ttl: 60 })
    const end = (await endOf(name('code', 'a')))!
    await tokens.tryCode('a', 'wrong')
    const before = await all()
    expect(await tokens.makeCode('a', { tries: 1000, ttl: 3600 })).toBeNull()
    expect(await all()).toEqual(before)
    expect(await endOf(name('code', 'a'))).toBe(end)
    await topology.redis().pexpire(name('code', 'a'), 1)
    await passed((await redisNow()) + 1)
    const code = await tokens.makeCode('a', { tries: 2 })
    expect(await tokens.tryCode('a', 'wrong')).toEqual({ ok: false, left: 1 })
    expect(await tokens.tryCode('a', code)).toMatchObject({ ok: true })
  })

  test('has the tries that were left, and waits for every, when that one was right too', async () => {
    const { tokens } = open()
    const code = await tokens.makeCode('a')
    await tokens.tryCode('a', 'wrong')
    await tokens.tryCode('a', code)
    expect(await tokens.makeCode('a', { every: 600 })).toBeNull()
    expect(await tokens.makeCode('a')).toMatch(/^\d{6}$/)
    expect(await tokens.tryCode('a', 'wrong')).toEqual({ ok: false, left: 3 })
  })

  test('comes not sooner than every, and changes nothing then', async () => {
    const { tokens, all, name } = open()
    const first = await tokens.makeCode('a', { value: 1, every: 0.3 })
    const due = (await endOf(name('code', 'a')))! - 600_000 + 300
    const before = await all()
    for (;;) {
      const asked = await redisNow()
      const code = await tokens.makeCode('a', { value: 2, every: 0.3 })
      if (code !== null) {
        expect(await redisNow()).toBeGreaterThanOrEqual(due)
        expect(await tokens.tryCode('a', code)).toEqual({ ok: true, value: 2 })
        break
      }
      expect(asked).toBeLessThan(due)
      expect(await all()).toEqual(before)
    }
    // It is each call's own, and of each name.
    expect(first).toMatch(/^\d{6}$/)
    await tokens.makeCode('a')
    expect(await tokens.makeCode('a', { every: 600 })).toBeNull()
    expect(await tokens.makeCode('a')).toMatch(/^\d{6}$/)
    expect(await tokens.makeCode('b', { every: 600 })).toMatch(/^\d{6}$/)
  })

  test('of many at once with every one is made, and that one is right', async () => {
    const { tokens } = open()
    const calls = Array.from({ length: 30 }, () => tokens.makeCode('a', { every: 60 }))
    const made = (await Promise.all(calls)).filter((code) => code !== null)
    expect(made).toHaveLength(1)
    expect(await tokens.tryCode('a', made[0])).toMatchObject({ ok: true })
  })
})

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  await opened.tokens.makeCode('a')
  const refused = (says: string, ...calls: unknown[][]): Promise<void> =>
    refuses(opened, 'makeCode', says, ...calls)
  const having = (name: string, values: unknown[]): unknown[][] =>
    values.map((value) => ['a', { [name]: value }])
  await refused(
    'name must be a non-empty well-formed string',
    ...[...noText(), '\ud800'].map((wrong) => [wrong])
  )
  await refused('options must be a plain object', ...noObject().map((wrong) => ['a', wrong]))
  await refused('options must be a plain object with nothing but digits', ['a', { length: 6 }])
  await refused(
    'digits must be a whole number from 4 to 12',
    ...having('digits', [3, 13, 0, -6, 6.5, NaN, '6', null, 6n, true])
  )
  await refused(
    'tries must be a whole number from 1 to 1000',
    ...having('tries', [0, 1001, -1, 1.5, NaN, Infinity, '5', null, 5n, true])
  )
  await refused('ttl must be a number of seconds', ...having('ttl', [null, ...noSeconds()]))
  await refused('every must be a number of seconds', ...having('every', [null, ...noSeconds()]))
  await refused(
    'every must be at most ttl',
    ['a', { every: 600.001 }],
    ['a', { every: 60, ttl: 59.999 }]
  )
  for (const [says, value] of notCarried('value')) await refused(says, ['a', { value }])
})

test("what is none of the store's stays as it is", async () => {
  const { tokens, all, name } = open()
  await topology.redis().sadd(name('code', 'a'), 'a')
  const before = await all()
  await expect(tokens.makeCode('a')).rejects.toMatchObject({
    code: 'TSRECORD',
    name: 'TokenstoreError'
  })
  expect(await all()).toEqual(before)
})
