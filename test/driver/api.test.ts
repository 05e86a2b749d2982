import assert from 'node:assert'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { api, type Api } from '../../src/main'
import type { Config } from '../../src/types'
import { client, closeAfterAll, freshPrefix, names, redisUrl, store, until } from '../support'

closeAfterAll()

// The package itself, whose test file asks for the library beside it.
jest.mock('tokenstore-0.0.4/lib', () => {
  const { api }: typeof import('../../src/main') = jest.requireActual('../../src/main')
  const { freshPrefix, redisUrl }: typeof import('../support') = jest.requireActual('../support')
  return {
    api: () => api({ prefix: freshPrefix(), redis: redisUrl(), timeout: 10_000 })
  }
})
const published = 'tokenstore-0.0.4/test/api_test.js'

test('the test file that 0.0.4 published passes, unchanged', async () => {
  const text = readFileSync(require.resolve(published))
  expect(createHash('sha256').update(text).digest('hex')).toBe(
    '9fa875a91761039ec88eea2c729fb4eeb0ff5dfc7aacdebb25fde41dcd913aad'
  )
  const { api: cases } = (await import(published)) as {
    api: Record<string, (test: object) => void>
  }
  expect(Object.keys(cases)).toHaveLength(17)
  for (const [name, run] of Object.entries(cases)) {
    let [expected, made] = [-1, 0]
    const counted =
      <T extends unknown[]>(check: (...args: T) => void) =>
      (...args: T): void => {
        made++
        check(...args)
      }
    // What nodeunit hands to a test, on node:assert, which has the same loose
    // comparisons.
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

/** A facade of its own, with every method as a promise as well. */
function open(config: Config = {}): {
  tokens: Promised
  raw: Api
  prefix: string
} {
  const prefix = freshPrefix()
  const raw = api({ prefix, redis: redisUrl(), timeout: 10_000, ...config })
  opened.push(() => promisify(raw.quit)())
  const methods = Object.entries(raw) as [string, (...args: unknown[]) => void][]
  const tokens = Object.fromEntries(
    methods.map(([name, method]) => [name, promisify(method)])
  ) as unknown as Promised
  return { tokens, raw, prefix }
}

const opened: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const quit of opened.splice(0)) await quit()
})

type Promised = Record<keyof Api, (...args: unknown[]) => Promise<unknown>>
interface Old {
  key: string
  id: string
  owner_id: string
  attrs: Record<string, unknown>
}

test('it has the methods of 0.0.4, all of which answer through a callback alone', async () => {
  const { raw } = open()
  const methods = [
    'add',
    'del',
    'delHash',
    'delKey',
    'get',
    'getHash',
    'getKey',
    'list',
    'makeHash',
    'quit',
    'reset'
  ]
  expect(Object.keys(raw).sort()).toEqual([...methods, 'set', 'setAttrs'].sort())
  const returned: unknown[] = []
  await new Promise<void>((resolve) => {
    returned.push(raw.get('none', () => resolve()))
  })
  await new Promise<void>((resolve) => {
    returned.push(raw.add({ owner_id: 'ann' }, () => resolve()))
  })
  expect(returned).toEqual([undefined, undefined])
})

test('add fills in the object that it was given, set and setAttrs replace the attrs', async () => {
  const { tokens, prefix } = open()
  const given = { owner_id: 'ann', attrs: { a: 1 } }
  const token = (await tokens.add(given)) as Old
  expect(token).toBe(given)
  expect(given).toEqual({
    key: expect.stringMatching(/^[\w-]{24}$/),
    id: expect.stringMatching(/^[\da-f-]{36}$/),
    owner_id: 'ann',
    attrs: { a: 1 }
  })
  expect(await tokens.setAttrs(token.id, { b: 2 })).toEqual({
    ...token,
    attrs: { b: 2 }
  })
  expect(await tokens.getKey(token.key)).toEqual({ ...token, attrs: { b: 2 } })
  expect(await tokens.set(token.id, { c: 3 })).toEqual({
    ...token,
    attrs: { c: 3 }
  })
  expect(await tokens.get(token.id)).toEqual({ ...token, attrs: { c: 3 } })
  expect(await tokens.list('ann')).toEqual([{ ...token, attrs: { c: 3 } }])
  expect(await tokens.delKey(token.key)).toBe(true)
  expect(await names(client(), prefix)).toEqual({})
})

test('a forced key is kept; attrs are {} when absent; what else the object holds stays on it', async () => {
  const { tokens } = open()
  const given = {
    owner_id: 'ann',
    key: 'forced678901234567890123',
    note: 'mine'
  }
  expect(await tokens.add(given)).toBe(given)
  expect(given).toEqual({
    key: 'forced678901234567890123',
    owner_id: 'ann',
    note: 'mine',
    attrs: {},
    id: expect.any(String)
  })
  expect(await tokens.getKey(given.key)).toMatchObject({
    owner_id: 'ann',
    attrs: {}
  })
  expect(await tokens.getKey(given.key)).not.toHaveProperty('note')
  await expect(tokens.add({ owner_id: 'bob', key: given.key })).rejects.toMatchObject({
    code: 'TSKEYTAKEN'
  })
})

test('an object that add refuses stays as it was', async () => {
  const { tokens, prefix } = open()
  const given = { owner_id: 'ann', key: 'short' }
  await expect(tokens.add(given)).rejects.toThrow(
    new TypeError('key must be a string of exactly 24 characters')
  )
  expect(given).toEqual({ owner_id: 'ann', key: 'short' })
  expect(await names(client(), prefix)).toEqual({})
})

