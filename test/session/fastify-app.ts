import cookie from '@fastify/cookie'
import session, { type FastifySessionOptions, type SessionStore as Store } from '@fastify/session'
import { RedisStore } from 'connect-redis'
import fastify, { type FastifyInstance } from 'fastify'
import { createClient } from 'redis'
import { SessionStore, type SessionStoreOptions } from '../../src/session/fastify-session'
import { freshPrefix, redisUrl } from '../support'
import { closeLater } from '../support/close-after-all'

declare module 'fastify' {
  interface Session {
    user?: string
    n?: number
    cart?: string[]
  }
}

/** A store under a fresh prefix on the tests' server. */
export function sessionStore(options: SessionStoreOptions = {}): SessionStore {
  const own = { prefix: freshPrefix(), redis: redisUrl(), timeout: 10_000 }
  const store = new SessionStore(options.tokens ? options : { ...own, ...options })
  closeLater(() => store.tokens.quit())
  return store
}

/** As two processes have them. */
export function twoStores(): [SessionStore, SessionStore] {
  const options = { prefix: freshPrefix(), owner: ({ user }: { user?: string }) => user }
  return [sessionStore(options), sessionStore(options)]
}

/** What the races are run against as well. */
export async function connectRedis(): Promise<Store> {
  const client = createClient({ url: redisUrl() })
  await client.connect()
  closeLater(() => client.close())
  return new RedisStore({ client, prefix: freshPrefix() })
}

/** An app with sessions of a store, and not a route. */
export function fastifyApp(
  store: Store,
  options: Partial<FastifySessionOptions> = {}
): FastifyInstance {
  const app = fastify()
  const secret = 'a secret of 32 characters or more'
  void app.register(cookie)
  void app.register(session, { secret, cookie: { secure: false }, store, ...options })
  closeLater(() => app.close())
  return app
}

/** A client that keeps its cookie. */
export class Browser {
  readonly #address: string
  cookie: string | undefined

  /** At the address of an app, with a cookie that another one has. */
  constructor(address: string, cookie?: string) {
    this.#address = address
    this.cookie = cookie
  }

  /** Its cookie without the signature. */
  get sid(): string {
    return this.cookie!.slice(0, this.cookie!.lastIndexOf('.'))
  }

  async get(path: string): Promise<{ status: number; body: string }> {
    const headers: Record<string, string> = this.cookie
      ? { cookie: `sessionId=${this.cookie}` }
      : {}
    const response = await fetch(this.#address + path, { headers })
    // Of several the last one counts.
    for (const cookie of response.headers.getSetCookie())
      this.cookie = /^sessionId=([^;]+)/.exec(cookie)?.[1]
    return { status: response.status, body: await response.text() }
  }
}
