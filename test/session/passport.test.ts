import type { RequestHandler } from 'express'
import passport from 'passport'
import { Strategy } from 'passport-local'
import { SessionStore } from '../../src/session/express-session'
import { client, closeAfterAll, keyspace } from '../support'
import {
  done,
  gate,
  sessionStore,
  sidOf,
  site,
  VERSIONS,
  type Browser,
  type OwnStore,
  type Visited
} from './express-site'

closeAfterAll()

const owner = (session: object): string | undefined =>
  (session as { passport?: { user?: string } }).passport?.user

const authenticator = new passport.Passport()
authenticator.use(
  new Strategy((name, password, verified) =>
    verified(null, password === `${name}'s` ? { id: name } : false)
  )
)
authenticator.serializeUser((user, serialized) => serialized(null, (user as { id: string }).id))
authenticator.deserializeUser((id: string, found) => found(null, { id }))

describe.each(VERSIONS)('in %s, Passport', (version) => {
  let owned: OwnStore
  let store: SessionStore
  let open: () => Browser & { logIn(name: string, password?: string): Promise<number> }
  beforeAll(async () => {
    owned = sessionStore({ owner, onPromote: 'refuse', limit: 2, onLimit: 'evict' })
    store = owned.store
    const { browser } = await site(store, {}, version, (app) => {
      app.use(authenticator.session())
      const logIn = authenticator.authenticate('local', {
        keepSessionInfo: true
      }) as RequestHandler
      app.get('/login', logIn, (_request, response) => void response.json('in'))
    })
    open = () => {
      const opened = browser()
      const logIn = async (name: string, password = `${name}'s`): Promise<number> => {
        const query = new URLSearchParams({ username: name, password })
        return (await opened.ask(`/login?${query.toString()}`)).status
      }
      return Object.assign(opened, { logIn })
    }
  })

  const who = ({ user }: Visited): unknown => (user as { id: string } | undefined)?.id
  const logOut = (request: Visited): Promise<void> => done((then) => request.logout(then))

  test('logs in: a new sid, the owner named, what the session had kept', async () => {
    const ann = open()
    await ann.visit(({ session }) => {
      session.cart = 1
    })
    const old = sidOf(ann)
    expect(await ann.logIn('ann', 'wrong')).toBe(401)
    expect(await ann.logIn('ann')).toBe(200)
    expect(sidOf(ann)).not.toBe(old)
    expect(await store.get(old)).toBeNull()
    expect((await ann.visit(who)).body).toBe('ann')
    expect(await store.tokens.list('ann')).toMatchObject([
      { owner_id: 'ann', attrs: { cart: 1, passport: { user: 'ann' } } }
    ])
    expect(await store.tokens.count('ann')).toBe(1)
  })

  test('logs out: the sid is dead, and a request under way does not bring it back', async () => {
    const bo = open()
    await bo.logIn('bo')
    const { cookie } = bo
    const hold = gate()
    const slow = open()
    slow.cookie = cookie
    const slowly = slow.visit(async ({ session }) => {
      await hold.pass()
      session.late = true
    })
    await hold.reached()
    await bo.visit(logOut)
    hold.open()
    await slowly
    expect((await bo.visit(who)).body).toBeNull()
    const again = open()
    again.cookie = cookie
    expect((await again.visit(who)).body).toBeNull()
    expect(await store.tokens.count('bo')).toBe(0)
    expect(owned.gone).toHaveLength(1)
  })

  test('logs out everywhere, and the login beyond the limit evicts', async () => {
    const all = [open(), open(), open()]
    for (const browser of all) expect(await browser.logIn('cy')).toBe(200)
    const seen = await Promise.all(all.map((browser) => browser.visit(who)))
    expect(seen.map(({ body }) => body)).toEqual([null, 'cy', 'cy'])
    expect(await store.tokens.delOwner('cy')).toBe(2)
    expect((await all[2]!.visit(who)).body).toBeNull()
  })

  test('leaves nothing in Redis but live sessions', async () => {
    for (const name of ['ann', 'bo', 'cy']) await store.tokens.delOwner(name)
    await store.clear()
    expect(await keyspace(client(), owned.prefix)).toEqual({})
  })
})
