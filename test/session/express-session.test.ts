import type { CookieOptions } from 'express-session'
import { SessionStore, type SessionStoreOptions } from '../../src/session/express-session'
import { Tokenstore } from '../../src/main'
import { monitor } from '../driver/monitor'
import { closeAfterEach, server } from '../driver/opened'
import {
  audit,
  client,
  closeAfterAll,
  evalsha,
  keyspace,
  redisUrl,
  store,
  timeOf,
  until
} from '../support'
import { closeLater } from '../support/close-after-all'
import {
  done,
  gate,
  save,
  sessionStore,
  sha256,
  sidOf,
  site,
  userId,
  VERSIONS,
  type AnySession,
  type Visited
} from './express-site'

closeAfterAll()

const redis = client()

/** Sets fields of the session. */
const put =
  (fields: object) =>
  ({ session }: Visited): void => {
    Object.assign(session, fields)
  }
const fieldsOf = ({ session }: Visited): object => ({ ...session, cookie: undefined })
const cookieOf = ({ session: { cookie } }: Visited): object => cookie
/** The public id of the only session. */
const idIn = async (store: SessionStore): Promise<string> => {
  const [{ id }] = (await store.all()) as unknown as [{ id: string }]
  return id
}
const scriptsIn = (sent: string[][]): string[][] =>
  sent.filter(([command]) => command!.startsWith('eval'))
const idleOf = async (owned: { prefix: string }, sid: string): Promise<unknown> => {
  const record = await redis.get(`${owned.prefix}:key:${sha256(sid)}`)
  return Number(/"idle":(\d+)/.exec(record!)?.[1])
}

describe.each(VERSIONS)('a session in %s', (version) => {
  test('is created by the first request that puts something into it', async () => {
    const owned = sessionStore()
    const { browser } = await site(owned.store, {}, version)
    const ann = browser()
    expect(await ann.visit(fieldsOf)).toMatchObject({ body: {}, cookie: undefined })
    expect(await keyspace(redis, owned.prefix)).toEqual({})
    expect(await ann.visit(put({ n: 1, deep: { a: [1, null] } }))).toMatchObject({ status: 200 })
    expect(await ann.visit(fieldsOf)).toMatchObject({ body: { n: 1, deep: { a: [1, null] } } })
    expect((await browser().visit(fieldsOf)).body).toEqual({})
    expect(await audit(redis, owned.prefix)).toEqual([])
  })

  test('is changed, field by field, and loses those that are deleted', async () => {
    const ann = (await site(sessionStore().store, {}, version)).browser()
    await ann.visit(put({ a: 1, b: 1, c: 1 }))
    await ann.visit(({ session }) => {
      session.b = 2
      delete session.c
    })
    expect((await ann.visit(fieldsOf)).body).toEqual({ a: 1, b: 2 })
  })

  test('that was logged out meanwhile stays so: gone has its id, and no error is seen', async () => {
    const { store, gone, prefix } = sessionStore()
    const { browser, errors } = await site(store, {}, version)
    const ann = browser()
    await ann.visit(put({ n: 1 }))
    const id = await idIn(store)
    const hold = gate()
    const slow = browser(ann.cookie).visit(async ({ session }) => {
      await hold.pass()
      session.n = 2
    })
    await hold.reached()
    await ann.visit(({ session }) => done((then) => session.destroy(then)))
    hold.open()
    expect(await slow).toMatchObject({ status: 200 })
    expect(gone).toEqual([id])
    expect(await keyspace(redis, prefix)).toEqual({})
    expect((await ann.visit(fieldsOf)).body).toEqual({})
    expect(errors).toEqual([])
  })

  test('takes the changes of parallel requests together', async () => {
    const ann = (await site(sessionStore().store, {}, version)).browser()
    await ann.visit(put({ a: 0, b: 0, c: 0 }))
    const hold = gate()
    const visits = ['a', 'b', 'd'].map((name) =>
      ann.visit(async ({ session }) => {
        await hold.pass()
        session[name] = 1
        if (name === 'd') delete session.c
      })
    )
    await hold.reached(3)
    hold.open()
    await Promise.all(visits)
    expect((await ann.visit(fieldsOf)).body).toEqual({ a: 1, b: 1, d: 1 })
  })

  test('is reloaded as others have left it', async () => {
    const ann = (await site(sessionStore().store, {}, version)).browser()
    await ann.visit(put({ n: 1 }))
    const answer = await ann.visit(async (request) => {
      await ann.visit(put({ n: 2 }))
      await done((then) => request.session.reload(then))
      request.session.more = true
      return fieldsOf(request)
    })
    expect(answer.body).toEqual({ n: 2, more: true })
    expect((await ann.visit(fieldsOf)).body).toEqual({ n: 2, more: true })
  })

  test('is destroyed, also by leaving null in its place', async () => {
    const { store, prefix } = sessionStore()
    const ann = (await site(store, { unset: 'destroy' }, version)).browser()
    await ann.visit(put({ n: 1 }))
    await ann.visit((request) => {
      request.session = null as unknown as AnySession
    })
    expect(await keyspace(redis, prefix)).toEqual({})
    expect((await ann.visit(fieldsOf)).body).toEqual({})
  })

  test('that is regenerated has another sid, and nothing of before', async () => {
    const { store } = sessionStore()
    const ann = (await site(store, {}, version)).browser()
    await ann.visit(put({ n: 1 }))
    const old = sidOf(ann)
    await ann.visit(async (request) => {
      await done((then) => request.session.regenerate(then))
      request.session.m = 1
    })
    expect(sidOf(ann)).not.toBe(old)
    expect((await ann.visit(fieldsOf)).body).toEqual({ m: 1 })
    expect(await store.get(old)).toBeNull()
    expect(await store.length()).toBe(1)
  })
})

test('one that is regenerated under the same sid is a new one', async () => {
  const { store, gone } = sessionStore()
  const ann = (await site(store, { genid: () => 'always this' })).browser()
  await ann.visit(put({ n: 1 }))
  await ann.visit(async (request) => {
    await done((then) => request.session.regenerate(then))
    request.session.m = 1
  })
  expect((await ann.visit(fieldsOf)).body).toEqual({ m: 1 })
  expect(gone).toEqual([])
})