test('what is not there is false, and nothing is written', async () => {
  const { tokens, prefix } = open()
  expect(await tokens.get('none')).toBe(false)
  expect(await tokens.getKey('none')).toBe(false)
  expect(await tokens.set('none', {})).toBe(false)
  expect(await tokens.setAttrs('none', {})).toBe(false)
  expect(await tokens.getHash('none')).toBe(false)
  expect(await tokens.del('none')).toBe(false)
  expect(await tokens.delKey('none')).toBe(false)
  expect(await tokens.delHash('none')).toBe(false)
  expect(await tokens.list('none')).toEqual([])
  expect(await names(client(), prefix)).toEqual({})
})

test('so is what a stranger sends that is no text, and Redis is not asked', async () => {
  const redis = new Redis({ lazyConnect: true, port: 1, retryStrategy: () => null })
  const { tokens } = open({ redis })
  for (const given of [undefined, null, '', 7, {}, ['a', 'b'], '\ud800', new Map()]) {
    expect(await tokens.getKey(given)).toBe(false)
    expect(await tokens.delKey(given)).toBe(false)
    expect(await tokens.getHash(given)).toBe(false)
    expect(await tokens.delHash(given)).toBe(false)
  }
  expect(redis.status).toBe('wait')
  redis.disconnect()
})

test('wrong arguments come through the callback, and nothing is written', async () => {
  const { tokens, prefix } = open()
  await expect(tokens.add({})).rejects.toThrow(
    new TypeError('owner_id must be a non-empty well-formed string')
  )
  await expect(tokens.add({ owner_id: 'ann', attrs: [] })).rejects.toThrow(
    new TypeError('attrs must be a plain object')
  )
  await expect(tokens.get(undefined)).rejects.toThrow(TypeError)
  await expect(tokens.setAttrs('id', 'a')).rejects.toThrow(
    new TypeError('attrs must be a plain object')
  )
  await expect(tokens.list(null)).rejects.toThrow(TypeError)
  await expect(tokens.makeHash('a', -1)).rejects.toThrow(TypeError)
  await expect(tokens.makeHash({ a: () => 1 })).rejects.toThrow(TypeError)
  expect(await names(client(), prefix)).toEqual({})
})

test.each([undefined, null, 'ann', 7])(
  'add of %p, which is no object, does so as well',
  async (given) => {
    const { raw } = open()
    const called = jest.fn()
    // Not thrown at the caller, who has a callback for it.
    expect(() => raw.add(given as never, called)).not.toThrow()
    await until(() => called.mock.calls.length > 0)
    expect(called.mock.calls).toEqual([[expect.any(TypeError)]])
  }
)

test('hashes have 16 characters, and live an hour, or as long as their ttl says', async () => {
  const { tokens, prefix } = open()
  const left = async (hash: string): Promise<number> => client().pttl(`${prefix}:hash:${hash}`)
  const [hour, minute, moment] = [
    (await tokens.makeHash('a')) as string,
    (await tokens.makeHash('a', 60)) as string,
    (await tokens.makeHash('a', 0.1)) as string
  ]
  for (const hash of [hour, minute, moment]) expect(hash).toMatch(/^[\w-]{16}$/)
  expect(await left(hour)).toBeGreaterThan(3_590_000)
  expect(await left(hour)).toBeLessThanOrEqual(3_600_000)
  expect(await left(minute)).toBeGreaterThan(50_000)
  expect(await left(minute)).toBeLessThanOrEqual(60_000)
  await until(async () => (await tokens.getHash(moment)) === false)
  expect(await tokens.delHash(minute)).toBe(true)
  expect(await tokens.getHash(minute)).toBe(false)
  expect(await tokens.reset()).toBe(1)
})

test('values come back as texts, or as the objects they were', async () => {
  const { tokens } = open()
  for (const [value, back] of [
    ['foo', 'foo'],
    ['', ''],
    ['{"a":1}', '{"a":1}'],
    ['\ud800', '\ud800'],
    [7, '7'],
    [0, '0'],
    [true, 'true'],
    [false, 'false'],
    [{ a: [] }, { a: [] }],
    [
      ['a', null],
      ['a', null]
    ]
  ]) {
    expect(await tokens.getHash(await tokens.makeHash(value))).toEqual(back)
  }
})

test('it takes the same config as the store', async () => {
  const { tokens, prefix } = open({
    ttl: 100,
    size: 30,
    hashSize: 8,
    digest: true
  })
  const token = (await tokens.add({ owner_id: 'ann' })) as Old & {
    expires_at: number
  }
  expect(token.key).toHaveLength(30)
  expect(token.expires_at).toBeGreaterThan(0)
  expect(await tokens.makeHash('a')).toHaveLength(8)
  expect(await tokens.get(token.id)).not.toHaveProperty('key')
  expect(Object.keys(await names(client(), prefix)).join()).not.toContain(token.key)
  expect(() => api({ hashsize: 8 } as never)).toThrow(TypeError)
  for (const wrong of [null, 'token', new URL('redis://127.0.0.1')]) {
    expect(() => api(wrong as never)).toThrow('config must be a plain object')
  }
  expect(await open({ hashSize: undefined }).tokens.makeHash('a')).toHaveLength(16)
})

test('its data is that of the store', async () => {
  const { tokens, prefix } = open()
  const token = (await tokens.add({ owner_id: 'ann', attrs: { a: 1 } })) as Old
  expect(await store({ prefix }).getKey(token.key)).toEqual(token)
  const other = await store({ prefix }).add({ owner_id: 'ann' })
  expect(await tokens.list('ann')).toEqual([token, other])
})
