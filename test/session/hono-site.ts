import type { Server } from 'node:http'
import { createInterface } from 'node:readline'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { sessionMiddleware, type Session } from 'hono-sessions'
import { SessionStore } from '../../src/session/hono-sessions'
import { asked, onGone, optionsOf, portOf, visit, type Data, type Start } from './faces-site'

function start({ age, ...given }: Start): Server {
  const store = new SessionStore<Data>(optionsOf(given))
  store.on('gone', onGone)
  const app = new Hono<{
    Variables: { session: Session<Record<string, unknown>>; session_key_rotation: boolean }
  }>()
  app.onError((error, c) => c.text(error.message, (error as { status?: 503 }).status ?? 500))
  app.use(async (c, next) => {
    const answer = await asked(new URL(c.req.url))
    if (answer === undefined) return next()
    return c.json(answer)
  })
  app.use(sessionMiddleware({ store, sessionCookieName: 'sid', expireAfterSeconds: age }))
  app.all('*', async (c) => {
    const session = c.get('session')
    const answer = await visit(new URL(c.req.url), {
      set: (name, value) => {
        if (name === 'flash') session.flash(name, value)
        else if (name === 'take') session.get(value)
        else if (name === 'forget') session.forget(value)
        else session.set(name, value)
      },
      data: () =>
        Object.fromEntries(
          Object.entries(session.getCache()._data).map(([name, { value }]) => [name, value])
        ),
      renew: () => c.set('session_key_rotation', true),
      end: () => session.deleteSession()
    })
    return c.json(answer)
  })
  return serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server
}

// A program of its own: jest on Node 20 cannot load what hono-sessions is made of.
createInterface(process.stdin).on('line', (line) => {
  const server = start(JSON.parse(line) as Start)
  void portOf(server).then((port) => process.stdout.write(`${port}\n`))
})