describe('saves', () => {
  test('without merge, what a request has is written as a whole', async () => {
    const ann = (await site(sessionStore({ merge: false }).store)).browser()
    await ann.visit(put({ a: 0, b: 0 }))
    await ann.visit(async ({ session }) => {
      await ann.visit(put({ b: 1, c: 1 }))
      session.a = 1
    })
    expect((await ann.visit(fieldsOf)).body).toEqual({ a: 1, b: 0 })
  })

  test('without merge, a session that has ended stays so as well', async () => {
    const { store, gone, prefix } = sessionStore({ merge: false })
    const ann = (await site(store)).browser()
    await ann.visit(put({ n: 1 }))
    await ann.visit(async ({ session, sessionID }) => {
      await store.destroy(sessionID)
      session.n = 2
    })
    expect(gone).toHaveLength(1)
    expect(await keyspace(redis, prefix)).toEqual({})
  })

  test.each([true, false])(
    'two of one request without waiting both count (loaded: %s)',
    async (loaded) => {
      const { store } = sessionStore()
      const ann = (await site(store)).browser()
      if (loaded) await ann.visit(put({ a: 0 }))
      await ann.visit(({ session }) => {
        session.a = 1
        const first = save(session)
        session.b = 1
        const second = save(session)
        session.c = 1
        return Promise.all([first, second])
      })
      expect((await ann.visit(fieldsOf)).body).toEqual({ a: 1, b: 1, c: 1 })
      expect(await store.length()).toBe(1)
    }
  )

  test('one that nobody waits for is not undone by the end of its request', async () => {
    const ann = (await site(sessionStore().store)).browser()
    await ann.visit(put({ n: 1 }))
    await ann.visit(({ session }) => {
      session.n = 2
      session.save()
    })
    expect((await ann.visit(fieldsOf)).body).toEqual({ n: 2 })
  })

  test('one that nobody waits for does not outlive a destroy right behind it', async () => {
    const { store, prefix } = sessionStore()
    const ann = (await site(store)).browser()
    await ann.visit(({ session }) => {
      session.n = 1
      session.save()
      session.n = 2
      session.save()
      return done((then) => session.destroy(then))
    })
    expect(await keyspace(redis, prefix)).toEqual({})
  })

  test('of a copy of the session under its sid writes what the copy has', async () => {
    const { store } = sessionStore()
    const ann = (await site(store)).browser()
    await ann.visit(put({ a: 1, b: 1 }))
    await ann.visit(async ({ session, sessionID }) => {
      const copy = { ...session, b: undefined, c: 1 }
      await store.set(sessionID, copy)
    })
    expect((await ann.visit(fieldsOf)).body).toEqual({ a: 1, c: 1 })
    expect(await store.length()).toBe(1)
  })

  test('of a session in a Proxy is one of that session', async () => {
    const { store, gone, prefix } = sessionStore()
    const ann = (await site(store)).browser()
    await ann.visit(put({ a: 1 }))
    await ann.visit(async (request) => {
      await ann.visit(put({ b: 1 }))
      request.session = new Proxy(request.session, {})
      request.session.c = 1
    })
    expect((await ann.visit(fieldsOf)).body).toEqual({ a: 1, b: 1, c: 1 })
    await ann.visit(async (request) => {
      await store.destroy(request.sessionID)
      request.session = new Proxy(request.session, {})
      request.session.a = 2
    })
    expect(gone).toHaveLength(1)
    expect(await keyspace(redis, prefix)).toEqual({})
  })

  test('after one that failed writes what that one had not', async () => {
    const { store } = sessionStore({ owner: userId })
    const ann = (await site(store)).browser()
    await ann.visit(put({ a: 1 }))
    const answer = await ann.visit(async ({ session }) => {
      session.a = 2
      session.user = { id: {} }
      const error = await save(session).catch(String)
      delete session.user
      session.b = 1
      await save(session)
      return error
    })
    expect(answer.body).toMatch(/^TypeError: the result of owner must be a string, a number/)
    expect((await ann.visit(fieldsOf)).body).toEqual({ a: 2, b: 1 })
  })

  test('of one that another program spelt otherwise merges like any', async () => {
    const { store, prefix } = sessionStore()
    const ann = (await site(store)).browser()
    await ann.visit(put({ a: 0, b: 0 }))
    const id = await idIn(store)
    const spelt = '{ "cookie": {"path": "/",  "originalMaxAge": null}, "a": 0, "b": 5, "c": 1e0 }'
    await ann.visit(async ({ session }) => {
      await evalsha(redis, 'set', prefix, id, spelt)
      session.a = 1
    })
    expect((await ann.visit(fieldsOf)).body).toEqual({ a: 1, b: 5, c: 1 })
    await evalsha(redis, 'set', prefix, id, spelt)
    await ann.visit(put({ d: 1 }))
    expect((await ann.visit(fieldsOf)).body).toEqual({ a: 0, b: 5, c: 1, d: 1 })
  })
})

