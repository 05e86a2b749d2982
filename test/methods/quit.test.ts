import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { TokenstoreError } from '../../src/main'
import { freshPrefix, redisUrl } from '../support'
import { closeAfterAll, open, topology, viaCallback } from './support'

closeAfterAll()

type Methods = Record<string, (...args: unknown[]) => Promise<unknown>>

test('answers what was asked before, refuses what is asked after', async () => {
  const { tokens, all } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const asked = Promise.all([
    tokens.getKey(token.key),
    tokens.add({ owner_id: 'user-7' }),
    tokens.getKey(token.key)
  ])
  expect(await tokens.quit()).toBeUndefined()
  expect(await asked).toMatchObject([token, { owner_id: 'user-7' }, token])
  const before = await all()
  expect(Object.keys(before)).toHaveLength(5)
  for (const [method, ...args] of [
    ['add', { owner_id: 'user-7' }],
    ['getKey', token.key],
    ['get', token.id],
    ['set', token.id, {}],
    ['update', token.id, () => ({})],
    ['change', token.id, { ttl: 60 }],
    ['del', token.id],
    ['delKey', token.key],
    ['delOwner', 'user-7'],
    ['list', 'user-7'],
    ['count', 'user-7'],
    ['rotate', token.id],
    ['refresh', token.key],
    ['makeHash', 'a'],
    ['getHash', 'ABCDEFGH'],
    ['takeHash', 'ABCDEFGH'],
    ['delHash', 'ABCDEFGH'],
    ['makeCode', 'a'],
    ['tryCode', 'a', '123456'],
    ['reset'],
    ['ping']
  ] as [string, ...unknown[]][]) {
    const error = await (tokens as unknown as Methods)[method]!(...args).catch(
      (error: unknown) => error
    )
    expect(error).toBeInstanceOf(TokenstoreError)
    expect((error as TokenstoreError).code).toBe('TSCLOSED')
    await expect(
      viaCallback((done) => (tokens as unknown as Methods)[method]!(...args, done))
    ).rejects.toThrow('quit()')
  }
  for (const walk of [tokens.each('user-7'), tokens.all(), tokens.owners()])
    await expect(walk.next()).rejects.toMatchObject({ code: 'TSCLOSED' })
  expect(await all()).toEqual(before)
})

test('with a callback, and again', async () => {
  const { tokens } = open()
  await tokens.count('user-7')
  expect(await viaCallback((done) => tokens.quit(done))).toBeUndefined()
  expect(await tokens.quit()).toBeUndefined()
  expect(await Promise.all([tokens.quit(), tokens.quit()])).toEqual([undefined, undefined])
})

test('of a store that was never used', async () => {
  expect(await open().tokens.quit()).toBeUndefined()
})

test('leaves another store on the same data alone', async () => {
  const { tokens, prefix } = open()
  const other = open({ prefix }).tokens
  const { key } = await tokens.add({ owner_id: 'user-7' })
  await tokens.quit()
  expect(await other.getKey(key)).toMatchObject({ owner_id: 'user-7' })
})

describe('await using', () => {
  test('quits at the end of the block, once what was asked in it is answered', async () => {
    // In a process of its own, which cannot be handed a client: with the plain server.
    const { redis, ...config } = topology.config
    const given = {
      ...config,
      redis: typeof redis === 'string' ? redis : redisUrl(),
      prefix: freshPrefix(),
      timeout: 10_000
    }
    const child = ['--require', 'tsx/cjs', join(__dirname, 'using-child.ts'), JSON.stringify(given)]
    const run = await promisify(execFile)(process.execPath, child, { timeout: 50_000 })
    expect(JSON.parse(run.stdout)).toEqual(['user-7', 'count: the store was closed by quit()'])
    expect(run.stderr).toBe('')
  })

  test('is quit, also through a Proxy', async () => {
    const { tokens } = open()
    const quit = jest.spyOn(tokens, 'quit')
    expect(await new Proxy(tokens, {})[Symbol.asyncDispose]()).toBeUndefined()
    expect(quit).toHaveBeenCalledTimes(1)
    await expect(tokens.count('user-7')).rejects.toMatchObject({ code: 'TSCLOSED' })
    expect(await tokens[Symbol.asyncDispose]()).toBeUndefined()
  })
})
