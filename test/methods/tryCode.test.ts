import {
  closeAfterAll,
  endOf,
  findsNothing,
  noObject,
  open,
  passed,
  refuses,
  strange,
  topology,
  viaCallback
} from './support'

closeAfterAll()

test('the right code resolves to what it was made for, once', async () => {
  const { tokens, all, name } = open()
  const code = await tokens.makeCode('login:ann', { value: { user: 7 } })
  expect(await tokens.tryCode('login:ann', code)).toEqual({ ok: true, value: { user: 7 } })
  expect(await all()).toEqual({
    [name('code', 'login:ann')]: {
      type: 'hash',
      value: { left: '5', made: expect.any(String) as string },
      expires: true
    }
  })
  expect(await tokens.tryCode('login:ann', code)).toEqual({ ok: false, left: 0 })
})

test('with a callback', async () => {
  const { tokens } = open()
  const code = await tokens.makeCode('a')
  const wrong = { ok: false, left: 4 }
  expect(await viaCallback((done) => tokens.tryCode('a', 'wrong', done))).toEqual(wrong)
  const right = { ok: true, value: null }
  expect(await viaCallback((done) => tokens.tryCode('a', code, {}, done))).toEqual(right)
  const none = { ok: false, left: 0 }
  expect(await viaCallback((done) => tokens.tryCode('a', code, undefined, done))).toEqual(none)
})

test('a wrong one takes a try and says how many are left, the last one ends the code', async () => {
  const { tokens, all, name } = open()
  const code = await tokens.makeCode('a', { tries: 3, value: 'secret' })
  const end = await endOf(name('code', 'a'))
  for (const left of [2, 1, 0])
    expect(await tokens.tryCode('a', 'wrong')).toEqual({ ok: false, left })
  // What it was made for is gone, the tries are not.
  const { made } = await topology.redis().hgetall(name('code', 'a'))
  expect(await topology.redis().hgetall(name('code', 'a'))).toEqual({ left: '0', made })
  expect(await endOf(name('code', 'a'))).toBe(end)
  const before = await all()
  for (const late of [code, 'wrong'])
    expect(await tokens.tryCode('a', late)).toEqual({ ok: false, left: 0 })
  expect(await all()).toEqual(before)
})

test('the right one with the last try is right', async () => {
  const { tokens } = open()
  const code = await tokens.makeCode('a', { tries: 2 })
  expect(await tokens.tryCode('a', 'wrong')).toEqual({ ok: false, left: 1 })
  expect(await tokens.tryCode('a', code)).toEqual({ ok: true, value: null })
})

test('white space does not count, anything else does', async () => {
  const { tokens } = open()
  for (const put of [
    (code: string) => `${code.slice(0, 3)} ${code.slice(3)}`,
    (code: string) => `\t ${code}\r\n`,
    (code: string) => code.split('').join('\u00a0'),
    (code: string) => code.padStart(256)
  ]) {
    const code = (await tokens.makeCode('a'))!
    expect(await tokens.tryCode('a', put(code))).toMatchObject({ ok: true })
  }
  const code = (await tokens.makeCode('b', { tries: 10 }))!
  for (const typed of [
    `${code.slice(0, 3)}-${code.slice(3)}`,
    code.slice(1),
    `${code}0`,
    `0${code}`,
    code.replace(/\d/g, (digit) => String.fromCharCode(0xff10 + Number(digit))),
    code.padStart(257)
  ]) {
    expect(await tokens.tryCode('b', typed)).toMatchObject({ ok: false })
  }
  expect(await tokens.tryCode('b', code)).toMatchObject({ ok: true })
})

test('a code is right for its name only', async () => {
  const { tokens } = open()
  const options = { digits: 12, value: 1 }
  const [a, b] = [await tokens.makeCode('a', options), await tokens.makeCode('b', options)]
  expect(await tokens.tryCode('a', b)).toEqual({ ok: false, left: 4 })
  expect(await tokens.tryCode('c', a)).toEqual({ ok: false, left: 0 })
  expect(await tokens.tryCode('a:', a)).toEqual({ ok: false, left: 0 })
  expect(await tokens.tryCode('a', `:${a}`)).toEqual({ ok: false, left: 3 })
  for (const [name, code] of [
    ['a', a],
    ['b', b]
  ])
    expect(await tokens.tryCode(name, code)).toEqual({ ok: true, value: 1 })
})

