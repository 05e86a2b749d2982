import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis as Redis5 } from 'ioredis-5'
import { api, type Tokenstore } from '../../src/main'
import type { Config, Token } from '../../src/types'
import { freshPrefix, timeOf, until } from '../support'
import { Counts, Gate, useServer, wayTo, withCache } from './cached'
import { closeAfterEach, later, open, own, server } from './opened'

const { url, port, counts } = useServer()
closeAfterEach()

/** A store with a cache, and one without on the same data. */
function two(config: Config = {}): { tokens: Tokenstore; plain: Tokenstore } {
  const shared = { redis: url(), prefix: freshPrefix(), ...config }
  return { tokens: withCache(shared), plain: open({ ...shared, timeout: 10_000 }) }
}

const redisNow = (): Promise<number> => timeOf(counts().redis)

describe('an answer from memory', () => {
  test('is no command, however many there are', async () => {
    const { tokens } = two()
    const { key } = await tokens.add({ owner_id: 'ann' })
    await counts().warm(tokens, key)
    const before = await counts().calls()
    for (let i = 0; i < 1000; i++) await tokens.getKey(key)
    await Promise.all(Array.from({ length: 1000 }, () => tokens.getKey(key)))
    const after = await counts().calls()
    // Of the tests, and of the proof that is due every five seconds.
    const allowed = ['info', 'ping', 'exists', 'time']
    const changed = Object.keys(after).filter((command) => after[command] !== before[command])
    expect(changed.filter((command) => !allowed.includes(command))).toEqual([])
    expect((after.ping ?? 0) - (before.ping ?? 0)).toBeLessThan(3)
  })

  test('is that of Redis, down to the order of properties', async () => {
    const { tokens, plain } = two()
    const nested = '{"z":1,"__proto__":{"admin":true},"7":["\\u2028","ü",null]}'
    const flat = '{"z":1,"__proto__":"admin","7":null,"constructor":true}'
    for (const text of [nested, flat, '{}']) {
      for (const life of [{}, { ttl: 100 }, { idle: 100 }, { ttl: 300, idle: 100 }]) {
        const attrs = JSON.parse(text) as Record<string, unknown>
        const { key } = await plain.add({ owner_id: 'a"nn\n', attrs, ...life })
        await counts().warm(tokens, key)
        for (const touch of [true, false]) {
          const fresh = await plain.getKey(key, { touch })
          expect(JSON.stringify(fresh!.attrs)).toBe(JSON.stringify(attrs))
          expect(JSON.stringify(await tokens.getKey(key, { touch }))).toBe(JSON.stringify(fresh))
        }
        const found = (await tokens.getKey(key))!.attrs
        expect(Object.getPrototypeOf(found)).toBe(Object.prototype)
        expect(found).not.toHaveProperty('admin')
      }
    }
  })

  test('is a new object, whose attrs are nobody else’s', async () => {
    const { tokens } = two()
    for (const attrs of [{ a: { b: [1] } }, { a: 1 }]) {
      const token = await tokens.add({ owner_id: 'ann', attrs })
      await counts().warm(tokens, token.key)
      const ask = (): Promise<Token | null> => tokens.getKey(token.key)
      const [one, other] = await Promise.all([ask(), ask()])
      if (typeof attrs.a === 'object') (one!.attrs.a as { b: number[] }).b.push(2)
      Object.assign(one!.attrs, { admin: true })
      one!.owner_id = 'eve'
      expect(other).toEqual(token)
      expect(await ask()).toEqual(token)
    }
  })

  test('also goes to a callback, and to one of the facade', async () => {
    const { tokens, plain } = two({ redis: url(), prefix: 'api' })
    const old = api({ redis: url(), prefix: 'api', cache: true, timeout: 10_000 })
    later(() => new Promise((resolve) => old.quit(resolve)))
    const token = await plain.add({ owner_id: 'ann' })
    const byApi = (): Promise<unknown[]> =>
      new Promise((resolve) => old.getKey(token.key, (...args) => resolve(args)))
    const byCallback = (): Promise<unknown[]> =>
      new Promise((resolve) => tokens.getKey(token.key, (...args) => resolve(args)))
    for (const ask of [byApi, byCallback])
      await until(async () => (await counts().scriptsOf(ask)) === 0)
    expect([await byApi(), await byCallback()]).toEqual([
      [null, token],
      [null, token]
    ])
  })
})

