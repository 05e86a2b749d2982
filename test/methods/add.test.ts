import { client, closeAfterAll, freshPrefix, names, store } from '../support'

closeAfterAll()

test('a token is written under three names at once and read back by key, id and owner', async () => {
  const prefix = freshPrefix()
  const tokens = store({ prefix })
  const token = await tokens.add({ owner_id: 'user-7', attrs: { device: 'phone' } })
  expect(token).toEqual({
    key: expect.stringMatching(/^[\w-]{24}$/),
    id: expect.stringMatching(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[\da-f]{4}-[\da-f]{12}$/),
    owner_id: 'user-7',
    attrs: { device: 'phone' }
  })
  expect(await names(client(), prefix)).toEqual({
    [`${prefix}:key:${token.key}`]: {
      type: 'string',
      value: `{"id":"${token.id}","owner_id":"user-7","attrs":{"device":"phone"}}`,
      expires: false
    },
    [`${prefix}:id:${token.id}`]: { type: 'string', value: token.key, expires: false },
    [`${prefix}:tokens:user-7`]: { type: 'zset', value: [token.id, 'inf'], expires: false }
  })
  expect(await tokens.getKey(token.key)).toEqual(token)
  expect(await tokens.get(token.id)).toEqual(token)
  expect(await tokens.list('user-7')).toEqual([token])
})
