import { randomBytes } from 'node:crypto'
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import session from 'express-session'
// In an app of yours: 'tokenstore' and 'tokenstore/express-session'.
import { issuedAt } from '../../src/main'
import type { SessionStore } from '../../src/session/express-session'
import { browserOf } from './browser'
import { codePage, devicesPage, loginPage, lostPage, sorryPage } from './pages'
import { hashed, matches, type Password } from './passwords'

declare module 'express-session' {
  interface SessionData {
    user?: string
    browser?: string
  }
}

/** Login, "your devices" and a lost password, for accounts that are kept in memory. */
export async function exampleApp(
  store: SessionStore,
  accounts: Record<string, string>,
  mail: (to: string, text: string) => void
): Promise<Express> {
  const { tokens } = store
  const passwords = new Map<string, Password>()
  for (const [name, password] of Object.entries(accounts))
    passwords.set(name, await hashed(password))
  const nobodys = await hashed(randomBytes(16).toString('hex'))

  const app = express()
  app.use((_, response, next) => {
    response.set({
      'Cache-Control': 'no-store', // the Back button shows no devices after a logout
      'Content-Security-Policy':
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    })
    next()
  })
  app.use(express.urlencoded({ extended: false }))
  app.use(
    session({
      store,
      name: 'example',
      secret: randomBytes(32).toString('hex'),
      resave: false,
      saveUninitialized: false,
      // Behind TLS add `secure: true`.
      cookie: { httpOnly: true, sameSite: 'lax' }
    })
  )
  // Whatever changes something here is a POST. A browser sends a Lax cookie along with none of
  // another site, but a login needs no cookie.
  app.use((request, response, next) => {
    const isForeign = request.get('sec-fetch-site') === 'cross-site'
    if (isForeign && request.method === 'POST') response.sendStatus(403)
    else next()
  })

  app.get('/login', (request, response) => {
    const changed = 'changed' in request.query
    response.send(loginPage({ notice: changed && 'Log in with your new password.' }))
  })

  app.post('/login', async (request, response) => {
    const { name, password } = fields(request.body)
    const known = passwords.get(name)
    // A name that is unknown takes as long, so that nobody finds out which are.
    const right = await matches(password, known ?? nobodys)
    if (!known || !right) {
      response.status(401).send(loginPage({ error: 'The name or the password is wrong.' }))
      return
    }
    // A new sid, which nobody can have planted, for at most five sessions of one person.
    await store.login(request, name, { limit: 5, onLimit: 'evict' })
    request.session.user = name
    request.session.browser = browserOf(request.get('user-agent'))
    // A new password ends all sessions, but may have come before this one was there to be ended.
    if (passwords.get(name) !== known) await store.destroy(request.sessionID)
    response.redirect('/')
  })

  app.get('/lost', (_, response) => {
    response.send(lostPage())
  })

  app.post('/lost', async (request, response) => {
    const { name } = fields(request.body)
    // Null when the last code is half a minute old, or all tries at it are spent.
    const code = passwords.has(name) ? await tokens.makeCode(`lost:${name}`, { every: 30 }) : null
    if (code !== null) mail(name, `your code is ${code}, for ten minutes`)
    // The same page for a name that is unknown.
    response.send(codePage(name, {}))
  })

  app.post('/reset', async (request, response) => {
    const { name, code, password } = fields(request.body)
    const refuse = (error: string): unknown => response.status(400).send(codePage(name, { error }))
    // Before the code is tried: it counts once.
    if (password.length < 8) return refuse('A password has at least 8 characters.')
    const { ok } = await tokens.tryCode(`lost:${name}`, code)
    if (!ok) return refuse('That is not the code, or it is no longer valid.')
    passwords.set(name, await hashed(password))
    await tokens.delOwner(name)
    response.redirect('/login?changed')
  })

  const loggedIn: RequestHandler = (request, response, next) =>
    request.session.user === undefined ? response.redirect('/login') : next()

  app.get('/', loggedIn, async (request, response) => {
    const user = request.session.user!
    const all = await tokens.list(user)
    const devices = all.map(({ id, attrs, used_at }) => ({
      id,
      name: attrs.browser ?? 'A browser',
      since: issuedAt(id)!,
      used: used_at!,
      isThisOne: id === store.idOf(request)
    }))
    response.send(devicesPage(user, devices))
  })

  app.post('/logout-device', loggedIn, async (request, response) => {
    const { id } = fields(request.body)
    const all = await tokens.list(request.session.user!)
    // Ids are no secret: who knows one of somebody else's must not end that.
    if (all.some((token) => token.id === id)) await tokens.del(id)
    response.redirect('/')
  })

  app.post('/logout-others', loggedIn, async (request, response) => {
    await tokens.delOwner(request.session.user!, { except: store.idOf(request) })
    response.redirect('/')
  })

  app.post('/logout', loggedIn, (request, response, next) => {
    request.session.destroy((error) => (error ? next(error) : response.redirect('/login')))
  })

  const sorry: ErrorRequestHandler = (error: Error & { status?: number }, _, response, next) => {
    console.error(error)
    if (response.headersSent) return next(error)
    response.status(error.status ?? 500).send(sorryPage())
  }
  app.use(sorry)
  return app
}

/** The fields of a form, each a text: one that is missing or sent twice is empty. */
function fields(body: unknown): Record<'name' | 'password' | 'code' | 'id', string> {
  const sent = Object(body) as Record<string, unknown>
  const text = (name: string): string => (typeof sent[name] === 'string' ? sent[name] : '')
  return { name: text('name'), password: text('password'), code: text('code'), id: text('id') }
}