test('of many callers at once, on several connections, exactly one is right', async () => {
  const { tokens, prefix } = open()
  const stores = [tokens, open({ prefix }).tokens, open({ prefix }).tokens]
  for (let round = 0; round < 20; round++) {
    const code = await tokens.makeCode('a', { value: round })
    const tried = await Promise.all(
      stores.flatMap((store) => [1, 2, 3, 4].map(() => store.tryCode('a', code)))
    )
    expect(tried.filter(({ ok }) => ok)).toEqual([{ ok: true, value: round }])
    expect(tried.filter(({ ok }) => !ok)).toEqual(Array(11).fill({ ok: false, left: 0 }))
  }
})

test('many wrong ones at once have the tries there are, and no more', async () => {
  const { tokens, prefix } = open()
  const stores = [tokens, open({ prefix }).tokens]
  const code = await tokens.makeCode('a', { tries: 7 })
  const tried = await Promise.all(
    Array.from({ length: 30 }, (_, i) => stores[i % 2]!.tryCode('a', 'wrong'))
  )
  const lefts = tried.map((each) => (each.ok ? -1 : each.left)).sort((a, b) => b - a)
  expect(lefts).toEqual([6, 5, 4, 3, 2, 1, ...Array<number>(24).fill(0)])
  expect(await tokens.tryCode('a', code)).toEqual({ ok: false, left: 0 })
})

test('nothing is right for a name that has no code, or had', async () => {
  const { tokens, all, name } = open()
  const code = await tokens.makeCode('a', { ttl: 0.05 })
  await passed((await endOf(name('code', 'a'))) ?? 0)
  await tokens.makeCode('b')
  const before = await all()
  for (const other of ['a', 'c', '*', '\0', 'b:', 'x'.repeat(100_000)]) {
    for (const typed of [code, '', undefined])
      expect(await tokens.tryCode(other, typed)).toEqual({ ok: false, left: 0 })
  }
  expect(await all()).toEqual(before)
})

test('a name that is no text has no code, and Redis is not asked', () =>
  findsNothing('tryCode', { ok: false, left: 0 }, strange()))

test('whatever a stranger sends for a code is a wrong one', async () => {
  const { tokens, all } = open()
  const code = (await tokens.makeCode('a', { tries: 1000, value: 1 }))!
  const typed = [
    ...strange(),
    [code],
    Number(code),
    { code },
    { toString: () => code },
    Object(code),
    Buffer.from(code),
    ' ',
    'x'.repeat(100_000),
    `${code}${' '.repeat(1000)}`
  ]
  let left = 1000
  for (const each of typed) {
    expect(await tokens.tryCode('a', each)).toEqual({ ok: false, left: --left })
    expect(await viaCallback((done) => tokens.tryCode('a', each, done))).toEqual({
      ok: false,
      left: --left
    })
  }
  expect(await viaCallback((done) => tokens.tryCode('a', done as never))).toEqual({
    ok: false,
    left: left - 1
  })
  expect(Object.keys(await all())).toHaveLength(1)
  expect(await tokens.tryCode('a', code)).toEqual({ ok: true, value: 1 })
})

test('wrong options are refused and nothing is written', async () => {
  const opened = open()
  const code = await opened.tokens.makeCode('a')
  const refused = (says: string, ...options: unknown[]): Promise<void> => {
    const calls = options.flatMap((wrong) => [
      ['a', code, wrong],
      [undefined, undefined, wrong]
    ])
    return refuses(opened, 'tryCode', says, ...calls)
  }
  await refused('options must be a plain object', ...noObject())
  await refused('options must be a plain object with nothing but replicas', { Replicas: 1 })
  await refused(
    'replicas must be a whole number',
    ...[null, -1, 1.5, '1'].map((replicas) => ({ replicas }))
  )
})

test("what is none of the store's is not taken for a code", async () => {
  const { tokens, all, name } = open()
  const redis = topology.redis()
  const at = name('code', 'a')
  for (const write of [() => redis.sadd(at, 'a'), () => redis.set(at, 'text')]) {
    await write()
    const before = await all()
    await expect(tokens.tryCode('a', '123456')).rejects.toMatchObject({
      code: 'TSRECORD',
      name: 'TokenstoreError'
    })
    expect(await all()).toEqual(before)
    await redis.del(at)
  }
  await redis.hset(at, 'a', '1')
  const before = await all()
  expect(await tokens.tryCode('a', '123456')).toEqual({ ok: false, left: 0 })
  expect(await all()).toEqual(before)
})

test('a value that is no JSON is taken, but not for a value', async () => {
  const { tokens, name } = open()
  for (const text of ['foo', 'nil', '{']) {
    const code = await tokens.makeCode('a')
    await topology.redis().hset(name('code', 'a'), 'value', text)
    await expect(tokens.tryCode('a', code)).rejects.toMatchObject({
      code: 'TSRECORD',
      message: 'the value of a code in Redis is not JSON'
    })
    expect(await tokens.tryCode('a', code)).toEqual({ ok: false, left: 0 })
  }
})
