import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createHash } from 'node:crypto'
import { startRedis } from '../../scripts/redis-server'
import { Tokenstore } from '../../src/main'
import { SessionStore } from '../../src/session/fastify-session'
import { monitor } from '../driver/monitor'
import { client, closeAfterAll, freshPrefix, keyspace, redisUrl } from '../support'
import { closeLater } from '../support/close-after-all'
import { Browser, connectRedis, fastifyApp, sessionStore, twoStores } from './fastify-app'
import { clear, lostUpdates, races, revivals } from './fastify-races'

closeAfterAll()

type Handler = (request: FastifyRequest) => object | void | Promise<object | void>
type Options = Parameters<typeof fastifyApp>[1]

/** A browser at an app that does on each path what is said there. */
async function site(
  store: SessionStore,
  routes: Record<string, Handler>,
  options?: Options
): Promise<{ app: FastifyInstance; browser: () => Browser }> {
  const app = fastifyApp(store, options)
  const send: Record<string, Handler> = { '/': ({ session }: FastifyRequest) => session, ...routes }
  for (const [path, handler] of Object.entries(send))
    app.get(path, async (request) => (await handler(request)) ?? {})
  const address = await app.listen()
  return { app, browser: () => new Browser(address) }
}

const put: Handler = ({ session }) => {
  session.user = 'ann'
  session.cart = ['book']
}
const nothing: Handler = () => {}
const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64url')
const fieldsIn = (body: string): object => {
  const { cookie, ...fields } = JSON.parse(body) as { cookie: object }
  expect(cookie).toBeDefined()
  return fields
}

/** A store with its prefix, to look at what it keeps. */
function own(options: ConstructorParameters<typeof SessionStore>[0] = {}): {
  store: SessionStore
  prefix: string
} {
  const prefix = freshPrefix()
  return { store: sessionStore({ ...options, prefix }), prefix }
}

const redis = client()
const recordOf = async (prefix: string, sid: string): Promise<Record<string, unknown>> =>
  JSON.parse((await redis.get(`${prefix}:key:${sha256(sid)}`)) ?? 'null') as Record<string, unknown>

describe('a session', () => {
  test('is there in the next request, under the digest of its sid', async () => {
    const { store, prefix } = own()
    const ann = (await site(store, { '/put': put })).browser()
    await ann.get('/put')
    expect(fieldsIn((await ann.get('/')).body)).toEqual({ user: 'ann', cart: ['book'] })
    const all = await keyspace(redis, prefix)
    expect(Object.keys(all)).toContain(`${prefix}:key:${sha256(ann.sid)}`)
    expect(Object.keys(all)).toHaveLength(3)
    expect(JSON.stringify(all)).not.toContain(ann.sid)
    const cookie = { originalMaxAge: null, secure: false, path: '/', httpOnly: true }
    expect(await recordOf(prefix, ann.sid)).toMatchObject({
      attrs: { cookie, user: 'ann', cart: ['book'] }
    })
  })

  test('shows another program no more than it shows Redis', async () => {
    const { store, prefix } = own()
    const ann = (await site(store, { '/put': put })).browser()
    await ann.get('/put')
    const tokens = Tokenstore({ prefix, redis: redisUrl(), digest: true })
    closeLater(() => tokens.quit())
    expect(await tokens.getKey(ann.sid)).toMatchObject({ attrs: { user: 'ann' } })
  })

  test('that is only read costs one command and no write, with rolling as well', async () => {
    const server = await startRedis()
    closeLater(() => server.stop())
    const cookie = { secure: false, maxAge: 60_000 }
    const { browser } = await site(sessionStore({ redis: server.url }), { '/put': put }, { cookie })
    const ann = browser()
    await ann.get('/put')
    await ann.get('/')
    const watching = await monitor(server.url)
    closeLater(async () => watching.close())
    await ann.get('/')
    expect((await watching.sent()).map(([command]) => command)).toEqual(['evalsha'])
    await ann.get('/')
    const called = (await watching.called()).map(([command]) => command)
    expect(new Set(called)).toEqual(new Set(['mget', 'pexpiretime', 'time', 'zscore']))
    expect(JSON.stringify(await watching.everything())).not.toContain(ann.sid)
  })

  test('that was loaded looks like any other but for one property', async () => {
    const { store, prefix } = own()
    const ann = (
      await site(store, {
        '/put': put,
        '/look': ({ session }) => ({
          modified: session.isModified(),
          json: JSON.parse(JSON.stringify(session)) as object,
          names: Object.keys(session),
          clone: structuredClone(session)
        }),
        '/again': async (request) => {
          await request.session.regenerate(['user'])
          return Object.keys(request.session)
        }
      })
    ).browser()
    await ann.get('/put')
    const { modified, json, names } = JSON.parse((await ann.get('/look')).body)
    expect(modified).toBe(false)
    expect(Object.keys(json)).toEqual(['cookie', 'user', 'cart'])
    expect(names).toEqual(['cookie', 'user', 'cart', 'tokenstore:loaded'])
    const { attrs } = await recordOf(prefix, ann.sid)
    expect(Object.keys(attrs!)).toEqual(['cookie', 'user', 'cart'])
    expect(JSON.parse((await ann.get('/again')).body)).toEqual(['cookie', 'user'])
  })

  test('that nothing was put into is not saved without saveUninitialized', async () => {
    const { store, prefix } = own()
    const ann = (await site(store, {}, { saveUninitialized: false })).browser()
    await ann.get('/')
    expect(ann.cookie).toBeUndefined()
    expect(await keyspace(redis, prefix)).toEqual({})
  })

  test('is the old one no more after regenerate, whatever was copied', async () => {
    const { store } = own()
    const { browser } = await site(store, {
      '/put': put,
      '/again': ({ session }) => session.regenerate(Object.keys(session))
    })
    const ann = browser()
    await ann.get('/put')
    const old = ann.sid
    await ann.get('/again')
    expect(ann.sid).not.toBe(old)
    expect(await store.get(old)).toBeNull()
    expect(fieldsIn((await ann.get('/')).body)).toEqual({ user: 'ann', cart: ['book'] })
    expect(await store.tokens.getKey(ann.sid)).not.toBeNull()
  })
})

