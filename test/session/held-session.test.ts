import type { SessionData } from 'express-session'
import { TokenstoreError } from '../../src/errors'
import type { SessionStore } from '../../src/session/express-session'
import { closeAfterEach, server } from '../driver/opened'
import { client, closeAfterAll, freshPrefix, keyspace, redisUrl, until } from '../support'
import { sessionStore } from './express-site'

closeAfterAll()
closeAfterEach()

interface Session extends SessionData {
  account?: { id: string; seen?: number }
  n?: number
  m?: number
}

const redis = client()
const HOUR_MS = 3_600_000

const owner = (session: Session): string | undefined => session.account?.id

function session(fields: Partial<Session> = {}, originalMaxAge: number | null = null): Session {
  return { cookie: { originalMaxAge, path: '/' }, ...fields }
}

/** What two requests at once load of a session that is stored first. */
async function twoOf(store: SessionStore, first: Session): Promise<[Session, Session]> {
  await store.set('sid', first)
  return [(await store.get('sid'))!, (await store.get('sid'))!]
}

async function stored(store: SessionStore): Promise<{ owner: string; account: unknown }> {
  const { id, owner_id, attrs } = (await store.tokens.getKey('sid'))!
  return { owner: owner_id === id ? 'nobody' : owner_id, account: (attrs as Session).account }
}

describe.each([true, false])(
  'with merge: %p, owner and lifetime go with what is written',
  (merge) => {
    const open = (): SessionStore => sessionStore({ owner, onPromote: 'allow', merge }).store

    test('by a request that has the account still, after a logout without destroy', async () => {
      const store = open()
      const [logout, other] = await twoOf(store, session({ account: { id: 'ann' } }))
      delete logout.account
      await store.set('sid', logout)
      other.account = { id: 'ann', seen: 1 }
      other.n = 1
      await store.set('sid', other)
      expect(await stored(store)).toEqual(
        merge
          ? { owner: 'nobody', account: undefined }
          : { owner: 'ann', account: { id: 'ann', seen: 1 } }
      )
      expect(await store.get('sid')).toMatchObject({ n: 1 })
      expect(await store.tokens.delOwner('ann')).toBe(merge ? 0 : 1)
    })

    test('by a request that has the account that another has changed', async () => {
      const store = open()
      const [change, other] = await twoOf(store, session({ account: { id: 'ann' } }))
      change.account = { id: 'bob' }
      await store.set('sid', change)
      other.account = { id: 'ann', seen: 1 }
      await store.set('sid', other)
      const last = merge ? 'bob' : 'ann'
      expect(await stored(store)).toMatchObject({ owner: last, account: { id: last } })
      expect(await store.tokens.count('bob')).toBe(merge ? 1 : 0)
    })

    test('by a request that changes the account itself', async () => {
      const store = open()
      const [logout, other] = await twoOf(store, session({ account: { id: 'ann' } }))
      delete logout.account
      await store.set('sid', logout)
      other.account = { id: 'bob' }
      await store.set('sid', other)
      expect(await stored(store)).toEqual({ owner: 'bob', account: { id: 'bob' } })
    })

    test('by a request that wrote something else', async () => {
      const store = open()
      const [logout, other] = await twoOf(store, session({ account: { id: 'ann' } }))
      delete logout.account
      await store.set('sid', logout)
      other.n = 1
      await store.set('sid', other)
      expect(await stored(store)).toEqual(
        merge ? { owner: 'nobody', account: undefined } : { owner: 'ann', account: { id: 'ann' } }
      )
      expect(await store.tokens.count('ann')).toBe(merge ? 0 : 1)
    })

    test('beside another age of the cookie', async () => {
      const store = open()
      const [longer, other] = await twoOf(store, session({}, HOUR_MS))
      longer.cookie.originalMaxAge = 720 * HOUR_MS
      await store.set('sid', longer)
      other.n = 1
      await store.set('sid', other)
      const { attrs, expires_at, used_at } = (await store.tokens.getKey('sid'))!
      expect(attrs).toMatchObject({ n: 1 })
      expect(attrs.cookie.originalMaxAge).toBe((merge ? 720 : 1) * HOUR_MS)
      expect(expires_at! - used_at!).toBe(attrs.cookie.originalMaxAge)
    })
  }
)