describe('the lifetime', () => {
  const live = async (
    options: SessionStoreOptions = {},
    cookie: CookieOptions = {}
  ): Promise<{ sid: string; left: number; idle: unknown; expires: unknown }> => {
    const owned = sessionStore(options)
    const ann = (await site(owned.store, { cookie })).browser()
    await ann.visit(put({ n: 1 }))
    const sid = sidOf(ann)
    const left = await redis.pttl(`${owned.prefix}:key:${sha256(sid)}`)
    const { body } = await ann.visit(({ session }) => session.cookie.expires)
    return { sid, left, idle: await idleOf(owned, sid), expires: body }
  }
  const about = (ms: number): object => ({
    asymmetricMatch: (left: number) => left <= ms && left > ms - 5000
  })

  test('is the maxAge of the cookie, from the last use', async () => {
    const { left, idle } = await live({}, { maxAge: 60_000 })
    expect({ left, idle }).toEqual({ left: about(60_000), idle: 60_000 })
  })

  test('is idle of the options when the cookie has no age, and a day when they have none', async () => {
    expect(await live({ idle: 90 })).toMatchObject({ left: about(90_000), idle: 90_000 })
    expect(await live()).toMatchObject({ left: about(86_400_000), idle: 86_400_000 })
    expect(await live({ idle: null })).toMatchObject({ left: -1, idle: NaN })
  })

  test('is that of a store that is given', async () => {
    for (const [config, options, lives] of [
      [{ idle: 70 }, {}, 70_000],
      [{ idle: 70, ttl: 20 }, {}, 20_000],
      [{ idle: 70 }, { idle: 50, ttl: 30 }, 30_000],
      [{}, {}, 86_400_000]
    ] as const) {
      const tokens = store({ digest: true, ...config }) as Tokenstore<never, true>
      await sessionStore({ tokens, ...options }).store.set('sid', {} as never)
      const token = await tokens.getKey('sid', { touch: false })
      expect(token!.expires_at! - (await timeOf(redis))).toEqual(about(lives))
    }
  })

  test('is capped by ttl, used or not', async () => {
    const { left, idle } = await live({ ttl: 30, idle: 90 })
    expect({ left, idle }).toEqual({ left: about(30_000), idle: 90_000 })
    expect((await live({ ttl: 30 }, { maxAge: 60_000 })).left).toEqual(about(30_000))
  })

  test('is what cookie.expires of a loaded session says: as Redis does', async () => {
    for (const options of [{}, { ttl: 30 }]) {
      const owned = sessionStore(options)
      const ann = (await site(owned.store, { cookie: { maxAge: 60_000 } })).browser()
      await ann.visit(put({ n: 1 }))
      const name = `${owned.prefix}:key:${sha256(sidOf(ann))}`
      const seen = await ann.visit(({ session }) => [
        session.cookie.expires,
        session.cookie.originalMaxAge
      ])
      const end = new Date(await redis.pexpiretime(name)).toISOString()
      expect(seen.body).toEqual([end, 60_000])
      expect(await redis.get(name)).not.toContain('expires')
    }
    expect((await live()).expires).toBeNull()
  })

  test('that cookie.expires sets is the time until then', async () => {
    const { left, idle } = await live({}, { expires: new Date(Date.now() + 45_000) })
    expect({ left, idle }).toEqual({ left: about(45_000), idle: about(45_000) })
    const never = await live({}, { expires: new Date('9999-12-31') })
    expect(never.left).toBeGreaterThan(300 * 365 * 86_400_000)
  })

  test('that changes is one command, also when nothing else does', async () => {
    const owned = sessionStore()
    const ann = (await site(owned.store, { cookie: { maxAge: 60_000 } })).browser()
    await ann.visit(put({ n: 1 }))
    const watched = await monitor(redisUrl())
    await ann.visit(({ session }) => {
      session.cookie.maxAge = 90_000
    })
    const changes = (await watched.sent()).filter((command) => command.includes('IDLE'))
    expect(changes).toHaveLength(1)
    expect(await idleOf(owned, sidOf(ann))).toBe(90_000)
    await ann.visit(({ session }) => {
      session.cookie.maxAge = 120_000
      session.n = 2
    })
    expect(scriptsIn(await watched.sent())).toHaveLength(2)
    expect(await idleOf(owned, sidOf(ann))).toBe(120_000)
    await ann.visit(({ session }) => {
      session.cookie.maxAge = null as never
    })
    expect(await idleOf(owned, sidOf(ann))).toBe(86_400_000)
    watched.close()
  })

  test.each([0, -1])('of a maxAge of %d ends the session', async (maxAge) => {
    const { store, prefix, gone } = sessionStore()
    const ann = (await site(store)).browser()
    await ann.visit(put({ n: 1 }))
    await ann.visit(async ({ session }) => {
      session.cookie.maxAge = maxAge
      await save(session)
      // Once ended, it is not made anew by what the request does later.
      session.cookie.maxAge = 60_000
    })
    expect(await keyspace(redis, prefix)).toEqual({})
    expect(gone).toEqual([])
  })

  test('of a new session whose maxAge is 0 never begins', async () => {
    const { store, prefix } = sessionStore()
    const ann = (await site(store, { cookie: { maxAge: 0 } })).browser()
    await ann.visit(put({ n: 1 }))
    expect(await keyspace(redis, prefix)).toEqual({})
  })

  test('ends', async () => {
    const { store, prefix, gone } = sessionStore()
    const ann = (await site(store, { cookie: { maxAge: 300 } })).browser()
    await ann.visit(put({ n: 1 }))
    await ann.visit(async ({ session }) => {
      await until(async () => Object.keys(await keyspace(redis, prefix)).length === 0)
      session.n = 2
    })
    expect(gone).toHaveLength(1)
    expect(await keyspace(redis, prefix)).toEqual({})
    expect((await ann.visit(fieldsOf)).body).toEqual({})
  })
})

