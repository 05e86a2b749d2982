import { closeAfterAll, listed, open } from './support'

closeAfterAll()

/** Options, each of them undefined. */
const none = (...names: string[]): object =>
  Object.fromEntries(names.map((name) => [name, undefined]))

test('an option that is undefined is as if it were not there', async () => {
  const { tokens, all, name } = open({ ttl: 1000 })
  const names = ['attrs', 'key', 'id', 'ttl', 'idle', 'limit', 'onLimit', 'replicas']
  const token = await tokens.add({ owner_id: 'user-7', ...none(...names) })
  expect(token.attrs).toEqual({})
  expect(token.expires_at).toBeGreaterThan(0)
  expect(token).not.toHaveProperty('evicted')
  expect(await tokens.getKey(token.key, none('touch'))).toEqual(token)
  expect(await tokens.set(token.id, { a: 1, b: undefined }, none('from', 'replicas'))).toEqual(
    listed({ ...token, attrs: { a: 1 } })
  )
  const page = { tokens: [expect.objectContaining({ id: token.id })], cursor: null }
  expect(await tokens.list('user-7', none('limit', 'cursor'))).toEqual(page)
  expect(await tokens.list('user-7', undefined)).toEqual(page.tokens)
  const absent = none('owner_id', 'limit', 'onLimit', 'ttl', 'idle', 'from', 'replicas')
  const change = { ...absent, attrs: {} }
  expect(await tokens.change(token.id, change)).toEqual(listed(token))
  const lasting = { ...none('owner_id', 'attrs', 'limit', 'onLimit', 'idle'), ttl: null }
  const { expires_at, ...never } = listed(token)
  expect(await tokens.change(token.id, lasting)).toEqual(never)
  expect(expires_at).toBeGreaterThan(0)
  const rotated = (await tokens.rotate(token.id, none('grace', 'from', 'key', 'replicas')))!
  expect(await tokens.getKey(token.key)).toBeNull()
  const { key } = (await tokens.refresh(rotated.key, none('grace', 'detect', 'replicas')))!
  expect(await tokens.delKey(rotated.key)).toBe(true)
  expect(await tokens.delKey(key, none('replicas'))).toBe(false)
  expect(await tokens.del(token.id, none('replicas'))).toBe(false)
  await tokens.add({ owner_id: 'user-7' })
  expect(await tokens.delOwner('user-7', none('except', 'hashes', 'replicas'))).toBe(1)
  for (const options of [undefined, {}, none('ttl', 'replaces', 'owner_id')]) {
    const hash = await tokens.makeHash('a', options)
    expect(await tokens.takeHash(hash, none('replicas'))).toBe('a')
  }
  for (const options of [undefined, {}, none('digits', 'ttl', 'tries', 'every', 'value')]) {
    const code = await tokens.makeCode('a', options)
    expect(code).toMatch(/^\d{6}$/)
    const tried = await tokens.tryCode('a', code, none('replicas'))
    expect(tried).toEqual({ ok: true, value: null })
  }
  // A name remembers its tries.
  expect(Object.keys(await all())).toEqual([name('code', 'a')])
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
