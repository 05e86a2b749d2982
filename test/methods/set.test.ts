import {
  attrsToCarry,
  closeAfterAll,
  expectCarried,
  listed,
  noObject,
  notCarried,
  noText,
  open,
  passed,
  refuses,
  stored,
  topology,
  viaCallback
} from './support'

closeAfterAll()

test('replaces the attrs and nothing else, and answers the token', async () => {
  const { tokens, all, name } = open()
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1, b: 2 } })
  const before = await all()
  const changed = { ...token, attrs: { c: 3 } }
  expect(await tokens.set(token.id, { c: 3 })).toEqual(listed(changed))
  expect(await tokens.getKey(token.key)).toEqual(changed)
  expect(await tokens.list('user-7')).toEqual([listed(changed)])
  const record = {
    type: 'string',
    value: `{"id":"${token.id}","owner_id":"user-7","attrs":{"c":3}}`,
    expires: false
  }
  expect(await all()).toEqual({ ...before, [name('key', token.key)]: record })
})

test('with a callback', async () => {
  const { tokens, spare } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const set = (id: string, attrs: Record<string, unknown>) =>
    viaCallback((done) => tokens.set(id, attrs, done))
  expect(await set(token.id, { a: 1 })).toEqual(listed({ ...token, attrs: { a: 1 } }))
  expect(await set(spare('user-7').id, { a: 1 })).toBeNull()
  expect(await viaCallback((done) => tokens.set(token.id, { a: 2 }, {}, done))).toMatchObject({
    attrs: { a: 2 }
  })
})

describe('from', () => {
  const conflict = { name: 'ConflictError', code: 'TSCONFLICT' }

  test('replaces the attrs only while they are these', async () => {
    const { tokens, all } = open()
    const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 }, ttl: 100 })
    const set = (n: number, from: object) =>
      tokens.set(token.id, { a: n }, { from: from as Record<string, unknown> })
    expect(await set(2, token.attrs)).toEqual(listed({ ...token, attrs: { a: 2 } }))
    const before = await all()
    for (const from of [{ a: 1 }, {}, { a: 2, b: 3 }, { a: '2' }, { b: 2 }])
      await expect(set(3, from)).rejects.toMatchObject(conflict)
    await expect(
      viaCallback((done) => tokens.set(token.id, { a: 3 }, { from: { a: 1 } }, done))
    ).rejects.toMatchObject(conflict)
    expect(await all()).toEqual(before)
    expect(
      await viaCallback((done) => tokens.set(token.id, { a: 3 }, { from: { a: 2 } }, done))
    ).toEqual(listed({ ...token, attrs: { a: 3 } }))
  })

  test('takes attrs as they were given, and as any method resolves to them', async () => {
    const { tokens } = open()
    const { id, key } = await tokens.add({ owner_id: 'user-7', idle: 100 })
    for (const given of Object.values(attrsToCarry) as Record<string, unknown>[]) {
      const seen = [
        given,
        (await tokens.set(id, given))!.attrs,
        (await tokens.get(id))!.attrs,
        (await tokens.getKey(key))!.attrs,
        (await tokens.list('user-7'))[0]!.attrs,
        (await tokens.change(id, { ttl: 1000 }))!.attrs
      ]
      const other = { other: true }
      for (const from of seen) {
        expect((await tokens.set(id, other, { from }))!.attrs).toEqual(other)
        await expect(tokens.set(id, {}, { from })).rejects.toMatchObject(conflict)
        expectCarried((await tokens.set(id, given, { from: other }))!.attrs, given)
      }
    }
  })

  test('is compared as JSON: order and spelling count, until update has spelt it', async () => {
    const { tokens, all, name } = open()
    const { id, key } = await tokens.add({ owner_id: 'user-7' })
    const record = `{"id":"${id}","owner_id":"user-7","attrs":{ "a": 1.0, "b": 2}}`
    await topology.redis().set(name('key', key), record)
    const before = await all()
    const { attrs } = (await tokens.get(id))!
    expect(attrs).toEqual({ a: 1, b: 2 })
    await expect(tokens.set(id, {}, { from: attrs })).rejects.toMatchObject(conflict)
    expect(await all()).toEqual(before)
    await tokens.update(id, (old) => old)
    await expect(tokens.set(id, {}, { from: { b: 2, a: 1 } })).rejects.toMatchObject(conflict)
    expect((await tokens.set(id, { c: 3 }, { from: attrs }))!.attrs).toEqual({ c: 3 })
  })

  test('of many sets at once, from the same attrs, exactly one happens', async () => {
    const { tokens } = open()
    const { id, attrs } = await tokens.add({ owner_id: 'user-7', attrs: { n: 0 } })
    const tries = Array.from({ length: 50 }, (_, i) =>
      tokens.set(id, { n: 1 + i }, { from: attrs })
    )
    const outcomes = await Promise.allSettled(tries)
    const won = outcomes.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const lost = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason as Error] : []))
    expect(lost).toEqual(Array(49).fill(expect.objectContaining(conflict)))
    expect(won).toEqual([await tokens.get(id)])
  })
})