describe('a request that only reads', () => {
  test.each([
    ['without an age', {}],
    ['with maxAge', { cookie: { maxAge: 60_000 } }],
    ['with maxAge, rolling', { cookie: { maxAge: 60_000 }, rolling: true }],
    ['with resave', { resave: true }],
    ['with resave and maxAge', { resave: true, cookie: { maxAge: 60_000 } }]
  ])('%s is one command, and writes nothing', async (_, options) => {
    const owned = sessionStore({ owner: userId })
    const ann = (await site(owned.store, options)).browser()
    await ann.visit(put({ user: { id: 'ann' }, n: 1 }))
    await ann.visit(fieldsOf)
    const before = await keyspace(redis, owned.prefix)
    const watched = await monitor(redisUrl())
    for (let n = 0; n < 5; n++) await ann.visit(fieldsOf)
    const sent = await watched.sent()
    expect(sent.map((command) => command.slice(3))).toEqual(
      Array(5).fill([owned.prefix, 'TOUCH', sha256(sidOf(ann))])
    )
    watched.close()
    expect(await keyspace(redis, owned.prefix)).toEqual(before)
  })

  test('shares its command with those that come in the same turn', async () => {
    const { store } = sessionStore()
    await store.set('sid', { cookie: { originalMaxAge: null }, n: 1 } as never)
    const watched = await monitor(redisUrl())
    // A tick for each, as requests have.
    const later = (): Promise<unknown> =>
      new Promise((resolve) => setImmediate(() => resolve(store.get('sid'))))
    expect(await Promise.all([later(), later(), later()])).toMatchObject(Array(3).fill({ n: 1 }))
    const sent = scriptsIn(await watched.sent())
    watched.close()
    expect(sent).toHaveLength(1)
  })

  test('moves the end once it may be moved by touchEvery', async () => {
    const owned = sessionStore({ touchEvery: 0.001 })
    const ann = (await site(owned.store)).browser()
    await ann.visit(put({ n: 1 }))
    const name = `${owned.prefix}:key:${sha256(sidOf(ann))}`
    const before = await redis.pexpiretime(name)
    const watched = await monitor(redisUrl())
    await until(async () => {
      await ann.visit(fieldsOf)
      return (await redis.pexpiretime(name)) > before
    })
    const sent = scriptsIn(await watched.sent())
    expect(new Set(sent.map((command) => command[4]))).toEqual(new Set(['TOUCH']))
    watched.close()
  })

  test('with cache is no command at all', async () => {
    const owned = sessionStore({ cache: true })
    const ann = (await site(owned.store)).browser()
    await ann.visit(put({ n: 1 }))
    const calls = async (): Promise<string[]> =>
      (await redis.info('commandstats')).match(/cmdstat_eval(sha)?:calls=\d+/g)!
    await until(async () => {
      const before = await calls()
      await ann.visit(fieldsOf)
      return String(await calls()) === String(before)
    })
    expect((await ann.visit(fieldsOf)).body).toEqual({ n: 1 })
    await ann.visit(put({ n: 2 }))
    expect((await ann.visit(fieldsOf)).body).toEqual({ n: 2 })
  })
})

