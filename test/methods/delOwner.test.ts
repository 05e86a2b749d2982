import {
  closeAfterAll,
  endOf,
  listed,
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

test("revokes every token of an owner, and no other owner's", async () => {
  const { tokens, all } = open()
  await tokens.add({ owner_id: 'user-8' })
  const before = await all()
  for (let i = 0; i < 5; i++)
    await tokens.add({ owner_id: 'user-7', ...(i % 2 ? { ttl: 100 } : {}) })
  expect(await tokens.delOwner('user-7')).toBe(5)
  expect(await all()).toEqual(before)
  expect(await tokens.delOwner('user-7')).toBe(0)
  expect(await tokens.delOwner('nobody')).toBe(0)
  expect(await all()).toEqual(before)
})

test('with a callback', async () => {
  const { tokens } = open()
  const { id } = await tokens.add({ owner_id: 'user-7' })
  await tokens.add({ owner_id: 'user-7' })
  expect(await viaCallback((done) => tokens.delOwner('user-7', { except: id }, done))).toBe(1)
  expect(await viaCallback((done) => tokens.delOwner('user-7', done))).toBe(1)
  expect(await viaCallback((done) => tokens.delOwner('user-7', undefined, done))).toBe(0)
})

test('but the one with the id `except`, whose end is then that of the owner set', async () => {
  const { tokens, all, name } = open()
  const [never, late] = [
    await tokens.add({ owner_id: 'user-7' }),
    await tokens.add({ owner_id: 'user-7', ttl: 100 })
  ]
  await tokens.add({ owner_id: 'user-7' })
  expect(await tokens.delOwner('user-7', { except: late.id })).toBe(2)
  expect(await tokens.getKey(late.key)).toEqual(late)
  expect(await tokens.getKey(never.key)).toBeNull()
  expect(await tokens.list('user-7')).toEqual([listed(late)])
  expect(await endOf(name('tokens', 'user-7'))).toBe(late.expires_at)
  const kept = await all()
  expect(await tokens.delOwner('user-7', { except: late.id })).toBe(0)
  expect(await all()).toEqual(kept)
})

test('an `except` that is no live token of this owner keeps nothing', async () => {
  const { tokens, all, spare } = open()
  const foreign = await tokens.add({ owner_id: 'user-8' })
  const before = await all()
  const add = async () => tokens.add({ owner_id: 'user-7' })
  const dead = await add()
  await tokens.del(dead.id)
  for (const except of [foreign.id, dead.id, spare('user-7').id, 'x', '*']) {
    await add()
    await add()
    expect(await tokens.delOwner('user-7', { except })).toBe(2)
    expect(await all()).toEqual(before)
  }
})

test('keys within their grace open nothing any more, but those of the one it keeps', async () => {
  const { tokens, all, name } = open()
  const [here, there] = [
    await tokens.add({ owner_id: 'user-7' }),
    await tokens.add({ owner_id: 'user-7' })
  ]
  for (const { id } of [here, there]) await tokens.rotate(id, { grace: 100 })
  expect(await tokens.delOwner('user-7', { except: here.id })).toBe(1)
  expect(await tokens.getKey(here.key)).toMatchObject({ id: here.id })
  expect(await tokens.getKey(there.key)).toBeNull()
  expect(await tokens.delOwner('user-7')).toBe(1)
  const left = [here, there].map(({ key }) => name('key', key))
  expect(Object.keys(await all())).toEqual(left.sort())
  for (const at of left) expect(await endOf(at)).not.toBeNull()
})

test('counts only the living', async () => {
  const { tokens, all, name } = open()
  const ended = await tokens.add({ owner_id: 'user-7', ttl: 0.05 })
  const evicted = await tokens.add({ owner_id: 'user-7' })
  await tokens.add({ owner_id: 'user-7' })
  await topology.redis().del(name('key', evicted.key))
  await passed(ended.expires_at! + 1)
  expect(await tokens.delOwner('user-7')).toBe(1)
  expect(Object.keys(await all())).toEqual([name('id', evicted.id)])
})

describe('hashes', () => {
  test('stay when not said', async () => {
    const { tokens } = open()
    await tokens.add({ owner_id: 'user-7' })
    const hash = await tokens.makeHash('a', { replaces: 'user-7', owner_id: 'user-7' })
    for (const options of [undefined, {}, { hashes: false }]) {
      await tokens.delOwner('user-7', options)
      expect(await tokens.getHash(hash)).toBe('a')
    }
  })

  test('of the owner go, uncounted, and no other', async () => {
    const { tokens, all } = open()
    const kept = [
      await tokens.makeHash('plain', { replaces: 'user-7' }),
      await tokens.makeHash('b', { owner_id: 'user-8' })
    ]
    const before = await all()
    const add = () => tokens.add({ owner_id: 'user-7' })
    await Promise.all([add(), add()])
    const made = [
      await tokens.makeHash(1, { owner_id: 'user-7' }),
      await tokens.makeHash(2, { owner_id: 'user-7', ttl: 100 }),
      await tokens.makeHash(3, { owner_id: 'user-7', ttl: 0.05 })
    ]
    const taken = await tokens.makeHash(4, { owner_id: 'user-7' })
    await tokens.takeHash(taken)
    expect(await tokens.delOwner('user-7', { hashes: true })).toBe(2)
    for (const hash of made) expect(await tokens.getHash(hash)).toBeNull()
    for (const hash of kept) expect(await tokens.getHash(hash)).not.toBeNull()
    expect(await all()).toEqual(before)
    await tokens.makeHash(5, { owner_id: 'user-7' })
    expect(await tokens.delOwner('user-7', { hashes: true })).toBe(0)
    expect(await all()).toEqual(before)
  })

  test('go also beside a token that is kept', async () => {
    const { tokens, all } = open()
    const { id } = await tokens.add({ owner_id: 'user-7' })
    await tokens.add({ owner_id: 'user-7' })
    const hash = await tokens.makeHash(1, { owner_id: 'user-7' })
    const options = { except: id, hashes: true }
    expect(await viaCallback((done) => tokens.delOwner('user-7', options, done))).toBe(1)
    expect(await tokens.getHash(hash)).toBeNull()
    expect(Object.keys(await all())).toHaveLength(3)
  })

  test('of whoever it is', async () => {
    const { tokens, all } = open()
    for (const owner_id of strangeOwners) await tokens.makeHash('a', { owner_id })
    for (const owner_id of strangeOwners) await tokens.delOwner(owner_id, { hashes: true })
    expect(await all()).toEqual({})
  })

  test('stay with all else when they are none of the store’s', async () => {
    const { tokens, all, name } = open()
    await tokens.add({ owner_id: 'user-7' })
    await topology.redis().sadd(name('hashes', 'user-7'), 'a')
    const before = await all()
    await expect(tokens.delOwner('user-7', { hashes: true })).rejects.toMatchObject({
      code: 'TSRECORD'
    })
    expect(await all()).toEqual(before)
  })
})

test('whatever the owner is called', async () => {
  const { tokens, all } = open()
  await Promise.all(
    [...strangeOwners, ...strangeOwners].map((owner_id) => tokens.add({ owner_id }))
  )
  for (const [i, owner_id] of strangeOwners.entries()) {
    expect(await tokens.delOwner(owner_id)).toBe(2)
    if (i % 10 === 0)
      expect(Object.keys(await all())).toHaveLength(5 * (strangeOwners.length - 1 - i))
  }
  expect(await all()).toEqual({})
})

test('3,000 tokens', async () => {
  const { tokens, all } = open()
  const added = await Promise.all(
    Array.from({ length: 3000 }, () => tokens.add({ owner_id: 'user-7', ttl: 1000 }))
  )
  expect(await tokens.delOwner('user-7', { except: added[1234]!.id })).toBe(2999)
  expect(Object.keys(await all())).toHaveLength(3)
})

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  await opened.tokens.add({ owner_id: 'user-7' })
  const refused = (says: string, ...calls: unknown[][]): Promise<void> =>
    refuses(opened, 'delOwner', says, ...calls)
  await refused(
    'owner_id must be a non-empty well-formed string',
    ...[...noText(), '\ud800'].map((wrong) => [wrong])
  )
  await refused('options must be a plain object', ...noObject().map((wrong) => ['user-7', wrong]))
  await refused('options must be a plain object with nothing but', ['user-7', { exept: 'a' }])
  const wrong = noText().slice(1)
  await refused(
    'except must be a non-empty well-formed string',
    ...wrong.map((except) => ['user-7', { except }])
  )
  await refused(
    'hashes must be true or false',
    ...[null, 0, 1, 'true', {}].map((hashes) => ['user-7', { hashes }])
  )
})

test("an owner set that is none of the store's stays as it is", async () => {
  const { tokens, all, name } = open()
  await topology.redis().sadd(name('tokens', 'user-7'), 'a')
  const before = await all()
  await expect(tokens.delOwner('user-7')).rejects.toMatchObject({
    code: 'TSRECORD',
    name: 'TokenstoreError'
  })
  expect(await all()).toEqual(before)
})

test("what an id leads to but is none of the owner's stays as it is", async () => {
  const { tokens, all, spare, name } = open()
  const redis = topology.redis()
  const { key, id } = spare('user-7')
  await topology.index(name('id', id), key)
  for (const stray of [
    'text',
    `{"owner_id":"user-7","attrs":{},"key":"${stored(key)}","id":"${id}"}`,
    `{"id":"${id}","owner_id":"user-8","attrs":{}}`
  ]) {
    await redis.set(name('key', key), stray)
    const before = await all()
    await tokens.add({ owner_id: 'user-7' })
    await redis.zadd(name('tokens', 'user-7'), 'inf', id)
    expect(await tokens.delOwner('user-7')).toBe(1)
    expect(await all()).toEqual(before)
  }
})
