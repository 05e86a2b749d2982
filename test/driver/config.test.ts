import { EventEmitter } from 'node:events'
import { inspect } from 'node:util'
import { runInNewContext } from 'node:vm'
import { Cluster, Redis } from 'ioredis'
import required from '../../src/index'
import * as main from '../../src/main'
import { Tokenstore } from '../../src/main'
import type { Config, Token } from '../../src/types'
import { client, closeAfterAll, freshPrefix, keyspace, redisUrl } from '../support'

// Every client that the library opens, as it is: a real one.
const opened: Redis[] = []
jest.mock('ioredis', () => {
  const real: typeof import('ioredis') = jest.requireActual('ioredis')
  class Opened extends real.Redis {
    constructor(...args: [never, never]) {
      super(...args)
      opened.push(this)
    }
  }
  return { ...real, Redis: Opened }
})

closeAfterAll()

const stores: { quit(): Promise<void> }[] = []
afterEach(async () => {
  for (const store of stores.splice(0)) await store.quit()
})

// Also those that a failed test left open.
afterAll(() => {
  for (const redis of opened) redis.disconnect()
})

function open(config?: Config): Tokenstore {
  // Of those that are used, unless the test itself says otherwise.
  if (config?.prefix !== undefined) config.timeout ??= 10_000
  const store = Tokenstore(config)
  stores.push(store)
  return store
}

/**
 * What a store does first and last of all: its token is found under the names
 * said, on the server of the tests.
 */
async function worksUnder(tokens: Tokenstore, root: string, redis = client()): Promise<void> {
  const token = await tokens.add({ owner_id: 'user-7' })
  expect(Object.keys(await keyspace(redis, root)).sort()).toEqual(
    [`${root}:id:${token.id}`, `${root}:key:${token.key}`, `${root}:tokens:user-7`].sort()
  )
  expect(await tokens.getKey(token.key)).toEqual(token)
  expect(await tokens.list('user-7')).toEqual([token])
  expect(await tokens.reset()).toBe(1)
  expect(await keyspace(redis, root)).toEqual({})
}

const url = new URL(redisUrl())
const { hostname: host } = url
const port = Number(url.port || 6379)
const [username, password] = [url.username, url.password].map(decodeURIComponent)
const login = {
  ...(username ? { username } : {}),
  ...(password ? { password } : {})
}

describe('with and without new', () => {
  test.each([
    ['Tokenstore', Tokenstore],
    ['what require gives', required]
  ])('%s', async (_name, make) => {
    const config = { redis: redisUrl(), timeout: 10_000 }
    for (const store of [make(config), new make(config)]) {
      stores.push(store)
      expect(store).toBeInstanceOf(make)
      expect(store).toBeInstanceOf(Tokenstore)
      expect(await store.count('nobody at all')).toBe(0)
    }
  })

  test('a class that extends it makes instances of its own, with the methods of a store', async () => {
    // In TypeScript a class says first which store it extends, since there are
    // two kinds, by digest.
    class Sessions extends (Tokenstore as new (config: Config) => Tokenstore) {
      login(owner_id: string): Promise<Token> {
        return this.add({ owner_id })
      }
    }
    const sessions = new Sessions({
      prefix: freshPrefix(),
      redis: redisUrl(),
      timeout: 10_000
    })
    stores.push(sessions)
    expect(sessions).toBeInstanceOf(Sessions)
    expect(sessions).toBeInstanceOf(Tokenstore)
    const token = await sessions.login('ann')
    expect(await sessions.getKey(token.key)).toEqual(token)
    expect(await sessions.reset()).toBe(1)
  })

  test('what require gives has every named export', () => {
    expect({ ...required }).toEqual({ ...main })
    expect(required.Tokenstore).toBe(required)
    expect(Object.keys(main).sort()).toEqual([
      'ConflictError',
      'KeyTakenError',
      'LimitError',
      'ReplicationError',
      'ReuseError',
      'Tokenstore',
      'TokenstoreError',
      'UnavailableError',
      'api',
      'issuedAt',
      'scripts'
    ])
  })
})

