import { inspect, promisify } from 'node:util'
import { Tokenstore } from '../../src/main'
import type { Callback } from '../../src/callbacks'
import type { Config, Token } from '../../src/types'
import { freshPrefix, redisUrl } from '../support'
import { closeAfterAll, listed, open, topology, viaCallback, type Opened } from './support'

closeAfterAll()

/** All of a store, called without it. */
async function works({ tokens, all }: Opened, methods: Tokenstore = tokens): Promise<void> {
  const { add, getKey, get, set, update, change, del, delKey, delOwner, list, each } = methods
  const { count, all: everyToken, owners, rotate, refresh, reset, ping } = methods
  const { makeHash, getHash, takeHash, delHash, makeCode, tryCode } = methods
  const token = await add({ owner_id: 'user-7' })
  expect(await getKey(token.key)).toEqual(token)
  expect(await get(token.id)).toEqual(listed(token))
  expect(await set(token.id, { a: 1 })).toMatchObject({ attrs: { a: 1 } })
  expect(await update(token.id, () => ({}))).toEqual(listed(token))
  expect(await change(token.id, { attrs: {} })).toEqual(listed(token))
  const rotated = (await rotate(token.id))!
  const { key } = (await refresh(rotated.key, { grace: null, detect: null }))!
  expect(await list('user-7')).toEqual([listed({ ...token, key })])
  const walked: unknown[] = []
  for await (const met of each('user-7')) walked.push(met)
  for await (const met of everyToken()) walked.push(met)
  for await (const met of owners()) walked.push(met)
  expect(walked).toEqual([...Array(2).fill(listed({ ...token, key })), 'user-7'])
  expect(await count('user-7')).toBe(1)
  expect(await viaCallback<number>((done) => count('user-7', done))).toBe(1)
  expect(await delKey(key)).toBe(true)
  expect(await del(token.id)).toBe(false)
  expect(await delOwner('user-7')).toBe(0)
  const hash = await makeHash('a')
  expect(await getHash(hash)).toBe('a')
  expect(await takeHash(hash)).toBe('a')
  expect(await delHash(hash)).toBe(false)
  const tried = await tryCode('a', await makeCode('a', { value: 1 }))
  expect(tried).toEqual({ ok: true, value: 1 })
  expect(await ping()).toBeUndefined()
  // The name of the code, which remembers its tries.
  expect(await reset()).toBe(1)
  expect(await all()).toEqual({})
}

test('methods work without their store', () => works(open()))

test.each([
  ['that does nothing', {}],
  ['that looks up', { get: (store, name, proxy) => Reflect.get(store, name, proxy) as unknown }],
  [
    'that binds what it finds to itself',
    {
      get(store, name, proxy) {
        const value: unknown = Reflect.get(store, name, proxy)
        return typeof value === 'function' ? (value.bind(proxy) as unknown) : value
      }
    }
  ]
] as [string, ProxyHandler<Tokenstore>][])('and through a Proxy %s', async (_name, handler) => {
  const opened = open()
  const proxy = new Proxy(opened.tokens, handler)
  await works(opened, proxy)
  const token = await proxy.add({ owner_id: 'user-7' })
  expect(await proxy.getKey(token.key)).toEqual(token)
  expect(proxy).toBeInstanceOf(Tokenstore)
})

test('promisify takes them', async () => {
  const { tokens } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const getKey = promisify(tokens.getKey as (key: string, done: Callback<Token | null>) => void)
  expect(await getKey(token.key)).toEqual(token)
  const count = promisify(tokens.count as (owner_id: string, done: Callback<number>) => void)
  expect(await count('user-7')).toBe(1)
  await expect(count('')).rejects.toThrow(TypeError)
})

/** As a class of JavaScript sees it; the types let none override what takes a callback too. */
type Overridable = new (config: Config) => {
  add(token: { owner_id: string }): Promise<Token>
  getKey(key: unknown): Promise<Token | null>
  list(...args: unknown[]): Promise<unknown>
  count(owner_id: string): Promise<number>
  each(owner_id: string): AsyncIterable<Token>
  quit(): Promise<void>
}

test('what a subclass makes of a method stays in force, with its super and its fields', async () => {
  class Sessions extends (Tokenstore as unknown as Overridable) {
    readonly #calls: unknown[] = []
    readonly calls = (): unknown[] => this.#calls
    override count = async (): Promise<number> => this.#calls.length
    override async getKey(key: unknown): Promise<Token | null> {
      this.#calls.push(['getKey', key])
      return super.getKey(key)
    }
    override list(...args: unknown[]): Promise<unknown> {
      this.#calls.push(['list', ...args])
      return super.list(...args)
    }
  }
  const config = { redis: redisUrl(), timeout: 10_000, ...topology.config, prefix: freshPrefix() }
  const sessions = new Sessions(config)
  const { add, getKey, each } = sessions
  const token = await add({ owner_id: 'user-7' })
  expect(await sessions.getKey(token.key)).toEqual(token)
  expect(await getKey('x')).toBeNull()
  for await (const { id } of each('user-7')) expect(id).toBe(token.id)
  expect(sessions.calls()).toEqual([
    ['getKey', token.key],
    ['getKey', 'x'],
    ['list', 'user-7', { cursor: null }]
  ])
  expect(await sessions.count()).toBe(3)
  await sessions.quit()
})

test('what is put on the prototype is called, also by stores that are there', async () => {
  const { tokens } = open()
  const spy = jest.spyOn(Tokenstore.prototype, 'count')
  expect(await tokens.count('user-7')).toBe(0)
  expect(spy.mock.calls).toEqual([['user-7']])
  expect(spy.mock.contexts).toEqual([tokens])
  spy.mockRestore()
})

test('a store shows none of it', () => {
  const { tokens } = open()
  expect(Object.keys(tokens)).toEqual([])
  expect(inspect(tokens)).toBe('Store {}')
})

test('a method of one store can be replaced, for a test for instance, and put back', async () => {
  const { tokens } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const spy = jest.spyOn(tokens, 'getKey')
  expect(await tokens.getKey(token.key)).toEqual(token)
  expect(spy.mock.calls).toEqual([[token.key]])
  spy.mockResolvedValue(null)
  expect(await tokens.getKey(token.key)).toBeNull()
  spy.mockRestore()
  expect(await tokens.getKey(token.key)).toEqual(token)
})
