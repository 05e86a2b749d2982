import { ReplicationError } from '../../src/main'
import { client, closeAfterAll, freshPrefix, names, store } from '../support'

closeAfterAll()

test('without a replica a write is done and rejects, and goes on rejecting when it is repeated', async () => {
  const prefix = freshPrefix()
  const tokens = store({ prefix })
  const token = await tokens.add({ owner_id: 'ann' })
  const confirmed = store({ prefix, replicas: 1, timeout: 600 })
  for (let tries = 0; tries < 2; tries++) {
    const error = await confirmed.del(token.id).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ReplicationError)
    expect(error).toMatchObject({ code: 'TSREPLICATION', message: 'del: done, but confirmed by 0 of 1 replicas' })
    expect(await names(client(), prefix)).toEqual({})
  }
  expect(await confirmed.del(token.id, { replicas: 0 })).toBe(false)
})