describe('redis', () => {
  test.each([
    ['nothing', undefined],
    ['an empty config', {}],
    ['undefined', { redis: undefined }],
    ['no options', { redis: {} }]
  ])('%s is a Redis at 127.0.0.1:6379', async (_name, config) => {
    const before = opened.length
    open(config)
    expect(opened).toHaveLength(before + 1)
    expect(opened.at(-1)!.options).toMatchObject({
      host: '127.0.0.1',
      port: 6379,
      db: 0,
      keyPrefix: ''
    })
  })

  test('host and port', async () => {
    const prefix = freshPrefix()
    await worksUnder(open({ prefix, redis: { host, port, ...login } }), prefix)
    open({ redis: { port } })
    expect(opened.at(-1)!.options).toMatchObject({ host: '127.0.0.1', port })
    open({ redis: { host: 'localhost' } })
    expect(opened.at(-1)!.options).toMatchObject({
      host: 'localhost',
      port: 6379
    })
  })

  test('any options of ioredis', async () => {
    const prefix = freshPrefix()
    const redis = {
      host,
      port,
      ...login,
      db: 3,
      keyPrefix: 'app:',
      lazyConnect: true,
      stringNumbers: true
    }
    const given = structuredClone(redis)
    const tokens = open({ prefix, redis })
    expect(opened.at(-1)!.status).toBe('wait')
    await worksUnder(tokens, `app:${prefix}`, client({ db: 3 }))
    expect(redis).toEqual(given)
  })

  test('an option of ioredis that is undefined is as good as none', () => {
    open({ redis: { port } })
    const { options } = opened.at(-1)!
    const all = Object.keys(options).map((name) => [name, undefined])
    open({ redis: { ...Object.fromEntries(all), port, url: undefined } as object })
    expect(Object.keys(opened.at(-1)!.options).sort()).toEqual(Object.keys(options).sort())
    expect(JSON.stringify(opened.at(-1)!.options)).toBe(JSON.stringify(options))
    for (const own of ['retryStrategy', 'reconnectOnError'] as const) {
      expect(String(opened.at(-1)!.options[own])).toBe(String(options[own]))
    }
  })

  test('a URL', async () => {
    const prefix = freshPrefix()
    await worksUnder(open({ prefix, redis: redisUrl() }), prefix)
    await worksUnder(
      open({
        prefix,
        redis: Object.assign(new URL(url), { pathname: '/2' }).href
      }),
      prefix,
      client({ db: 2 })
    )
    const lazy = open({
      redis: 'rediss://user:pass%20word@redis.invalid:7000/5'
    })
    expect(opened.at(-1)!.options).toMatchObject({
      host: 'redis.invalid',
      port: 7000,
      db: 5,
      username: 'user',
      password: 'pass word'
    })
    expect(opened.at(-1)!.options.tls).toBeTruthy()
    await lazy.quit()
  })

  test.each([
    ['as it is', {}],
    ['with keyPrefix', { keyPrefix: 'a*:' }],
    ['with db', { db: 4 }],
    ['with enableAutoPipelining', { enableAutoPipelining: true }],
    ['with lazyConnect', { lazyConnect: true }],
    ['with stringNumbers', { stringNumbers: true }],
    ['with RESP2', { protocol: 2 }],
    ['with RESP3', { protocol: 3 }],
    ['without ready check and queue', { enableReadyCheck: false, enableOfflineQueue: false }],
    [
      'with all of it',
      {
        keyPrefix: '[x]',
        db: 5,
        enableAutoPipelining: true,
        lazyConnect: true,
        stringNumbers: true
      }
    ]
  ] as const)('a client of the caller: %s', async (_name, options) => {
    const prefix = freshPrefix()
    const own = client(options)
    const before = opened.length
    const tokens = open({ prefix, redis: own })
    expect(opened).toHaveLength(before)
    const plain = client({ db: 'db' in options ? options.db : 0 })
    await worksUnder(tokens, `${'keyPrefix' in options ? options.keyPrefix : ''}${prefix}`, plain)
    const [a, b] = await Promise.all([
      tokens.add({ owner_id: 'user-7', ttl: 60 }),
      tokens.add({ owner_id: 'user-7' })
    ])
    expect(await Promise.all([a, b].map(({ key }) => tokens.getKey(key)))).toEqual([a, b])
    const hash = await tokens.makeHash(1)
    expect(await tokens.takeHash(hash)).toBe(1)
    expect(await tokens.delKey(a.key)).toBe(true)
    expect(await tokens.del(b.id)).toBe(true)
    await tokens.quit()
    expect(await own.ping()).toBe('PONG')
  })

  test('several stores share a client', async () => {
    const own = client()
    const prefixes = Array.from({ length: 15 }, freshPrefix)
    const all = prefixes.map((prefix) => open({ prefix, redis: own, size: 30 }))
    const added = await Promise.all(all.map((tokens) => tokens.add({ owner_id: 'user-7' })))
    for (const [i, tokens] of all.entries()) expect(await tokens.list('user-7')).toEqual([added[i]])
    await all[0]!.quit()
    expect(await all[1]!.list('user-7')).toEqual([added[1]])
    for (const tokens of all.slice(1)) expect(await tokens.reset()).toBe(1)
  })

  test.each([
    ['a number', 6379],
    ['null', null],
    ['true', true],
    ['a host', 'localhost'],
    ['an empty text', ''],
    ['another protocol', 'http://127.0.0.1:6379'],
    ['a function', () => new Redis()],
    ['a symbol', Symbol('redis')],
    ['a list', []],
    ['a URL object', new URL('redis://127.0.0.1:6379')],
    ['a Map', new Map([['host', 'redis.example.com']])],
    ['a Date', new Date(0)],
    ['a client of another library', new (class RedisClient extends EventEmitter {})()]
  ])('refuses %s and opens nothing', (_name, redis) => {
    const before = opened.length
    const says = 'redis must be ioredis options, a redis:// or rediss:// URL, or an ioredis client'
    expect(() => Tokenstore({ redis } as never)).toThrow(new TypeError(says))
    expect(() => new Tokenstore({ redis } as never)).toThrow(new TypeError(says))
    expect(opened).toHaveLength(before)
  })

  test.each([
    ['url', 'redis://other', 'the URL itself'],
    ['uri', 'redis://other', 'the URL itself'],
    ['connectionString', 'other:6380', 'the URL itself'],
    ['host', 'redis://other', 'the URL itself'],
    ['by any name', 'rediss://other', 'the URL itself'],
    ['socket', { host: 'other', port: 6380 }, 'ioredis options with host and port'],
    ['hostname', 'other', 'ioredis options with host and port'],
    ['address', 'other:6380', 'ioredis options with host and port'],
    ['endpoint', 'other:6380', 'ioredis options with host and port'],
    ['server', 'other:6380', 'ioredis options with host and port'],
    ['unixSocket', '/other', 'ioredis options with path'],
    ['unix_socket', '/other', 'ioredis options with path'],
    ['sentinelRootNodes', [{ host: 'other' }], 'ioredis options with sentinels'],
    ['database', 3, 'ioredis options with db'],
    ['databaseId', 3, 'ioredis options with db'],
    ['nodes', [{ host: 'other' }], 'an ioredis Cluster'],
    ['rootNodes', [{ url: 'redis://other' }], 'an ioredis Cluster'],
    ['startupNodes', [{ host: 'other' }], 'an ioredis Cluster'],
    ['addresses', [{ host: 'other' }], 'an ioredis Cluster'],
    ['servers', ['other'], 'an ioredis Cluster'],
    ['hosts', ['other'], 'an ioredis Cluster']
  ])('refuses an address in the words of another client: %s', (name, value, ours) => {
    const before = opened.length
    const redis = { password: 's3cret', [name]: value }
    for (const make of [() => Tokenstore({ redis }), () => new Tokenstore({ redis })]) {
      expect(make).toThrow(new TypeError(`redis must be ${ours}, not an object with ${name}`))
    }
    expect(opened).toHaveLength(before)
  })

  test.each(['redis://:s3cr/et@host', 'redis://:100%@host', 'rediss://app:s3cr#et@host'])(
    'refuses a URL that is none, without repeating it: %s',
    (redis) => {
      let error: unknown
      try {
        stores.push(Tokenstore({ redis }))
      } catch (thrown) {
        error = thrown
      }
      const says =
        'redis must be a valid URL, with what is special in a user or a password percent-encoded'
      expect(error).toEqual(new TypeError(says))
      expect(inspect(error, { showHidden: true, depth: 9 })).not.toMatch(/s3cr|100%/)
    }
  )

  test('takes options made in another realm, or without a prototype', () => {
    for (const redis of [
      runInNewContext('({ port: 7 })') as object,
      Object.assign(Object.create(null), { port: 7 })
    ]) {
      open({ redis })
      expect(opened.at(-1)!.options).toMatchObject({
        host: '127.0.0.1',
        port: 7
      })
    }
  })
})