test('a first save of which no answer came is no login of a client later', async () => {
  const { port, pid } = await server()
  const prefix = freshPrefix()
  const { store } = sessionStore({
    redis: { port },
    prefix,
    timeout: 300,
    owner,
    onPromote: 'refuse'
  })
  // So that Redis has the script.
  await store.set('another', session())
  const ann = session({ n: 1 })
  process.kill(pid, 'SIGSTOP')
  await expect(store.set('sid', ann)).rejects.toMatchObject({ status: 503 })
  process.kill(pid, 'SIGCONT')
  await until(async () => (await store.length()) === 2)
  ann.account = { id: 'ann' }
  await store.set('sid', ann)
  expect(await stored(store)).toEqual({ owner: 'ann', account: { id: 'ann' } })
})

test('a touch with nothing to write calls back before it returns', async () => {
  const { store } = sessionStore()
  await store.set('sid', session({}, HOUR_MS))
  const loaded = (await store.get('sid'))!
  const called = (touched: SessionData): boolean => {
    let done = false
    void store.touch('sid', touched, () => (done = true))
    return done
  }
  expect(called(loaded)).toBe(true)
  loaded.cookie.originalMaxAge = 2 * HOUR_MS
  expect(called(loaded)).toBe(false)
  // As it was, but not as it will be.
  loaded.cookie.originalMaxAge = HOUR_MS
  expect(called(loaded)).toBe(false)
  await until(async () => called(loaded))
  const { attrs } = (await store.tokens.getKey('sid'))!
  expect(attrs.cookie.originalMaxAge).toBe(HOUR_MS)
  expect(called(session())).toBe(false)
})

test('a touch makes a session its owner’s, once the store is told of owners', async () => {
  const { store, prefix } = sessionStore()
  await store.set('sid', session({ account: { id: 'ann' } }))
  const told = sessionStore({ prefix, owner, onPromote: 'refuse' }).store
  await told.touch('sid', (await told.get('sid'))!)
  expect(await stored(told)).toEqual({ owner: 'ann', account: { id: 'ann' } })
})

test('a touch of a session whose first save failed writes nothing', async () => {
  const { store, prefix } = sessionStore({ owner })
  const failed = session({ account: { id: {} as string } })
  await expect(store.set('sid', failed)).rejects.toThrow(TypeError)
  await store.touch('sid', failed)
  expect(await keyspace(redis, prefix)).toEqual({})
})

test('a login that fails half-way leaves no session that nobody has', async () => {
  const { store, prefix } = sessionStore({ redis: redisUrl(), replicas: 1, timeout: 600 })
  store.generate = (request) => {
    request.sessionID = 'new'
    request.session = session() as never
  }
  const old = session({ n: 1 })
  const request = { sessionID: 'old', session: old as never }
  await expect(store.login(request, 'ann')).rejects.toThrow(TokenstoreError)
  expect(request).toEqual({ sessionID: 'old', session: old })
  await until(async () => Object.keys(await keyspace(redis, prefix)).length === 0)
})

test('a field named req is one like any other', async () => {
  const { store } = sessionStore()
  await store.set('sid', Object.assign(session(), { req: undefined }))
  const { id, attrs } = (await store.tokens.getKey('sid'))!
  await store.tokens.set(id, Object.assign(attrs, { req: 'text' }))
  const loaded = (await store.get('sid'))!
  expect(loaded).toMatchObject({ req: 'text' })
  await store.set('sid', { ...loaded, n: 1 } as Session)
  expect(await store.get('sid')).toMatchObject({ req: 'text', n: 1 })
})
