import {
  attrsToCarry,
  closeAfterAll,
  expectCarried,
  listed,
  noText,
  open,
  refuses,
  stored,
  topology,
  usedTill,
  viaCallback
} from './support'

closeAfterAll()

test('the token of an id, and null for an id that has none', async () => {
  const { tokens, all, spare } = open()
  const token = await tokens.add({
    owner_id: 'user-7',
    attrs: { a: 1 },
    ttl: 100
  })
  const before = await all()
  expect(await tokens.get(token.id)).toEqual(listed(token))
  for (const id of [
    spare('user-7').id,
    stored(token.key),
    token.id.slice(1),
    'x',
    '*',
    '\0',
    'x'.repeat(100_000)
  ]) {
    expect(await tokens.get(id)).toBeNull()
  }
  expect(await all()).toEqual(before)
  await tokens.del(token.id)
  expect(await tokens.get(token.id)).toBeNull()
})

test('with a callback', async () => {
  const { tokens, spare } = open()
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  expect(await viaCallback((done) => tokens.get(token.id, done))).toEqual(listed(token))
  expect(await viaCallback((done) => tokens.get(spare('user-7').id, done))).toBeNull()
})

test('answers the current key, attrs and end', async () => {
  const { tokens } = open({ idle: 100, touchEvery: 0.001 })
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  await tokens.set(token.id, { a: 2 })
  const rotated = (await tokens.rotate(token.id))!
  const used = (await tokens.getKey(rotated.key))!
  expect(await tokens.get(token.id)).toEqual(
    listed({ ...usedTill(token, used.expires_at!), key: rotated.key, attrs: { a: 2 } })
  )
})

test('attrs come back as JSON carries them', async () => {
  const { tokens } = open()
  for (const attrs of Object.values(attrsToCarry)) {
    const { id } = await tokens.add({
      owner_id: 'user-7',
      attrs: attrs as Record<string, unknown>,
      ttl: 100
    })
    expectCarried((await tokens.get(id))!.attrs, attrs)
  }
})

test('an id whose record Redis evicted has no token, and never that of its key', async () => {
  const { tokens, name, spare } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  await topology.redis().del(name('key', token.key))
  expect(await tokens.get(token.id)).toBeNull()
  const { id } = spare('user-7')
  await tokens.add({ owner_id: 'user-7', key: token.key, id })
  await expect(tokens.get(token.id)).rejects.toMatchObject({ code: 'TSRECORD' })
})

test('wrong arguments are refused', async () => {
  const opened = open()
  await opened.tokens.add({ owner_id: 'user-7' })
  await refuses(
    opened,
    'get',
    'id must be a non-empty well-formed string',
    ...[...noText(), '\ud800'].map((wrong) => [wrong])
  )
})

test("what is none of the store's is not taken for a token", async () => {
  const { tokens, all, spare, name } = open()
  const redis = topology.redis()
  const { key, id } = spare('user-7')
  const fails = async (): Promise<void> => {
    const before = await all()
    await expect(tokens.get(id)).rejects.toMatchObject({
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