describe('a lifetime', () => {
  const ttl = async (prefix: string, sid: string): Promise<number> =>
    redis.pttl(`${prefix}:key:${sha256(sid)}`)

  test('is that of the cookie', async () => {
    const { store, prefix } = own()
    const { browser } = await site(
      store,
      { '/longer': ({ session }) => void (session.cookie.maxAge = 90_000) },
      { cookie: { secure: false, maxAge: 60_000 } }
    )
    const ann = browser()
    await ann.get('/')
    expect(await recordOf(prefix, ann.sid)).toMatchObject({
      idle: 60_000,
      attrs: { cookie: { originalMaxAge: 60_000 } }
    })
    await ann.get('/longer')
    expect(await recordOf(prefix, ann.sid)).toMatchObject({ idle: 90_000 })
    expect(await ttl(prefix, ann.sid)).toBeGreaterThan(80_000)
    const { attrs } = await recordOf(prefix, ann.sid)
    const { cookie } = attrs as { cookie: object }
    expect(Object.keys(cookie)).not.toContain('expires')
    expect(Object.keys(cookie)).not.toContain('originalExpires')
  })

  test('is idle of the options for a cookie without an age, and ttl caps it', async () => {
    const { store, prefix } = own({ idle: 120, ttl: 30 })
    const ann = (await site(store, {})).browser()
    await ann.get('/')
    expect(await recordOf(prefix, ann.sid)).toMatchObject({ idle: 120_000 })
    expect(await ttl(prefix, ann.sid)).toBeLessThanOrEqual(30_000)
  })

  test('ends at the moment that a cookie names, however often it is used', async () => {
    const { store, prefix } = own()
    let now = Date.now() + 60_000
    const expires = new Date(now)
    const { browser } = await site(store, {
      '/until': ({ session }) => void (session.cookie.expires = expires),
      '/put': put
    })
    const ann = browser()
    await ann.get('/until')
    const [first, second] = [await ann.get('/put'), await ann.get('/')]
    expect([first.status, second.status]).toEqual([200, 200])
    const { cookie } = JSON.parse(second.body) as { cookie: object }
    expect(cookie).toMatchObject({ expires: expires.toJSON(), originalMaxAge: null })
    const { sid } = ann
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now)
    try {
      now += 1
      expect(fieldsIn((await ann.get('/')).body)).toEqual({})
    } finally {
      clock.mockRestore()
    }
    expect(ann.sid).not.toBe(sid)
    expect(await recordOf(prefix, sid)).toBeNull()
  })

  test('logs nobody out by a stale end in the JSON, as other stores leave it', async () => {
    const { store } = own()
    const cookie = { secure: false, maxAge: 60_000 }
    const ann = (await site(store, { '/put': put }, { cookie })).browser()
    await ann.get('/put')
    const { sid } = ann
    const { id, attrs } = (await store.tokens.getKey(sid))!
    const past = new Date(Date.now() - 60_000)
    Object.assign(attrs.cookie, { expires: past, originalExpires: past })
    await store.tokens.set(id, attrs)
    expect(fieldsIn((await ann.get('/')).body)).toMatchObject({ user: 'ann' })
    expect(ann.sid).toBe(sid)
  })

  test('of nothing ends the session', async () => {
    const { store, prefix } = own()
    const { browser } = await site(store, {
      '/end': ({ session }) => void (session.cookie.maxAge = -1)
    })
    const ann = browser()
    await ann.get('/')
    await ann.get('/end')
    expect(await keyspace(redis, prefix)).toEqual({})
  })
})

