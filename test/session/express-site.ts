import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { ErrorRequestHandler, Express, Request, Response } from 'express'
import session, { type Session, type SessionOptions, type Store } from 'express-session'
import { SessionStore, type SessionStoreOptions } from '../../src/session/express-session'
import { freshPrefix, redisUrl } from '../support'
import { closeLater } from '../support/close-after-all'

export type AnySession = Session & Record<string, unknown>
/** A request in a route, whose session has whatever fields. */
export type Visited = Omit<Request, 'session'> & { session: AnySession }
type Page = (request: Visited, response: Response) => unknown

export interface Answer {
  status: number
  body: unknown
  /** What was set for the name of the session cookie, if anything was. */
  cookie: string | undefined
}

/** What a browser keeps: its session cookie. */
export interface Browser {
  cookie: string | undefined
  /** Asks for a page, which this function makes. */
  visit(page: Page): Promise<Answer>
  /** Asks for what `prepare` put there. */
  ask(path: string): Promise<Answer>
}

export interface Site {
  app: Express
  url: string
  /** Those that Express was told of, in order. */
  errors: unknown[]
  browser(cookie?: string): Browser
}

export const VERSIONS = ['express', 'express-4'] as const

const SECRET = 'keyboard dog'

/** The app of a store, over real HTTP. What is thrown in a page goes to Express. */
export async function site(
  store: Store,
  options: Partial<SessionOptions> = {},
  version: (typeof VERSIONS)[number] = 'express',
  prepare: (app: Express) => void = () => {}
): Promise<Site> {
  const app = jest.requireActual<() => Express>(version)()
  const defaults = { secret: SECRET, resave: false, saveUninitialized: false }
  app.use(session({ ...defaults, store, ...options }))
  prepare(app)
  const pages: Page[] = []
  app.get('/:page', (request, response, next) => {
    const page = pages[Number(request.params.page)]!
    const made = new Promise((resolve) => resolve(page(request as unknown as Visited, response)))
    made.then((body) => response.headersSent || response.json(body ?? null), next)
  })
  const errors: unknown[] = []
  const note: ErrorRequestHandler = (error, _request, _response, next) => {
    errors.push(error)
    next(error)
  }
  app.use(note)
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closeLater(() => new Promise((resolve) => server.close(resolve)))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  const browser = (cookie?: string): Browser => ({
    cookie,
    visit(page) {
      return this.ask(`/${pages.push(page) - 1}`)
    },
    async ask(path) {
      const headers: Record<string, string> = this.cookie ? { cookie: this.cookie } : {}
      const response = await fetch(url + path, { headers })
      const text = await response.text()
      const set = response.headers.getSetCookie().at(-1)
      if (set) this.cookie = set.split(';')[0]
      const body: unknown = response.ok ? JSON.parse(text) : text
      return { status: response.status, body, cookie: set }
    }
  })
  return { app, url, errors, browser }
}

export interface OwnStore {
  store: SessionStore
  prefix: string
  /** Ids of 'gone'. */
  gone: string[]
}

/** A store on the tests' server, under a fresh prefix. */
export function sessionStore(options: SessionStoreOptions = {}): OwnStore {
  const prefix = freshPrefix()
  const own = options.tokens ? {} : { prefix, redis: redisUrl(), timeout: 10_000 }
  const store = new SessionStore({ ...own, ...options })
  const gone: string[] = []
  store.on('gone', (id: string) => gone.push(id))
  closeLater(() => store.tokens.quit())
  return { store, prefix, gone }
}

/** Whose session it is, of an app that keeps the user in it. */
export const userId = (session: object): string | undefined =>
  (session as { user?: { id: string } }).user?.id

/** A method of a session that takes a callback, as a promise. */
export function done(start: (callback: (error?: Error | null) => void) => unknown): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve())))
}

export const save = (session: Session): Promise<void> => done((then) => session.save(then))

/** Waits until as many requests as that have come. */
export interface Gate {
  /** Lets the request that awaits it in, once the gate is opened. */
  pass(): Promise<void>
  /** Resolves when so many requests wait. */
  reached(many?: number): Promise<void>
  open(): void
}

/** Holds requests until the test lets them go on. */
export function gate(): Gate {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  const watching: { many: number; resolve: () => void }[] = []
  let here = 0
  const look = (): void =>
    watching.filter(({ many }) => many <= here).forEach(({ resolve }) => resolve())
  return {
    pass() {
      here++
      look()
      return opened
    },
    reached: (many = 1) =>
      new Promise((resolve) => {
        watching.push({ many, resolve })
        look()
      }),
    open: () => open()
  }
}

export const sha256 = (text: string): string =>
  createHash('sha256').update(text).digest('base64url')

/** The sid in a signed cookie. */
export function sidOf({ cookie }: { cookie: string | undefined }): string {
  const value = decodeURIComponent(cookie!.slice(cookie!.indexOf('=') + 1).split(';')[0]!)
  return value.slice(2, value.lastIndexOf('.'))
}
