import { closeAfterAll, noText, open, passed, refuses, topology, viaCallback } from './support'

closeAfterAll()

test('how many live tokens an owner has, at every moment', async () => {
  const { tokens } = open()
  expect(await tokens.count('user-7')).toBe(0)
  const a = await tokens.add({ owner_id: 'user-7' })
  await tokens.add({ owner_id: 'user-7', ttl: 100 })
  await tokens.add({ owner_id: 'user-7' })
  await tokens.add({ owner_id: 'user-77' })
  expect(await tokens.count('user-7')).toBe(3)
  await tokens.rotate(a.id, { grace: 100 })
  expect(await tokens.count('user-7')).toBe(3)
  await tokens.del(a.id)
  expect(await tokens.count('user-7')).toBe(2)
  await tokens.add({ owner_id: 'user-7', id: a.id })
  expect(await tokens.count('user-7')).toBe(3)
  const ends = await tokens.add({ owner_id: 'user-7', ttl: 0.1 })
  await passed(ends.expires_at! + 1)
  expect(await tokens.count('user-7')).toBe(3)
  expect(await tokens.delOwner('user-7')).toBe(3)
  expect(await tokens.count('user-7')).toBe(0)
})

test('with a callback', async () => {
  const { tokens } = open()
  await tokens.add({ owner_id: 'user-7' })
  expect(await viaCallback((done) => tokens.count('user-7', done))).toBe(1)
})

test('1,500 tokens, and nothing is written', async () => {
  const { tokens, all } = open()
  await Promise.all(Array.from({ length: 1500 }, () => tokens.add({ owner_id: 'user-7' })))
  const before = Object.keys(await all())
  expect(await tokens.count('user-7')).toBe(1500)
  expect(Object.keys(await all())).toEqual(before)
})

test('wrong arguments are refused', async () => {
  const opened = open()
  const wrong = [...noText(), '\ud800'].map((owner_id) => [owner_id])
  await refuses(opened, 'count', 'owner_id must be a non-empty well-formed string', ...wrong)
})

test('a token that Redis evicted counts until list has met it', async () => {
  const { tokens, name } = open()
  const { key } = await tokens.add({ owner_id: 'user-7' })
  await tokens.add({ owner_id: 'user-7' })
  await topology.redis().del(name('key', key))
  expect(await tokens.count('user-7')).toBe(2)
  expect(await tokens.list('user-7')).toHaveLength(1)
  expect(await tokens.count('user-7')).toBe(1)
})

test("an owner set that is none of the store's is not counted", async () => {
  const { tokens, all, name } = open()
  await topology.redis().sadd(name('tokens', 'user-7'), 'a')
  const before = await all()
  await expect(tokens.count('user-7')).rejects.toMatchObject({
    code: 'TSRECORD',
    name: 'TokenstoreError'
  })
  expect(await all()).toEqual(before)
})