describe('a session that has ended', () => {
  const ROUNDS = 5

  test.each(Object.entries(races))('is not revived by a slow request: %s', async (_, race) => {
    expect(await revivals(twoStores(), race, ROUNDS)).toBe(0)
  })

  test('is revived by that of connect-redis', async () => {
    const store = await connectRedis()
    expect(await revivals([store, store], races['only reads']!, ROUNDS)).toBeGreaterThan(0)
  })

  test('is told of when a request wanted to save it, once reloaded without its id', async () => {
    const { store } = own()
    const gone: unknown[] = []
    store.on('gone', (id) => gone.push(id))
    const { browser } = await site(store, {
      '/late': async (request) => {
        await store.tokens.delKey(request.session.sessionId)
        request.session.n = 1
        await request.session.save()
        await request.session.reload()
        request.session.n = 2
      },
      '/id': (request) => ({ id: store.idOf(request) })
    })
    const ann = browser()
    await ann.get('/')
    const { id } = JSON.parse((await ann.get('/id')).body) as { id: string }
    await ann.get('/late')
    expect(gone).toEqual([id, null])
    expect(await store.tokens.getKey(ann.sid)).toBeNull()
  })

  test('in the request that made it is not made again', async () => {
    const { store, prefix } = own()
    const { browser } = await site(store, {
      '/put': async ({ session }) => {
        await session.save()
        await store.tokens.delKey(session.sessionId)
        session.n = 1
      }
    })
    await browser().get('/put')
    expect(await keyspace(redis, prefix)).toEqual({})
  })

  test.each(['ann', 'bob'])(
    'is not revived by regenerate with its user, but another logs in (%s)',
    async (user) => {
      const { store, prefix } = own({ owner: ({ user }) => user })
      const gone: unknown[] = []
      store.on('gone', (id) => gone.push(id))
      const { browser } = await site(store, {
        '/put': put,
        '/again': async (request) => {
          await store.tokens.delOwner('ann')
          request.session.user = user
          await request.session.regenerate(['user'])
        }
      })
      const ann = browser()
      await ann.get('/put')
      const old = ann.sid
      await ann.get('/again')
      expect(ann.sid).not.toBe(old)
      const again = user === 'bob'
      expect(fieldsIn((await ann.get('/')).body)).toEqual(again ? { user } : {})
      expect(await store.tokens.count(user)).toBe(again ? 1 : 0)
      expect(gone[0]).toBe(again ? undefined : null)
      if (!again) expect(JSON.stringify(await keyspace(redis, prefix))).not.toContain('ann')
    }
  )

  test('is not made again when it is emptied, field by field', async () => {
    const { store, prefix } = own()
    const { browser } = await site(store, {
      '/put': put,
      '/clear': async ({ session }) => {
        clear(session)
        session.n = 1
      },
      '/late': async ({ session }) => {
        await store.tokens.delKey(session.sessionId)
        clear(session)
        session.user = 'ann'
      }
    })
    const ann = browser()
    await ann.get('/put')
    const { sid } = ann
    await ann.get('/clear')
    expect(ann.sid).toBe(sid)
    expect(fieldsIn((await ann.get('/')).body)).toEqual({ n: 1 })
    await ann.get('/late')
    expect(await keyspace(redis, prefix)).toEqual({})
  })

  test('was never there: an object that is saved after its destroy is not', async () => {
    const { store, prefix } = own()
    const { browser } = await site(store, {
      '/end': async ({ session }) => {
        await session.destroy()
        await session.save()
      }
    })
    await browser().get('/end')
    expect(await keyspace(redis, prefix)).toEqual({})
  })

  test('is null at its request, whose client gets no new one', async () => {
    const { store, prefix } = own()
    const { browser } = await site(store, {
      '/end': async (request) => {
        await request.session.destroy()
        return { session: request.session }
      }
    })
    const ann = browser()
    await ann.get('/')
    expect((await ann.get('/end')).body).toBe('{"session":null}')
    expect(await keyspace(redis, prefix)).toEqual({})
  })
})