test('a lifetime stays what it was', async () => {
  const { tokens, all } = open({ touchEvery: 0.001 })
  const token = await tokens.add({ owner_id: 'user-7', ttl: 100, idle: 50 })
  await passed(token.expires_at! - 50_000 + 5)
  expect(await tokens.set(token.id, { a: 1 })).toEqual(listed({ ...token, attrs: { a: 1 } }))
  expect(Object.values(await all())).toEqual(
    Array(3).fill(expect.objectContaining({ expires: true }))
  )
  const [record] = await Promise.all([tokens.get(token.id)])
  expect(record!.expires_at).toBe(token.expires_at)
})

test('never brings a token back: null, and nothing is written', async () => {
  const { tokens, all, spare, name } = open()
  const [deleted, ended, evicted] = [
    await tokens.add({ owner_id: 'user-7' }),
    await tokens.add({ owner_id: 'user-8', ttl: 0.05 }),
    await tokens.add({ owner_id: 'user-9' })
  ]
  await tokens.del(deleted.id)
  await topology.redis().del(name('key', evicted.key))
  await passed(ended.expires_at! + 1)
  const before = await all()
  for (const id of [deleted.id, ended.id, evicted.id, spare('user-7').id, 'x', '*', '\0']) {
    expect(await tokens.set(id, { a: 1 })).toBeNull()
    expect(await tokens.set(id, { a: 1 }, { from: {} })).toBeNull()
  }
  expect(await all()).toEqual(before)
})

test.each(Object.entries(attrsToCarry))(
  'attrs come back as JSON carries them: %s',
  async (_name, attrs) => {
    const { tokens } = open()
    const { id, key } = await tokens.add({
      owner_id: 'user-7',
      attrs: { old: true },
      idle: 100
    })
    expectCarried((await tokens.set(id, attrs as Record<string, unknown>))!.attrs, attrs)
    expectCarried((await tokens.getKey(key))!.attrs, attrs)
    expectCarried((await tokens.set(id, { a: 1 }))!.attrs, { a: 1 })
  }
)

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  const { id } = await opened.tokens.add({
    owner_id: 'user-7',
    attrs: { a: 1 }
  })
  const set = (says: string, ...calls: unknown[][]): Promise<void> =>
    refuses(opened, 'set', says, ...calls)
  await set(
    'id must be a non-empty well-formed string',
    ...[...noText(), '\ud800'].map((wrong) => [wrong, {}])
  )
  const noAttrs = [
    undefined,
    null,
    [],
    ['a'],
    'a',
    '',
    7,
    true,
    7n,
    Symbol('a'),
    new Date(0),
    { toJSON: () => [] }
  ]
  await set('attrs must be a plain object', ...noAttrs.map((wrong) => [id, wrong]))
  for (const [says, a] of notCarried('attrs', '.a')) await set(says, [id, { a }])
  await set('options must be a plain object', ...noObject().map((wrong) => [id, {}, wrong]))
  await set('options must be a plain object with nothing but from', [id, {}, { form: {} }])
  const given = noAttrs.filter((wrong) => wrong !== undefined)
  await set('from must be a plain object', ...given.map((from) => [id, {}, { from }]))
  for (const [says, a] of notCarried('from', '.a')) await set(says, [id, {}, { from: { a } }])
  await set('replicas must be a whole number', [id, {}, { from: { a: 1 }, replicas: -1 }])
})

test("what is none of the store's stays as it is", async () => {
  const { tokens, all, spare, name } = open()
  const redis = topology.redis()
  const { key, id } = spare('user-7')
  const fails = async (): Promise<void> => {
    const before = await all()
    await expect(tokens.set(id, { a: 1 })).rejects.toMatchObject({
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
})