describe('the rest', () => {
  const refused = (config: unknown, says: string): void => {
    const before = opened.length
    for (const make of [
      () => Tokenstore(config as Config),
      () => new Tokenstore(config as Config)
    ]) {
      let error: unknown
      try {
        stores.push(make())
      } catch (thrown) {
        error = thrown
      }
      expect(error).toBeInstanceOf(TypeError)
      expect((error as TypeError).message).toContain(says)
    }
    // A store that is refused must not leave a connection behind.
    expect(opened).toHaveLength(before)
  }

  test('a config is an object', () => {
    const wrong = [
      null,
      'token',
      7,
      true,
      [],
      Symbol('a'),
      new URL(redisUrl()),
      new Map(),
      new Date(0),
      client()
    ]
    for (const config of wrong) refused(config, 'config must be a plain object')
  })

  test('a name that is none of a config is refused, so that a misspelt one is seen', () => {
    for (const name of ['Prefix', 'tll', 'hashsize', 'onLimit', 'limit', 'host', 'port']) {
      refused({ [name]: 1 }, 'config must be a plain object with nothing but prefix, redis, size')
    }
  })

  test('wrong values are refused', () => {
    const texts = ['', null, 7, true, {}, ['a'], '\ud800']
    for (const prefix of texts) refused({ prefix }, 'prefix must be a non-empty well-formed string')
    for (const size of [7, 129, 0, -24, 24.5, NaN, Infinity, '24', null]) {
      refused({ size }, 'size must be a whole number from 8 to 128')
    }
    for (const hashSize of [0, 129, -8, 8.5, NaN, '8', null]) {
      refused({ hashSize }, 'hashSize must be a whole number from 1 to 128')
    }
    const noSeconds = [0, -1, 0.0001, NaN, Infinity, '60', true, {}]
    for (const hashTtl of [...noSeconds, null])
      refused({ hashTtl }, 'hashTtl must be a number of seconds')
    for (const ttl of noSeconds) refused({ ttl }, 'ttl must be a number of seconds')
    for (const idle of noSeconds) refused({ idle }, 'idle must be a number of seconds')
    for (const touchEvery of [...noSeconds, null])
      refused({ touchEvery }, 'touchEvery must be a number of seconds')
    refused({ idle: 60, touchEvery: 61 }, 'touchEvery must be at most idle')
    for (const digest of [null, 0, 1, 'true']) refused({ digest }, 'digest must be true or false')
    for (const batch of [null, 0, 1, 'true']) refused({ batch }, 'batch must be true or false')
    for (const timeout of [0, -1, 1.5, NaN, Infinity, '2000', null, 2 ** 31]) {
      refused({ timeout }, 'timeout must be a whole number')
    }
    for (const replicas of [-1, 1.5, '1', 101, null])
      refused({ replicas }, 'replicas must be a whole number')
    for (const cache of [null, 0, 1, 'true', [], new Map(), { size: 10 }, { max: 10, ttl: 1 }])
      refused({ cache }, 'cache must be')
    for (const max of [0, -1, 1.5, NaN, Infinity, '10', null, 1_000_001])
      refused({ cache: { max } }, 'cache.max must be a whole number from 1 to 1000000')
    for (const silence of [9, 0, -1, 10.5, NaN, Infinity, '1000', null, 60_001])
      refused({ cache: { silence } }, 'cache.silence must be a whole number from 10 to 60000')
  })

  test('values that cannot go together on one Redis are refused', () => {
    refused({ partitioned: 1 }, 'partitioned must be true or false')
    refused({ partitioned: true, prefix: 'a{b}' }, 'prefix must be free of braces')
    refused({ partitioned: true, hashSize: 3 }, 'hashSize must be at least 4')
  })

  test('a prefix that would put a store into another is refused', () => {
    for (const prefix of [
      'token:key',
      'token:id:a',
      'a:tokens',
      'a:b:hash',
      ':latest',
      'token:hash:',
      'token:hashes',
      'code:a:code'
    ]) {
      const parts = 'key, id, tokens, hash, latest, hashes and code'
      refused({ prefix }, `prefix must be free of the parts ${parts}`)
    }
  })

  test('so is one that does so behind the keyPrefix of ioredis, wherever that stands', async () => {
    const says =
      'prefix behind keyPrefix must be free of the parts ' +
      'key, id, tokens, hash, latest, hashes and code'
    for (const [keyPrefix, prefix] of [
      ['app:', 'key'],
      ['app:', 'id:a'],
      ['app:tok', 'ens'],
      ['app:hash:', 'token'],
      ['app:latest', ':token'],
      ['app:hashes', ':token'],
      ['app:', 'code'],
      ['a:', 'b:key']
    ] as const) {
      const redis = `${redisUrl()}?keyPrefix=${encodeURIComponent(keyPrefix)}`
      refused({ prefix, redis: { keyPrefix } }, says)
      refused({ prefix, redis }, says)
      const own = [
        client({ keyPrefix }),
        new Cluster([], { lazyConnect: true, keyPrefix }),
        new Cluster([], { lazyConnect: true, redisOptions: { keyPrefix } })
      ]
      for (const client of own) refused({ prefix, redis: client }, says)
    }
    // No store is called nothing, so that none has names that begin with these.
    for (const [keyPrefix, prefix] of [
      ['key:', freshPrefix()],
      ['id', freshPrefix()],
      [freshPrefix(), ':keys']
    ] as const) {
      const tokens = open({ prefix, redis: `${redisUrl()}?keyPrefix=${keyPrefix}` })
      await worksUnder(tokens, keyPrefix + prefix)
    }
  })

  test('any other prefix serves', async () => {
    const some = freshPrefix()
    for (const end of [
      '',
      ':a',
      ':keys',
      ':',
      ' ',
      '*',
      '{a}',
      '{',
      '"',
      '\0',
      'ü',
      'key',
      ':a:keyed:b',
      '%d'
    ]) {
      const prefix = some + end
      const tokens = open({ prefix, redis: redisUrl() })
      await worksUnder(tokens, prefix)
      await tokens.quit()
    }
  })

  test('what is undefined is as if it were not there', async () => {
    const names = ['size', 'hashSize', 'hashTtl', 'ttl', 'idle', 'touchEvery', 'digest']
    const more = ['timeout', 'batch', 'partitioned', 'replicas', 'cache']
    const all = Object.fromEntries([...names, ...more].map((name) => [name, undefined]))
    const prefix = freshPrefix()
    const tokens = Tokenstore({ ...all, prefix, redis: redisUrl() })
    stores.push(tokens)
    await worksUnder(tokens, prefix)
    const token = await tokens.add({ owner_id: 'user-7' })
    expect(token).toEqual({ ...token, key: expect.stringMatching(/^[\w-]{24}$/), attrs: {} })
    expect(token).not.toHaveProperty('expires_at')
    expect(await tokens.makeHash(1)).toHaveLength(8)
    expect(await tokens.reset()).toBe(2)
    open({ ...all, prefix: undefined, redis: undefined })
    expect(opened.at(-1)!.options).toMatchObject({ host: '127.0.0.1', port: 6379 })
  })

  test('what is right for the cache', async () => {
    const least = { max: 1, silence: 10 }
    const most = { max: 1_000_000, silence: 60_000 }
    const some = [true, false, {}, { max: undefined, silence: undefined }, least, most]
    for (const cache of [...some, Object.assign(Object.create(null), least)]) {
      const prefix = freshPrefix()
      const tokens = open({ prefix, redis: redisUrl(), cache })
      await worksUnder(tokens, prefix)
      await tokens.quit()
    }
  })

  test('null means no lifetime', async () => {
    const tokens = open({
      prefix: freshPrefix(),
      redis: redisUrl(),
      ttl: null,
      idle: null
    })
    expect(await tokens.add({ owner_id: 'user-7' })).not.toHaveProperty('expires_at')
  })

  test('a change of the config given does not reach the store', async () => {
    const config: Config = {
      prefix: freshPrefix(),
      redis: redisUrl(),
      ttl: 60,
      digest: true,
      size: 30
    }
    const tokens = open(config)
    const { prefix } = config
    Object.assign(config, {
      prefix: freshPrefix(),
      ttl: null,
      digest: false,
      size: 10
    })
    const token = await tokens.add({ owner_id: 'user-7' })
    expect(token).toMatchObject({
      key: expect.stringMatching(/^.{30}$/),
      expires_at: expect.any(Number)
    })
    const names = Object.keys(await keyspace(client(), prefix!))
    expect(names).toHaveLength(3)
    expect(names.join()).not.toContain(token.key)
  })
})