describe('the owner', () => {
  const ownersOf = async ({ tokens }: SessionStore): Promise<string[]> => {
    const owners: string[] = []
    for await (const token of tokens.all())
      owners.push(token.owner_id === token.id ? 'nobody' : token.owner_id)
    return owners
  }
  const signIn =
    (id: unknown) =>
    async (request: Visited): Promise<void> => {
      await done((then) => request.session.regenerate(then))
      request.session.user = { id }
    }

  test.each([
    ['ann', 'ann'],
    [7, '7'],
    [0, '0'],
    [undefined, 'nobody'],
    [null, 'nobody'],
    ['', 'nobody']
  ])('%p is %s', async (id, owner) => {
    const { store } = sessionStore({ owner: userId })
    const ann = (await site(store)).browser()
    await ann.visit(signIn(id))
    expect(await ownersOf(store)).toEqual([owner])
    const listed = owner === 'nobody' ? 0 : 1
    expect(await store.tokens.count(owner)).toBe(listed)
    expect(await store.tokens.list(owner)).toHaveLength(listed)
    expect(await store.tokens.delOwner(owner)).toBe(listed)
  })

  test('is nobody without a function that names one', async () => {
    const { store } = sessionStore()
    await (await site(store)).browser().visit(signIn('ann'))
    expect(await ownersOf(store)).toEqual(['nobody'])
  })

  test.each([[{}], [['ann']], [true], [NaN]])(
    '%p is an error, and nothing is written',
    async (id) => {
      const owner = (session: object): never => ('user' in session ? id : undefined) as never
      const { store, prefix } = sessionStore({ owner })
      const ann = (await site(store)).browser()
      const said = await ann.visit((request) => {
        request.session.user = 1
        return save(request.session).catch((error: Error) => `${error.name}: ${error.message}`)
      })
      const sentence = 'the result of owner must be a string, a number, null or undefined'
      expect(said.body).toBe(`TypeError: ${sentence}`)
      expect(await keyspace(redis, prefix)).toEqual({})
    }
  )

  test('one that throws at a session stored earlier is told, and the request answered', async () => {
    const { store, prefix } = sessionStore()
    const { cookie } = await (await site(store)).browser().visit(put({ a: 1 }))
    const owner = (session: object): string => (session as { user: { id: string } }).user.id
    const later = await site(sessionStore({ prefix, owner }).store)
    expect((await later.browser(cookie).visit(fieldsOf)).body).toEqual({ a: 1 })
    expect(later.errors).toEqual([expect.any(TypeError)])
  })

  test('a logout without destroy makes the session nobody’s', async () => {
    const { store } = sessionStore({ owner: userId })
    const ann = (await site(store)).browser()
    await ann.visit(signIn('ann'))
    const id = await idIn(store)
    await ann.visit(({ session }) => {
      delete session.user
      session.theme = 'dark'
    })
    expect(await store.tokens.get(id)).toMatchObject({ owner_id: id })
    expect(await store.tokens.count('ann')).toBe(0)
    expect((await ann.visit(fieldsOf)).body).toEqual({ theme: 'dark' })
    expect(await store.tokens.delOwner('ann')).toBe(0)
  })

  test('logged out everywhere, a request under way does not come back', async () => {
    const { store, gone } = sessionStore({ owner: userId })
    const { browser } = await site(store)
    const [phone, laptop, other] = [browser(), browser(), browser()]
    await phone.visit(signIn('ann'))
    await laptop.visit(signIn('ann'))
    await other.visit(signIn('bo'))
    await phone.visit(async (request) => {
      expect(await store.tokens.delOwner('ann')).toBe(2)
      request.session.n = 1
    })
    expect(gone).toHaveLength(1)
    expect((await laptop.visit(fieldsOf)).body).toEqual({})
    expect((await other.visit(fieldsOf)).body).toEqual({ user: { id: 'bo' } })
  })

  test('logged out everywhere, a request under way gets no new sid for it', async () => {
    const { store, gone, prefix } = sessionStore({ owner: userId })
    const ann = (await site(store)).browser()
    await ann.visit(signIn('ann'))
    const id = await idIn(store)
    const old = sidOf(ann)
    await ann.visit(async (request) => {
      const { user } = request.session
      await store.tokens.delOwner('ann')
      await done((then) => request.session.regenerate(then))
      Object.assign(request.session, { user, n: 1 })
    })
    expect(sidOf(ann)).not.toBe(old)
    expect((await ann.visit(fieldsOf)).body).toEqual({})
    expect(gone).toEqual([id])
    expect(await keyspace(redis, prefix)).toEqual({})
  })

  test('logged out everywhere, another may log in in that place', async () => {
    const { store, gone } = sessionStore({ owner: userId })
    const ann = (await site(store)).browser()
    await ann.visit(signIn('ann'))
    await ann.visit(async (request) => {
      await store.tokens.delOwner('ann')
      await signIn('bob')(request)
    })
    expect((await ann.visit(fieldsOf)).body).toEqual({ user: { id: 'bob' } })
    expect(await ownersOf(store)).toEqual(['bob'])
    expect(gone).toEqual([])
  })

  describe('at a login without a new sid', () => {
    const promote = async (onPromote: 'allow' | 'warn' | 'refuse' | undefined) => {
      const { store } = sessionStore({ owner: userId, onPromote })
      const ann = (await site(store)).browser()
      await ann.visit(put({ cart: 1 }))
      const said = await ann.visit(async ({ session }) => {
        session.user = { id: 'ann' }
        return save(session).catch((error: { code: string; name: string }) => [
          error.name,
          error.code
        ])
      })
      return { store, ann, said: said.body }
    }
    const warned = jest.spyOn(process, 'emitWarning').mockImplementation(() => {})
    afterAll(() => warned.mockRestore())

    test('is allowed', async () => {
      const { store, said } = await promote('allow')
      expect(said).toBeNull()
      expect(await store.tokens.count('ann')).toBe(1)
      expect(warned).not.toHaveBeenCalled()
    })

    test('is warned of, once in a process, and done', async () => {
      for (const onPromote of ['warn', undefined, 'warn'] as const) {
        const { store, said } = await promote(onPromote)
        expect(said).toBeNull()
        expect(await store.tokens.count('ann')).toBe(1)
      }
      const sentence = expect.stringMatching(/under the id that its client already had.*fixation/)
      expect(warned.mock.calls).toEqual([[sentence, 'TokenstoreWarning']])
    })

    test('is refused, and nothing is written', async () => {
      const { store, ann, said } = await promote('refuse')
      expect(said).toEqual(['TokenstoreError', 'TSPROMOTED'])
      expect(await ownersOf(store)).toEqual(['nobody'])
      expect((await ann.visit(fieldsOf)).body).toEqual({ cart: 1 })
    })

    test('is refused to a copy under the sid of the client as well', async () => {
      const { store } = sessionStore({ owner: userId, onPromote: 'refuse' })
      const ann = (await site(store)).browser()
      await ann.visit(put({ cart: 1 }))
      const said = await ann.visit(({ session, sessionID }) => {
        const copy = { ...session, user: { id: 'ann' } }
        return store.set(sessionID, copy as never).catch(({ code }: { code: string }) => code)
      })
      expect(said.body).toBe('TSPROMOTED')
      expect(await ownersOf(store)).toEqual(['nobody'])
    })

    test('is no matter when the request made the session, or keeps its owner', async () => {
      const { store } = sessionStore({ owner: userId, onPromote: 'refuse' })
      const { browser, errors } = await site(store)
      const [ann, bo] = [browser(), browser()]
      await ann.visit(async ({ session }) => {
        session.cart = 1
        await save(session)
        session.user = { id: 'ann' }
      })
      await bo.visit(signIn('bo'))
      await bo.visit(put({ user: { id: 'bo', name: 'Bo' } }))
      expect(errors).toEqual([])
      expect((await ownersOf(store)).sort()).toEqual(['ann', 'bo'])
    })
  })

  test('has at most limit sessions, when he gets one', async () => {
    const { store, prefix } = sessionStore({ owner: userId, limit: 2 })
    const { browser } = await site(store)
    const all = [browser(), browser(), browser()]
    const said = []
    for (const one of all)
      said.push(
        await one.visit(async (request) => {
          await signIn('ann')(request)
          return save(request.session).catch((error: Error) => {
            request.session = undefined as never
            return error.name
          })
        })
      )
    expect(said.map(({ body }) => body)).toEqual([null, null, 'LimitError'])
    expect(await store.tokens.count('ann')).toBe(2)
    // A change of what is his already counts nothing anew.
    expect((await all[0]!.visit(put({ n: 1 }))).status).toBe(200)
    await store.destroy(sidOf(all[0]!))
    expect((await browser().visit(signIn('ann'))).status).toBe(200)
    expect(await store.tokens.count('ann')).toBe(2)
    expect(await audit(redis, prefix)).toEqual([])
  })

  test('with onLimit evict the newest login stays, also of a session that had no owner', async () => {
    const options = { owner: userId, limit: 1, onLimit: 'evict', onPromote: 'allow' } as const
    const { store } = sessionStore(options)
    const { browser } = await site(store)
    const [phone, laptop, tablet] = [browser(), browser(), browser()]
    await phone.visit(signIn('ann'))
    await laptop.visit(signIn('ann'))
    expect((await phone.visit(fieldsOf)).body).toEqual({})
    await tablet.visit(put({ cart: 1 }))
    await tablet.visit(put({ user: { id: 'ann' } }))
    expect((await laptop.visit(fieldsOf)).body).toEqual({})
    expect((await tablet.visit(fieldsOf)).body).toEqual({ cart: 1, user: { id: 'ann' } })
    expect(await store.tokens.count('ann')).toBe(1)
  })
})

