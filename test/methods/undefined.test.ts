import { closeAfterAll, listed, open } from './support'

closeAfterAll()

/** Options, each of them undefined. */
const none = (...names: string[]): object =>
  Object.fromEntries(names.map((name) => [name, undefined]))

test('an option that is undefined is as if it were not there', async () => {
  const { tokens, all } = open({ ttl: 1000 })
  const names = ['attrs', 'key', 'id', 'ttl', 'idle', 'limit', 'onLimit', 'replicas']
  const token = await tokens.add({ owner_id: 'user-7', ...none(...names) })
  expect(token.attrs).toEqual({})
  expect(token.expires_at).toBeGreaterThan(0)
  expect(token).not.toHaveProperty('evicted')
  expect(await tokens.getKey(token.key, none('touch'))).toEqual(token)
  expect(await tokens.set(token.id, { a: 1, b: undefined }, none('replicas'))).toEqual(
    listed({ ...token, attrs: { a: 1 } })
  )
  const page = { tokens: [expect.objectContaining({ id: token.id })], cursor: null }
  expect(await tokens.list('user-7', none('limit', 'cursor'))).toEqual(page)
  expect(await tokens.list('user-7', undefined)).toEqual(page.tokens)
  const { key } = (await tokens.rotate(token.id, none('grace', 'from', 'replicas')))!
  expect(await tokens.getKey(token.key)).toBeNull()
  expect(await tokens.delKey(key, none('replicas'))).toBe(true)
  expect(await tokens.del(token.id, none('replicas'))).toBe(false)
  await tokens.add({ owner_id: 'user-7' })
  expect(await tokens.delOwner('user-7', none('except', 'replicas'))).toBe(1)
  for (const options of [undefined, {}, none('ttl', 'replaces')]) {
    const hash = await tokens.makeHash('a', options)
    expect(await tokens.takeHash(hash, none('replicas'))).toBe('a')
  }
  expect(await all()).toEqual({})
})

test('a limit with an undefined onLimit rejects, an onLimit with an undefined limit is refused', async () => {
  const { tokens } = open()
  await tokens.add({ owner_id: 'user-7', limit: 1, onLimit: undefined })
  await expect(
    tokens.add({ owner_id: 'user-7', limit: 1, onLimit: undefined })
  ).rejects.toMatchObject({ code: 'TSLIMIT' })
  await expect(
    tokens.add({ owner_id: 'user-7', limit: undefined, onLimit: 'evict' })
  ).rejects.toThrow(new TypeError('limit must be given together with onLimit'))
})