describe('Redis is asked', () => {
  test('without the option', async () => {
    for (const config of [{}, { cache: false }, { cache: undefined }]) {
      const tokens = open({ redis: url(), timeout: 10_000, ...config })
      const { key } = await tokens.add({ owner_id: 'ann' })
      const ask = async (): Promise<void> => {
        for (let i = 0; i < 20; i++) await tokens.getKey(key)
      }
      expect(await counts().scriptsOf(ask)).toBe(20)
    }
    expect(await counts().trackers()).toEqual([])
  })

  test('with fresh, and what it says is kept', async () => {
    const { tokens } = two()
    const { key } = await tokens.add({ owner_id: 'ann' })
    await counts().warm(tokens, key)
    for (const fresh of [true, undefined, false]) {
      const asked = await counts().scriptsOf(() => tokens.getKey(key, { fresh }))
      expect([fresh, asked]).toEqual([fresh, fresh ? 1 : 0])
    }
    for (const fresh of [null, 1, 'true'])
      await expect(tokens.getKey(key, { fresh } as never)).rejects.toThrow(
        new TypeError('fresh must be true or false')
      )
  })

  test('for what was not found, so that it is found once it is there', async () => {
    const { tokens, plain } = two()
    const { key: warm } = await tokens.add({ owner_id: 'ann' })
    await counts().warm(tokens, warm)
    const key = 'n'.repeat(24)
    for (let i = 0; i < 3; i++) {
      const asked = await counts().scriptsOf(async () => {
        expect(await tokens.getKey(key)).toBeNull()
      })
      expect(asked).toBe(1)
    }
    await plain.add({ owner_id: 'ann', key })
    expect(await tokens.getKey(key)).toMatchObject({ key })
  })

  test('for a key within its grace: what is set elsewhere is its answer at once', async () => {
    const { tokens, plain } = two()
    const { key, id } = await tokens.add({ owner_id: 'ann', attrs: { n: 0 } })
    await counts().warm(tokens, key)
    const { key: newest } = (await plain.rotate(id, { grace: 100 }))!
    await counts().warm(tokens, newest)
    for (let n = 1; n <= 50; n++) {
      // More than once, so that it could be kept.
      for (let i = 0; i < 4; i++) await tokens.getKey(key)
      expect(await counts().fromMemory(tokens, key)).toBe(false)
      await plain.set(id, { n })
      expect(await tokens.getKey(key)).toMatchObject({ key, attrs: { n } })
    }
  })

  test('for attrs that are no JSON, and other keys of the tick are answered', async () => {
    const prefix = freshPrefix()
    const { tokens, plain } = two({ prefix })
    const { key: warm } = await plain.add({ owner_id: 'ann' })
    await counts().warm(tokens, warm)
    const [token, foreign] = [
      await plain.add({ owner_id: 'a' }),
      await plain.add({ owner_id: 'b' })
    ]
    const name = `${prefix}:key:${foreign.key}`
    const record = (await counts().redis.get(name))!
    await counts().redis.set(name, record.replace('"attrs":{}', '"attrs":{a}'))
    for (let i = 0; i < 5; i++) {
      const asked = [token, foreign].map(({ key }) => tokens.getKey(key).catch((e: unknown) => e))
      expect(await Promise.all(asked)).toEqual([
        token,
        await plain.getKey(foreign.key).catch((error: unknown) => error)
      ])
    }
    await expect(tokens.getKey(foreign.key)).rejects.toMatchObject({ code: 'TSRECORD' })
  })

  test('by a store that asks key by key, too', async () => {
    const { tokens } = two({ batch: false })
    const added = await Promise.all([1, 2, 3].map(() => tokens.add({ owner_id: 'ann' })))
    await counts().warm(tokens, ...added.map(({ key }) => key))
    const ask = (): Promise<unknown[]> => Promise.all(added.map(({ key }) => tokens.getKey(key)))
    expect(await counts().scriptsOf(ask)).toBe(0)
    expect(await ask()).toEqual(added)
  })

  test('for what was named while it was read', async () => {
    const gate = new Gate()
    let seen = 0
    const through = await wayTo(port(), {
      answer: (data, { tracks }) => {
        // The second answer with the record is that of the MGET which proves where it lies.
        if (!tracks && data.includes('"marked"') && ++seen > 1) return gate.passed()
      }
    })
    const prefix = freshPrefix()
    const { plain } = two({ prefix })
    const read = withCache({ redis: { port: through }, prefix })
    const warm = await plain.add({ owner_id: 'ann' })
    await counts().warm(read, warm.key)
    const { key, id } = await plain.add({ owner_id: 'ann', attrs: { marked: 0 } })
    gate.hold()
    expect(await read.getKey(key)).toMatchObject({ attrs: { marked: 0 } })
    await until(() => seen > 1)
    await plain.set(id, { marked: 1 })
    await plain.set(warm.id, {})
    // Once it has heard of the later write, it has of that before.
    const before = await counts().scripts()
    let behind: Promise<unknown> | undefined
    await until(async () => {
      behind = read.getKey(warm.key)
      return (await counts().scripts()) > before
    })
    gate.release()
    await behind
    for (let i = 0; i < 20; i++) {
      expect(await read.getKey(key)).toMatchObject({ attrs: { marked: 1 } })
    }
  })

  test('from the end of a token on, to the millisecond', async () => {
    const { tokens, plain } = two()
    const added = await Promise.all(
      Array.from({ length: 10 }, (_, i) => plain.add({ owner_id: 'ann', ttl: 0.8 + i / 30 }))
    )
    await counts().warm(tokens, ...added.map(({ key }) => key))
    for (const { key, expires_at } of added) {
      for (let found: unknown = 1; ;) {
        const before = await redisNow()
        const asked = await counts().scriptsOf(async () => (found = await tokens.getKey(key)))
        if (found === null) break
        // Redis itself still answers in that millisecond.
        expect(before).toBeLessThan(expires_at! + asked)
        // The way of the last proof counts as time that has passed.
        if ((await redisNow()) < expires_at! - 100) expect(asked).toBe(0)
      }
    }
  })

  test('for the use that has to be written, and not before', async () => {
    const { tokens, plain } = two({ idle: 60, touchEvery: 0.5 })
    const { key } = await plain.add({ owner_id: 'ann' })
    for (let uses = 0; uses < 2;) {
      await counts().warm(tokens, key)
      const { expires_at: end } = (await tokens.getKey(key, { touch: false }))!
      const moves = (time: number): number => time + 60_000 - end!
      let found: Token | null = null
      for (let asked = 0; asked === 0;) {
        const before = await redisNow()
        asked = await counts().scriptsOf(async () => (found = await tokens.getKey(key)))
        if (asked === 0) expect(moves(before)).toBeLessThan(500)
      }
      // It may ask a little early, by the way of the last proof, and then nothing is written.
      expect(moves(await redisNow())).toBeGreaterThan(400)
      const written = found!.expires_at! - end!
      if (written > 0) uses++
      expect([0, true]).toContainEqual(written && written >= 500)
    }
  })

  test('for no use that is none, or that moves nothing', async () => {
    const { tokens, plain } = two({ touchEvery: 0.2 })
    const untouched = await plain.add({ owner_id: 'ann', idle: 60 })
    // Its end is that of its ttl from the beginning.
    const ended = await plain.add({ owner_id: 'ann', idle: 60, ttl: 60 })
    await counts().warm(tokens, untouched.key, ended.key)
    const from = await redisNow()
    await until(async () => (await redisNow()) > from + 300)
    const asked = await counts().scriptsOf(async () => {
      expect(await tokens.getKey(untouched.key, { touch: false })).toEqual(untouched)
      expect(await tokens.getKey(ended.key)).toEqual(ended)
    })
    expect(asked).toBe(0)
    expect(await counts().scriptsOf(() => tokens.getKey(untouched.key))).toBe(1)
  })

  test('for more tokens than max, of which those used last are kept', async () => {
    const { tokens, plain } = two({ cache: { max: 10, silence: 20_000 } })
    const added = await Promise.all(Array.from({ length: 30 }, () => plain.add({ owner_id: 'a' })))
    const [first, ...rest] = added.map(({ key }) => key)
    await counts().warm(tokens, first!)
    for (const key of rest) {
      await counts().warm(tokens, key)
      expect(await counts().fromMemory(tokens, first!)).toBe(true)
    }
    const kept = new Set<string>()
    for (const key of rest.reverse()) {
      if (await counts().fromMemory(tokens, key)) kept.add(key)
      else break
    }
    expect([...kept]).toEqual(rest.slice(0, 9))
  })
})

