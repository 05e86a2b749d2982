import assert from 'node:assert'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { api, type Api } from '../../src/main'
import { client, closeAfterAll, freshPrefix, names, redisUrl, root } from '../support'

closeAfterAll()

// That file asks for a module that it does not use.
jest.mock('async', () => ({}), { virtual: true })

const published = join(root, 'test', 'tokenstore-0.0.4', 'test', 'api_test.js')

test('the test file that 0.0.4 published is unchanged, and passes', async () => {
  const digest = createHash('sha256').update(readFileSync(published)).digest('hex')
  expect(digest).toBe('9fa875a91761039ec88eea2c729fb4eeb0ff5dfc7aacdebb25fde41dcd913aad')
  process.env.TEST_PREFIX = freshPrefix()
  // What nodeunit hands to a test, on node:assert, which has the same loose comparisons.
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- it is CommonJS of 2014
  const cases = (require(published) as { api: Record<string, (test: object) => void> }).api
  expect(Object.keys(cases)).toHaveLength(17)
  for (const [name, run] of Object.entries(cases)) {
    let [expected, made] = [-1, 0]
    const counted =
      <T extends unknown[]>(check: (...args: T) => void) =>
      (...args: T): void => {
        made++
        check(...args)
      }
    await new Promise<void>((done) =>
      run({
        expect: (n: number) => (expected = n),
        equal: counted(assert.equal),
        equals: counted(assert.equal),
        deepEqual: counted(assert.deepEqual),
        ok: counted(assert.ok),
        done
      })
    )
    if (expected >= 0) expect([name, made]).toEqual([name, expected])
  }
})

function open(): { tokens: Api; prefix: string } {
  const prefix = freshPrefix()
  return { tokens: api({ prefix, redis: redisUrl() }), prefix }
}

test('add fills in the object that it was given, set and setAttrs replace the attrs', async () => {
  const { tokens, prefix } = open()
  const given = { owner_id: 'ann', attrs: { a: 1 } }
  const token = await promisify(tokens.add)(given)
  expect(token).toBe(given)
  expect(given).toMatchObject({ key: expect.stringMatching(/^.{24}$/), id: expect.any(String) })
  await promisify(tokens.setAttrs)(token!.id, { b: 2 })
  expect(await promisify(tokens.getKey)(token!.key)).toMatchObject({ attrs: { b: 2 } })
  await promisify(tokens.set)(token!.id, { c: 3 })
  expect(await promisify(tokens.list)('ann')).toMatchObject([{ id: token!.id, attrs: { c: 3 } }])
  expect(await promisify(tokens.delKey)(token!.key)).toBe(true)
  expect(await names(client(), prefix)).toEqual({})
  await promisify(tokens.quit)()
})

test('what is not there is false, and nothing is written', async () => {
  const { tokens, prefix } = open()
  expect(await promisify(tokens.get)('none')).toBe(false)
  expect(await promisify(tokens.getKey)('none')).toBe(false)
  expect(await promisify(tokens.setAttrs)('none', {})).toBe(false)
  expect(await promisify(tokens.getHash)('none')).toBe(false)
  expect(await promisify(tokens.del)('none')).toBe(false)
  expect(await names(client(), prefix)).toEqual({})
  await promisify(tokens.quit)()
})

test('hashes have 16 characters, honour their ttl, and hold strings as before or objects', async () => {
  const { tokens, prefix } = open()
  const hash = await new Promise<string>((resolve) => tokens.makeHash(7, 60, (_error, made) => resolve(made!)))
  expect(hash).toHaveLength(16)
  expect(await promisify(tokens.getHash)(hash)).toBe('7')
  const ttl = await client().pttl(`${prefix}:hash:${hash}`)
  expect(ttl).toBeGreaterThan(0)
  expect(ttl).toBeLessThanOrEqual(60_000)
  const other = await new Promise<string>((resolve) => tokens.makeHash({ a: [] }, (_error, made) => resolve(made!)))
  expect(await promisify(tokens.getHash)(other)).toEqual({ a: [] })
  expect(await promisify(tokens.reset)()).toBe(2)
  await promisify(tokens.quit)()
})
