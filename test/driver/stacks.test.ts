import { KeyTakenError, LimitError, TokenstoreError, UnavailableError } from '../../src/main'
import { client, closeAfterAll, freshPrefix, store } from '../support'
import { closeAfterEach, later, open, server } from './opened'

closeAfterAll()
closeAfterEach()

/** The error of what a handler awaits, which must name that handler and nothing inside of us. */
async function errorIn(call: () => Promise<unknown>): Promise<Error> {
  async function theHandler(): Promise<unknown> {
    return await call()
  }
  const error = (await theHandler().catch((error: unknown) => error)) as Error
  expect(error).toBeInstanceOf(TokenstoreError)
  const [first, ...frames] = error.stack!.split('\n')
  expect(first).toBe(`${error.name}: ${error.message}`)
  expect(frames.join('\n')).toMatch(/at (async )?theHandler/)
  expect(frames.join('\n')).not.toMatch(/errorOf|fromRedis|raise/)
  return error
}

test('what Redis answers', async () => {
  const tokens = store()
  const { key } = await tokens.add({ owner_id: 'ann' })
  const limited = await errorIn(() => tokens.add({ owner_id: 'ann', limit: 1 }))
  expect(limited).toBeInstanceOf(LimitError)
  const taken = await errorIn(() => tokens.add({ owner_id: 'bob', key }))
  expect(taken).toBeInstanceOf(KeyTakenError)
})

test('a foreign record, alone and in a batch', async () => {
  const prefix = freshPrefix()
  const tokens = store({ prefix })
  const redis = client()
  const keys = ['a', 'b'].map((letter) => letter.repeat(24))
  for (const key of keys) await redis.set(`${prefix}:key:${key}`, 'foreign', 'EX', 60)
  for (const key of keys) await errorIn(() => tokens.getKey(key))
  await Promise.all(keys.map((key) => errorIn(() => tokens.getKey(key))))
})

test('no answer, no connection, and a store that is closed', async () => {
  const { port, pid } = await server()
  const tokens = open({ redis: { port } })
  await tokens.count('ann')
  process.kill(pid, 'SIGSTOP')
  later(() => process.kill(pid, 'SIGCONT'))
  const hung = await errorIn(() => tokens.count('ann'))
  expect(hung).toBeInstanceOf(UnavailableError)
  const batched = await errorIn(() => tokens.getKey('k'.repeat(24)))
  expect(batched).toBeInstanceOf(UnavailableError)
  process.kill(pid, 'SIGCONT')
  await tokens.quit()
  await errorIn(() => tokens.set('x', {}))
  const down = await errorIn(() => open({ redis: { port: 1 } }).count('ann'))
  expect(down).toBeInstanceOf(UnavailableError)
})

test('a write that is not confirmed', async () => {
  const { port } = await server()
  const tokens = open({ redis: { port } })
  const error = await errorIn(() => tokens.add({ owner_id: 'ann', replicas: 1 }))
  expect(error).toMatchObject({ code: 'TSREPLICATION' })
})