describe('works', () => {
  const configs: [string, () => Config | Promise<Config>][] = [
    ['with digest', () => ({ digest: true })],
    ['partitioned', () => ({ partitioned: true })],
    ['partitioned, with digest', () => ({ partitioned: true, digest: true })],
    ['with a keyPrefix', () => ({ redis: `${url()}?keyPrefix=app:` })],
    ['in another database', () => ({ redis: `${url()}/3` })],
    ['with a client of the caller', () => ({ redis: own(port()) })],
    ['with one that has a keyPrefix', () => ({ redis: own(port(), { keyPrefix: 'own:' }) })],
    ['with one in another database', () => ({ redis: own(port(), { db: 5 }) })],
    ['with one that pipelines', () => ({ redis: own(port(), { enableAutoPipelining: true }) })],
    [
      'with one that answers numbers as text',
      () => ({ redis: own(port(), { stringNumbers: true }) })
    ],
    ['with one of ioredis 5', () => ({ redis: ioredis5() })],
    ['with one that selected another database', selected]
  ]

  function ioredis5(): NonNullable<Config['redis']> {
    const redis = new Redis5({ port: port(), keyPrefix: 'five:' })
    later(() => redis.disconnect())
    return redis
  }

  async function selected(): Promise<Config> {
    const redis = own(port())
    await redis.select(6)
    return { redis }
  }

  test.each(configs)('%s', async (_name, config) => {
    const { tokens, plain } = two(await config())
    const added = [await plain.add({ owner_id: 'ann' }), await plain.add({ owner_id: 'bo' })]
    await counts().warm(tokens, ...added.map(({ key }) => key))
    for (const { key, id, owner_id } of added) {
      await plain.set(id, { n: 1 })
      await until(async () => (await tokens.getKey(key))!.attrs.n === 1)
      await counts().warm(tokens, key)
      await plain.delOwner(owner_id)
      await until(async () => (await tokens.getKey(key)) === null)
    }
  })

  test('over a socket file, for a user with a password', async () => {
    const { dir, port } = await server('--unixsocket', 'redis.sock')
    const admin = new Counts(own(port))
    await admin.redis.acl('SETUSER', 'app', 'on', '>pass word', '~*', '&*', '+@all')
    const login = { path: `${dir}/redis.sock`, username: 'app', password: 'pass word' }
    const tokens = withCache({ redis: login })
    const { key } = await tokens.add({ owner_id: 'ann' })
    await admin.warm(tokens, key)
    await admin.redis.flushdb()
    await until(async () => (await tokens.getKey(key)) === null)
  })
})

test('takes no more memory for half a million calls than for a tenth of them', async () => {
  const child = ['--expose-gc', '--import', 'tsx', join(__dirname, 'heap-child.ts')]
  const args = [...child, `${url()}/9`, '500000']
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args)
  const used = JSON.parse(stdout) as number[]
  expect(used).toHaveLength(10)
  // What is compiled and counted on the way is some.
  expect(used.at(-1)! - used[1]!).toBeLessThan(1_000_000)
  expect(stderr).toBe('')
})
