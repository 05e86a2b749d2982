import {
  closeAfterAll,
  endOf,
  noObject,
  noText,
  open,
  passed,
  refuses,
  stored,
  strangeOwners,
  topology,
  viaCallback
} from './support'

closeAfterAll()

test('revokes the token of an id, by all its names, and no other', async () => {
  const { tokens, all } = open()
  const kept = [await tokens.add({ owner_id: 'user-7' }), await tokens.add({ owner_id: 'user-8' })]
  const before = await all()
  const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
  expect(await tokens.del(token.id)).toBe(true)
  expect(await all()).toEqual(before)
  expect(await tokens.del(token.id)).toBe(false)
  expect(await tokens.getKey(token.key)).toBeNull()
  expect(await tokens.get(token.id)).toBeNull()
  for (const { id } of kept) expect(await tokens.del(id)).toBe(true)
  expect(await all()).toEqual({})
})

test('with a callback', async () => {
  const { tokens } = open()
  const { id } = await tokens.add({ owner_id: 'user-7' })
  expect(await viaCallback((done) => tokens.del(id, done))).toBe(true)
  expect(await viaCallback((done) => tokens.del(id, undefined, done))).toBe(false)
})

test('false for an id that has no token, and nothing is written', async () => {
  const { tokens, all, spare } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const before = await all()
  for (const id of [
    spare('user-7').id,
    stored(token.key),
    token.id.toUpperCase(),
    'x',
    '*',
    '\0'
  ]) {
    expect(await tokens.del(id)).toBe(false)
  }
  expect(await all()).toEqual(before)
})

test('keys within their grace open nothing any more, and go when it is over', async () => {
  const { tokens, all, name } = open()
  const token = await tokens.add({ owner_id: 'user-7', ttl: 100 })
  const second = (await tokens.rotate(token.id, { grace: 50 }))!
  await tokens.rotate(token.id, { grace: 200 })
  expect(await tokens.getKey(second.key)).not.toBeNull()
  expect(await tokens.del(token.id)).toBe(true)
  const left = [token, second].map(({ key }) => name('key', key))
  expect(Object.keys(await all())).toEqual(left.sort())
  for (const at of left) expect(await endOf(at)).not.toBeNull()
  for (const { key } of [token, second]) {
    expect(await tokens.getKey(key)).toBeNull()
    expect(await tokens.delKey(key)).toBe(false)
  }
  expect(await all()).toEqual({})
})

test('the owner set lives no longer than the last of the others', async () => {
  const { tokens, all, name } = open()
  const soon = await tokens.add({ owner_id: 'user-7', ttl: 0.2 })
  const late = await tokens.add({ owner_id: 'user-7', ttl: 1000 })
  const never = await tokens.add({ owner_id: 'user-7' })
  expect(await endOf(name('tokens', 'user-7'))).toBeNull()
  await tokens.del(never.id)
  expect(await endOf(name('tokens', 'user-7'))).toBe(late.expires_at)
  await tokens.del(late.id)
  await passed(soon.expires_at! + 1)
  expect(await all()).toEqual({})
})

test('whatever the owner is called', async () => {
  const { tokens, all } = open()
  const added = await Promise.all(strangeOwners.map((owner_id) => tokens.add({ owner_id })))
  for (const [i, { id }] of added.entries()) {
    expect(await tokens.del(id)).toBe(true)
    if (i % 10 === 0) expect(Object.keys(await all())).toHaveLength(3 * (added.length - 1 - i))
  }
  expect(await all()).toEqual({})
})

test('an id whose record Redis evicted is cleared away', async () => {
  const { tokens, all, name } = open()
  const { id, key } = await tokens.add({ owner_id: 'user-7' })
  await topology.redis().del(name('key', key))
  expect(await tokens.del(id)).toBe(false)
  expect(Object.keys(await all())).toEqual([name('tokens', 'user-7')])
  expect(await tokens.list('user-7')).toEqual([])
  expect(await all()).toEqual({})
})

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  const { id } = await opened.tokens.add({ owner_id: 'user-7' })
  const wrong = [...noText(), '\ud800'].map((id) => [id])
  await refuses(opened, 'del', 'id must be a non-empty well-formed string', ...wrong)
  await refuses(
    opened,
    'del',
    'options must be a plain object',
    ...noObject().map((options) => [id, options])
  )
})

test("what is none of the store's stays as it is", async () => {
  const { tokens, all, spare, name } = open()
  const redis = topology.redis()
  const { key, id } = spare('user-7')
  const fails = async (gone: string): Promise<void> => {
    const before = await all()
    await expect(tokens.del(gone)).rejects.toMatchObject({
      code: 'TSRECORD',
      name: 'TokenstoreError'
    })
    expect(await all()).toEqual(before)
  }
  await redis.sadd(name('id', id), 'a')
  await fails(id)
  await topology.index(name('id', id), key)
  await redis.hset(name('key', key), 'a', '1')
  await fails(id)
  const token = await tokens.add({ owner_id: 'user-7' })
  await redis.del(name('tokens', 'user-7'))
  await redis.sadd(name('tokens', 'user-7'), token.id)
  await fails(token.id)
})

test('the record of another layout under an id stays as it is', async () => {
  const { tokens, all, spare, name } = open()
  const { key, id } = spare('user-7')
  await topology.index(name('id', id), key)
  for (const stray of [
    'text',
    `{"owner_id":"user-7","attrs":{},"key":"${stored(key)}","id":"${id}"}`
  ]) {
    await topology.redis().set(name('key', key), stray)
    const before = await all()
    await expect(tokens.del(id)).rejects.toMatchObject({
      code: 'TSRECORD',
      name: 'TokenstoreError'
    })
    expect(await all()).toEqual(before)
  }
})