describe('login', () => {
  test('gives the session a new sid and an owner, and keeps data and cookie', async () => {
    const { store, prefix } = sessionStore({ onPromote: 'refuse' })
    const ann = (await site(store, { cookie: { maxAge: 60_000 } })).browser()
    await ann.visit(({ session }) => {
      session.cart = [1]
      session.cookie.maxAge = 90_000
    })
    const old = sidOf(ann)
    await ann.visit(async (request) => {
      await store.login(request, 'ann')
      request.session.user = 'ann'
    })
    expect(sidOf(ann)).not.toBe(old)
    expect((await ann.visit(fieldsOf)).body).toEqual({ cart: [1], user: 'ann' })
    expect((await ann.visit(cookieOf)).body).toMatchObject({ originalMaxAge: 90_000 })
    expect(await store.get(old)).toBeNull()
    expect(await store.tokens.list('ann')).toMatchObject([{ attrs: { cart: [1], user: 'ann' } }])
    expect(await store.length()).toBe(1)
    expect(await audit(redis, prefix)).toEqual([])
  })

  test('of a client without a session makes one', async () => {
    const { store } = sessionStore()
    const ann = (await site(store)).browser()
    await ann.visit((request) => store.login(request, 7))
    expect(await store.tokens.list('7')).toHaveLength(1)
    expect(await store.get(sidOf(ann))).not.toBeNull()
  })

  test('leaves a late save of the old session unwritten', async () => {
    const { store, gone } = sessionStore()
    const { browser } = await site(store)
    const ann = browser()
    await ann.visit(put({ n: 1 }))
    const late = browser(ann.cookie)
    await late.visit(async ({ session }) => {
      await ann.visit((request) => store.login(request, 'ann'))
      session.n = 2
    })
    expect(gone).toHaveLength(1)
    expect((await late.visit(fieldsOf)).body).toEqual({})
    expect((await ann.visit(fieldsOf)).body).toEqual({ n: 1 })
    await ann.visit(async (request) => {
      const old = request.session
      await store.login(request, 'ann')
      old.n = 3
      await save(old)
    })
    expect(gone).toHaveLength(2)
    expect((await ann.visit(fieldsOf)).body).toEqual({ n: 1 })
    expect(await store.tokens.count('ann')).toBe(1)
  })

  test.each([
    ['another', undefined],
    ['the same', 'ann']
  ])('over the limit leaves a request of %s owner its session', async (_, owner) => {
    const { store } = sessionStore()
    const { browser } = await site(store)
    for (const other of [browser(), browser()])
      await other.visit((request) => store.login(request, 'ann'))
    const ann = browser()
    await ann.visit(put({ cart: 1 }))
    if (owner) await ann.visit((request) => store.login(request, owner))
    const before = sidOf(ann)
    const said = await ann.visit(async (request) => {
      const { session } = request
      const error = await store.login(request, 'ann', { limit: 2 }).catch((e: Error) => e.name)
      request.session.more = 1
      return [error, request.session === session, request.sessionID === before]
    })
    expect(said).toMatchObject({ status: 200, body: ['LimitError', true, true], cookie: undefined })
    expect((await ann.visit(fieldsOf)).body).toEqual({ cart: 1, more: 1 })
    expect(await store.tokens.count('ann')).toBe(owner ? 3 : 2)
  })

  test('again is within the limit, the old session not counted', async () => {
    const { store } = sessionStore({ limit: 1 })
    const ann = (await site(store)).browser()
    for (let n = 0; n < 3; n++) {
      const said = await ann.visit((request) => store.login(request, 'ann'))
      expect(said.status).toBe(200)
      expect(await store.tokens.count('ann')).toBe(1)
    }
  })

  test('takes the limit of the store, or its own, and evicts', async () => {
    const { store } = sessionStore({ limit: 3, onLimit: 'evict' })
    const { browser } = await site(store)
    for (let n = 0; n < 5; n++) await browser().visit((request) => store.login(request, 'ann'))
    expect(await store.tokens.count('ann')).toBe(3)
    await browser().visit((request) => store.login(request, 'ann', { limit: 1 }))
    expect(await store.tokens.count('ann')).toBe(1)
  })

  test('takes a callback, with options or without', async () => {
    const { store } = sessionStore()
    const ann = (await site(store)).browser()
    await ann.visit((request) => done((then) => store.login(request, 'ann', then)))
    await ann.visit((request) => done((then) => store.login(request, 'ann', { limit: 1 }, then)))
    expect(await store.tokens.count('ann')).toBe(1)
  })

  test('after a destroy makes a new session', async () => {
    const { store } = sessionStore()
    const ann = (await site(store)).browser()
    await ann.visit(put({ n: 1 }))
    const answer = await ann.visit(async (request) => {
      await done((then) => request.session.destroy(then))
      const id = store.idOf(request)
      await store.login(request, 'ann')
      return id
    })
    expect(answer).toMatchObject({ status: 200, body: null })
    expect((await ann.visit(fieldsOf)).body).toEqual({})
    expect(await store.tokens.getKey(sidOf(ann))).toMatchObject({ owner_id: 'ann' })
    expect(await store.length()).toBe(1)
  })

  test.each([[undefined], [null], [''], [{}]])('of %p is refused', async (owner) => {
    const { store } = sessionStore()
    const ann = (await site(store)).browser()
    await ann.visit(put({ n: 1 }))
    const said = await ann.visit((request) =>
      store.login(request, owner as never).catch((error: Error) => error.name)
    )
    expect(said).toMatchObject({ body: 'TypeError', cookie: undefined })
    expect((await ann.visit(fieldsOf)).body).toEqual({ n: 1 })
  })
})

