import type { Server } from 'node:http'
import Koa from 'koa'
import { createSession, type CreateSessionOptions } from 'koa-session'
import { SessionStore } from '../../src/session/koa-session'
import { asked, onGone, optionsOf, visit, type Data, type Start } from './faces-site'

export interface KoaStart extends Start {
  more?: CreateSessionOptions
}

/** A session, as koa-session gives it to an app. */
interface Handled {
  [name: string]: unknown
  maxAge: number
  regenerate(): Promise<void>
  toJSON(): object
}

export function start({ age, more, ...given }: KoaStart): Server {
  const store = new SessionStore<Data>(optionsOf(given))
  store.on('gone', onGone)
  const app = new Koa()
  app.on('error', () => {})
  app.use(async (ctx, next) => {
    const answer = await asked(ctx.URL)
    if (answer === undefined) await next()
    else ctx.body = JSON.stringify(answer)
  })
  const maxAge = age === undefined ? 'session' : age * 1000
  app.use(createSession({ key: 'sid', signed: false, maxAge, store, ...more }, app))
  app.use(async (ctx) => {
    const session = ctx.session as Handled
    ctx.body = await visit(ctx.URL, {
      set: (name, value) => {
        if (name === 'maxAge') session.maxAge = Number(value)
        else if (name === 'all') ctx.session = JSON.parse(value) as object
        else session[name] = value
      },
      data: () => (ctx.session as Handled | null)?.toJSON() ?? {},
      renew: () => session.regenerate(),
      end: () => {
        ctx.session = null
      }
    })
  })
  const server = app.listen(0, '127.0.0.1')
  server.on('close', () => void store.tokens.quit())
  return server
}