describe('parallel requests', () => {
  test('lose no field that one of them wrote', async () => {
    expect(await lostUpdates(own().store, 10)).toBe(0)
  })

  test('lose some with connect-redis', async () => {
    expect(await lostUpdates(await connectRedis(), 10)).toBeGreaterThan(0)
  })
})

describe('an owner', () => {
  const LIMIT = { owner: (session: { user?: string }) => session.user, limit: 2 } as const
  const login: Handler = async (request) => {
    request.session.user = 'ann'
    await request.session.regenerate(['user'])
  }

  test('and the limit are those of a session that was regenerated', async () => {
    const { store } = own({ ...LIMIT, onLimit: 'evict' })
    const { browser } = await site(store, { '/login': login })
    const browsers = [browser(), browser(), browser()]
    for (const each of browsers) {
      await each.get('/')
      await each.get('/login')
    }
    const live = await Promise.all(browsers.map(({ sid }) => store.tokens.getKey(sid)))
    expect(live.map((token) => token?.owner_id)).toEqual([undefined, 'ann', 'ann'])
    expect(await store.tokens.count('ann')).toBe(2)
  })

  test('over the limit gets no session by regenerate', async () => {
    const { store, prefix } = own(LIMIT)
    const { browser } = await site(store, { '/login': login })
    const browsers = [browser(), browser(), browser()]
    const answers: number[] = []
    for (const each of browsers) answers.push((await each.get('/login')).status)
    expect(answers).toEqual([200, 200, 500])
    expect(await store.tokens.count('ann')).toBe(2)
    expect(Object.keys(await keyspace(redis, prefix))).toHaveLength(5)
  })

  test('logs in: a new sid, the data kept, the old sid ended', async () => {
    const { store } = own()
    const { browser } = await site(
      store,
      {
        '/put': ({ session }) => void (session.cart = ['book']),
        '/login': (request) => store.login(request, 'ann', { limit: 1, onLimit: 'evict' })
      },
      { saveUninitialized: false, cookie: { secure: false, maxAge: 60_000 } }
    )
    const [ann, other] = [browser(), browser()]
    await ann.get('/put')
    const { sid } = ann
    await ann.get('/login')
    expect(ann.sid).not.toBe(sid)
    expect(await store.get(sid)).toBeNull()
    expect(await store.tokens.getKey(ann.sid)).toMatchObject({
      owner_id: 'ann',
      attrs: { cart: ['book'], cookie: { originalMaxAge: 60_000 } }
    })
    expect(fieldsIn((await ann.get('/')).body)).toEqual({ cart: ['book'] })
    // Without anything in it.
    await other.get('/login')
    expect(await store.tokens.getKey(other.sid)).toMatchObject({ owner_id: 'ann' })
    expect(await store.tokens.count('ann')).toBe(1)
  })

  test('logs in after a destroy, with a new session', async () => {
    const { store } = own()
    const { browser } = await site(store, {
      '/put': put,
      '/login': async (request) => {
        await request.session.destroy()
        const id = store.idOf(request)
        await store.login(request, 'ann')
        return { id }
      }
    })
    const ann = browser()
    await ann.get('/put')
    const { sid } = ann
    expect(await ann.get('/login')).toEqual({ status: 200, body: '{}' })
    expect(ann.sid).not.toBe(sid)
    expect(fieldsIn((await ann.get('/')).body)).toEqual({})
    expect(await store.tokens.getKey(ann.sid)).toMatchObject({ owner_id: 'ann' })
  })

  test('over the limit of a login leaves the request its session', async () => {
    const { store } = own({ limit: 1 })
    const { browser } = await site(store, {
      '/put': ({ session }) => void (session.cart = ['book']),
      '/login': async (request) => {
        const error = await store.login(request, 'ann').catch((error: Error) => error)
        return { name: error?.name, sid: request.session.sessionId }
      }
    })
    const [ann, other] = [browser(), browser()]
    expect(JSON.parse((await ann.get('/login')).body)).not.toHaveProperty('name')
    await other.get('/put')
    const { sid } = other
    expect(JSON.parse((await other.get('/login')).body)).toEqual({ name: 'LimitError', sid })
    expect(fieldsIn((await other.get('/')).body)).toEqual({ cart: ['book'] })
    expect(other.sid).toBe(sid)
    expect(await store.tokens.count('ann')).toBe(1)
    // Ann again, within her own limit.
    expect(JSON.parse((await ann.get('/login')).body)).not.toHaveProperty('name')
    expect(await store.tokens.getKey(ann.sid)).toMatchObject({ owner_id: 'ann' })
  })
})