describe('secrets', () => {
  test.each([1, 36, 300])(
    'Redis sees no sid of %d characters, only its SHA-256',
    async (length) => {
      const owned = sessionStore({ owner: userId })
      // A short one is found by chance wherever it is looked for.
      const sid = length === 1 ? '~' : 'é-sid!'.padEnd(length, 'x/+~')
      const ann = (await site(owned.store, { genid: () => sid })).browser()
      const watched = await monitor(redisUrl())
      await ann.visit(put({ n: 1 }))
      await ann.visit(put({ n: 2 }))
      await ann.visit(({ session }) => {
        session.cookie.maxAge = 60_000
      })
      expect(await owned.store.get(sid)).toMatchObject({ n: 2 })
      const inRedis = JSON.stringify(await keyspace(redis, owned.prefix))
      await ann.visit((request) => done((then) => request.session.destroy(then)))
      const seen = (await watched.everything()).filter((text) => !text.startsWith('--[['))
      watched.close()
      expect(seen.join('\n')).not.toContain(sid)
      expect(inRedis).not.toContain(sid)
      expect(seen).toContain(sha256(sid))
      expect(inRedis).toContain(sha256(sid))
    }
  )

  test('another program finds a session by its sid', async () => {
    const { store: sessions, prefix } = sessionStore({ owner: userId })
    const ann = (await site(sessions)).browser()
    await ann.visit(put({ user: { id: 'ann' } }))
    const tokens = store({ prefix, digest: true })
    const found = await tokens.getKey(sidOf(ann))
    expect(found).toMatchObject({ owner_id: 'ann', attrs: { user: { id: 'ann' } } })
    expect(await tokens.delKey(sidOf(ann))).toBe(true)
    expect((await ann.visit(fieldsOf)).body).toEqual({})
  })

  test('what gone and all tell of a session is its public id', async () => {
    const { store, gone } = sessionStore()
    const ann = (await site(store)).browser()
    await ann.visit(put({ n: 1 }))
    const [listed] = await store.all()
    const id = await ann.visit((request) => store.idOf(request))
    expect(listed).toMatchObject({ id: id.body, n: 1 })
    expect(await store.tokens.get(id.body as string)).toMatchObject({ attrs: { n: 1 } })
    await ann.visit(async ({ session, sessionID }) => {
      await store.destroy(sessionID)
      session.n = 2
    })
    expect(gone).toEqual([id.body])
    expect(gone).not.toContain(sidOf(ann))
  })
})

describe('without Redis', () => {
  closeAfterEach()
  const times = { timeout: 300 }

  test('a client with a session gets a 503 in time, and no route runs', async () => {
    const { port, stop } = await server()
    const { store } = sessionStore({ ...times, redis: { port } })
    const { browser, errors } = await site(store)
    const ann = browser()
    await ann.visit(put({ n: 1 }))
    await stop()
    const route = jest.fn()
    const asked = Date.now()
    expect(await ann.visit(route)).toMatchObject({ status: 503, cookie: undefined })
    expect(Date.now() - asked).toBeLessThan(2000)
    expect(route).not.toHaveBeenCalled()
    expect(errors).toMatchObject([{ code: 'TSUNAVAILABLE', status: 503, statusCode: 503 }])
  })

  test('a destroy or regenerate without a callback ends no process', async () => {
    const { port, stop } = await server()
    const { store } = sessionStore({ ...times, redis: { port } })
    const ann = (await site(store)).browser()
    await ann.visit(put({ n: 1 }))
    const rejections: unknown[] = []
    const note = (error: unknown): number => rejections.push(error)
    process.on('unhandledRejection', note)
    await ann.visit(async (request) => {
      const { session, sessionID } = request
      await stop()
      session.destroy(undefined as never)
      await expect(store.destroy(sessionID)).rejects.toMatchObject({ status: 503 })
      request.session = session
      session.regenerate(undefined as never)
      await expect(store.destroy(sessionID)).rejects.toMatchObject({ status: 503 })
      request.session = undefined as never
    })
    await new Promise(setImmediate)
    process.off('unhandledRejection', note)
    expect(rejections).toEqual([])
  })

  test('that hangs, likewise; a save and a destroy reject, too', async () => {
    const { port, pid } = await server()
    const { store } = sessionStore({ ...times, redis: { port } })
    const { browser } = await site(store)
    const ann = browser()
    await ann.visit(put({ n: 1 }))
    const said = await ann.visit(async (request) => {
      process.kill(pid, 'SIGSTOP')
      const status = (error: { status: number }): number => error.status
      request.session.n = 2
      const saved = await save(request.session).catch(status)
      const others = [
        store.get(request.sessionID),
        store.login(request, 'ann'),
        store.regenerate(request),
        store.destroy(request.sessionID),
        store.all(),
        store.length(),
        store.clear()
      ]
      const failed = await Promise.all(others.map((promise) => promise.then(String, status)))
      request.session = undefined as never
      return [saved, ...failed]
    })
    expect(said.body).toEqual(Array(8).fill(503))
    expect((await ann.visit(() => {})).status).toBe(503)
    process.kill(pid, 'SIGCONT')
    await until(async () => (await ann.visit(fieldsOf)).status === 200)
  })
})

describe('the methods', () => {
  const cookie = { originalMaxAge: null, path: '/', httpOnly: true }

  test('take callbacks', async () => {
    const { store } = sessionStore()
    await done((then) => store.set('sid', { cookie, n: 1 } as never, then))
    const got = await new Promise((resolve) => void store.get('sid', (_, found) => resolve(found)))
    expect(got).toMatchObject({ n: 1 })
    await done((then) => store.touch('sid', { cookie }, then))
    const loaded = await new Promise((resolve) => void store.load('sid', (_, one) => resolve(one)))
    expect(loaded).toMatchObject({ n: 1, id: 'sid' })
    const all = await new Promise((resolve) => void store.all((_, found) => resolve(found)))
    expect(all).toMatchObject([{ n: 1 }])
    expect(await new Promise((resolve) => void store.length((_, n) => resolve(n)))).toBe(1)
    await done((then) => store.destroy('sid', then))
    await done((then) => store.clear(then))
    expect(await new Promise((resolve) => void store.length((_, n) => resolve(n)))).toBe(0)
  })

  test('return promises', async () => {
    const { store } = sessionStore()
    expect(await store.set('sid', { cookie, n: 1 } as never)).toBeUndefined()
    expect(await store.get('sid')).toMatchObject({ n: 1 })
    expect(await store.touch('sid', { cookie })).toBeUndefined()
    const loaded = await store.load('sid')
    expect(loaded).toMatchObject({ n: 1, id: 'sid' })
    await store.set('sid', Object.assign(loaded!, { n: 2 }))
    expect(await store.all()).toMatchObject([{ n: 2 }])
    expect(await store.length()).toBe(1)
    expect(await store.destroy('sid')).toBeUndefined()
    expect(await store.destroy('sid')).toBeUndefined()
    expect(await store.get('sid')).toBeNull()
    expect(await store.load('sid')).toBeUndefined()
    expect(await store.clear()).toBeUndefined()
  })

  test('hand errors to callbacks', async () => {
    const { store } = sessionStore()
    const circle: Record<string, unknown> = { cookie }
    circle.circle = circle
    const error = await done((then) => store.set('sid', circle as never, then)).catch(String)
    expect(error).toMatch(/^TypeError/)
  })

  test('a touch writes the lifetime, and nothing else', async () => {
    const owned = sessionStore()
    const { store } = owned
    await store.set('sid', { cookie, n: 1 } as never)
    const session = (await store.get('sid'))!
    Object.assign(session, { n: 2 })
    await store.touch('sid', session)
    expect(await store.get('sid')).toMatchObject({ n: 1 })
    await store.touch('sid', { cookie: { originalMaxAge: 60_000 } })
    expect(await idleOf(owned, 'sid')).toBe(60_000)
    await store.touch('other', { cookie: { originalMaxAge: 60_000 } })
    expect(await store.length()).toBe(1)
  })

  // What a store of this kind is used for, from the first session to the last.
  test('serve a whole life of a store', async () => {
    const { store, prefix } = sessionStore()
    const endsIn = (ms: number): object => ({
      originalMaxAge: null,
      expires: new Date(Date.now() + ms)
    })
    const left = (sid: string): Promise<number> => redis.ttl(`${prefix}:key:${sha256(sid)}`)
    await store.clear()
    await store.set('one', { cookie, fruit: 'apple' } as never)
    expect(await store.get('one')).toMatchObject({ cookie, fruit: 'apple' })
    expect(await left('one')).toBeGreaterThan(86_390)
    await store.set('two', { cookie: endsIn(50_000) } as never)
    expect(await left('two')).toBeLessThanOrEqual(50)
    await store.touch('two', { cookie: endsIn(100_000) } as never)
    expect(await left('two')).toBeGreaterThan(50)
    expect(await store.length()).toBe(2)
    const all = await store.all()
    expect(all.map((session) => 'fruit' in session).sort()).toEqual([false, true])
    await store.destroy('two')
    expect(await store.length()).toBe(1)
    const many = Array.from({ length: 200 }, (_, n) => `many ${n}`)
    await Promise.all(many.map((sid) => store.set(sid, { cookie: endsIn(60_000) } as never)))
    expect(await store.length()).toBe(201)
    // One whose end is set into the past is ended.
    await store.set('many 7', { cookie: endsIn(-60_000) } as never)
    expect(await store.length()).toBe(200)
    await store.clear()
    expect(await store.length()).toBe(0)
    expect(await keyspace(redis, prefix)).toEqual({})
  })
})

describe('refused are', () => {
  const plain = store()
  const other = { getKey: () => null }
  test.each<[string, object, string]>([
    ['an unknown option', { limits: 5 }, 'options must be a plain object with nothing but'],
    ['no object', [], 'options must be a plain object'],
    ['tokens without digest', { tokens: plain }, 'tokens must be a Tokenstore with digest: true'],
    ['tokens of elsewhere', { tokens: other }, 'tokens must be a Tokenstore with digest: true'],
    ['null for tokens', { tokens: null }, 'tokens must be a Tokenstore with digest: true'],
    [
      'options beside tokens',
      { tokens: store({ digest: true }), prefix: 'x' },
      'options must be without prefix when tokens is given'
    ],
    [
      'a partitioned store',
      { partitioned: true },
      'prefix must be one with a hash tag, such as {token}: a sid has none to find its slot by'
    ],
    [
      'a partitioned store in tokens',
      { tokens: store({ digest: true, partitioned: true }) },
      'prefix must be one with a hash tag, such as {token}: a sid has none to find its slot by'
    ],
    ['digest', { digest: true }, 'options must be without digest: a session always has one'],
    ['no digest', { digest: false }, 'options must be without digest: a session always has one'],
    ['an owner', { owner: 'ann' }, 'owner must be a function from a session to the id'],
    ['onPromote', { onPromote: 'deny' }, "onPromote must be 'allow', 'warn' or 'refuse'"],
    ['merge', { merge: 1 }, 'merge must be true or false'],
    [
      'onGone',
      { onGone: () => {} },
      'options must be a plain object with nothing but tokens, owner,'
    ],
    ['limit', { limit: 0 }, 'limit must be a whole number from 1'],
    ['onLimit', { limit: 1, onLimit: 'drop' }, "onLimit must be 'reject' or 'evict'"],
    ['onLimit alone', { onLimit: 'evict' }, 'limit must be given together with onLimit'],
    ['idle', { idle: 0 }, 'idle must be a number of seconds'],
    ['idle beside tokens', { tokens: store({ digest: true }), idle: 0 }, 'idle must be a number'],
    ['ttl', { ttl: '1' }, 'ttl must be a number of seconds']
  ])('%s', (_, options, sentence) => {
    expect(() => new SessionStore(options as never)).toThrow(TypeError)
    expect(() => new SessionStore(options as never)).toThrow(sentence)
  })

  test('and what is undefined counts as absent', async () => {
    const tokens = store({ digest: true }) as never
    for (const options of [{}, { tokens, prefix: undefined, digest: undefined }]) {
      const made = new SessionStore(options)
      closeLater(() => made.tokens.quit())
      expect(made).toBeInstanceOf(SessionStore)
    }
  })
})