describe('when Redis does not answer', () => {
  test('no request runs without its session, and the answer is 503', async () => {
    const server = await startRedis()
    const store = sessionStore({ redis: server.url, timeout: 1000 })
    let ran = 0
    const { browser } = await site(store, { '/run': () => void ran++ })
    const ann = browser()
    await ann.get('/run')
    await server.stop()
    expect((await ann.get('/run')).status).toBe(503)
    expect(ran).toBe(1)
    // A new session cannot be saved.
    expect((await browser().get('/')).status).toBe(503)
  })

  test('a reload that fails empties no session', async () => {
    const server = await startRedis()
    closeLater(() => server.stop())
    const store = sessionStore({ redis: server.url, timeout: 1000 })
    const { browser } = await site(store, {
      '/put': put,
      '/reload': async (request) => {
        process.kill(server.pid, 'SIGSTOP')
        const error = await request.session.reload().catch((error: Error) => error)
        process.kill(server.pid, 'SIGCONT')
        return { name: (error as Error | undefined)?.name }
      }
    })
    const ann = browser()
    await ann.get('/put')
    expect(JSON.parse((await ann.get('/reload')).body)).toEqual({ name: 'UnavailableError' })
    expect(fieldsIn((await ann.get('/')).body)).toEqual({ user: 'ann', cart: ['book'] })
  })
})

describe('a store', () => {
  test('needs nothing of @fastify/session at run time', () => {
    jest.isolateModules(() => {
      jest.doMock('@fastify/session', () => {
        throw new Error('loaded')
      })
      expect(jest.requireActual('../../src/session/fastify-session')).toHaveProperty('SessionStore')
      jest.dontMock('@fastify/session')
    })
  })

  test('takes callbacks, and returns promises as well', async () => {
    const { store } = own()
    const session = { cookie: { originalMaxAge: null }, user: 'ann' }
    const heard = (call: (callback: (...args: unknown[]) => void) => unknown): Promise<unknown[]> =>
      new Promise((resolve) => call((...args) => resolve(args)))
    expect(await heard((callback) => store.set('a', session, callback))).toEqual([null, undefined])
    const [error, found] = await heard((callback) => store.get('a', callback))
    expect([error, found]).toMatchObject([null, { user: 'ann' }])
    expect(await heard((callback) => store.destroy('a', callback))).toEqual([null, undefined])
    expect(await store.get('a')).toBeNull()
    await expect(store.set('b', session)).resolves.toBeUndefined()
    await expect(store.destroy('b')).resolves.toBeUndefined()
  })

  test('refuses what is no option of it', () => {
    const made = (options: object) => () => new SessionStore(options)
    expect(made({ onGone: nothing })).toThrow('nothing but tokens, owner,')
    expect(made({ digest: true })).toThrow('digest')
  })
})
