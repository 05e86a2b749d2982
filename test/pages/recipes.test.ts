/** What RECIPES.md says, run as it stands there. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, request, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import express, { type Express, type RequestHandler } from 'express'
import { WebSocket, WebSocketServer } from 'ws'
import { issuedAt, ReuseError, type Token, type Tokenstore, type Watcher } from '../../src/main'
import type { Config } from '../../src/types'
import { closeAfterAll, project, store, until } from '../support'

closeAfterAll()

type Attrs = Record<string, unknown>
interface Device {
  id: string
  device: unknown
  issued: Date
  lastSeen: Date
  thisOne: boolean
}

type Upgrade = [request: IncomingMessage, connection: Duplex, head: Buffer]

/** What the page defines. */
interface Recipes {
  tokens: Tokenstore
  anonymous: Token
  logIn(token: Token | null, user: { id: string }): Promise<Token>
  raise(token: Token, response: unknown): Promise<boolean>
  remember(token: Token): Promise<Token | null>
  forget(token: Token): Promise<Token | null>
  devices(token: Token): Promise<Device[]>
  logOutTheOthers(token: Token): Promise<number>
  logOut(token: Token, id: string): Promise<boolean>
  mailLink(user: { id: string; email: string }): Promise<void>
  isGood(code: unknown): Promise<boolean>
  reset(code: unknown, password: string): Promise<boolean>
  mailCode(email: string): Promise<void>
  enterCode(email: string, code: unknown): Promise<Token | { left: number }>
  refresh: RequestHandler
  upgrade(...given: Upgrade): Promise<void>
  open: Map<string, Set<WebSocket>>
  watcher: Watcher
  perOwner: Map<string, number>
  healthy: RequestHandler
}

const page = readFileSync(join(project, 'RECIPES.md'), 'utf8')
const source = [...page.matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block).join('\n')
const names = [...source.matchAll(/^(?:const|async function) (\w+)/gm)].map(([, name]) => name)

const mails: { to: string; text: string }[] = []
const passwords = new Map<string, string>()
const deleted = new Set<string>()
const signals = new Map<string, () => void>()

/** What the page takes for granted, around a store of this test. */
const around = {
  // test/package/express.test.ts looks at what it uses.
  app: { use: () => {} },
  Tokenstore: (config: Config) => store<Attrs>(config),
  randomUUID,
  issuedAt,
  ReuseError,
  WebSocketServer,
  keyOf: ({ headers }: IncomingMessage) => headers.authorization,
  mail: async (to: string, text: string) => void mails.push({ to, text }),
  setPassword: async (user: string, password: string) => void passwords.set(user, password),
  sign: (owner_id: string) => `jwt of ${owner_id}`,
  isDeleted: async (owner_id: string) => deleted.has(owner_id),
  server: { close: (done: () => void) => done() },
  process: { once: (signal: string, stop: () => void) => void signals.set(signal, stop) }
}

/** Runs the whole page. */
function run(): Promise<Recipes> {
  const text = `return (async () => { ${source}\n return { ${names.join(', ')} } })()`
  // eslint-disable-next-line
  const page = new Function(...Object.keys(around), text)
  return (page as (...values: unknown[]) => Promise<Recipes>)(...Object.values(around))
}

const codeIn = (text: string, pattern: RegExp): string => pattern.exec(text)![1]!
const mailed = (pattern: RegExp): string => codeIn(mails.at(-1)!.text, pattern)
const LINK = /hash=(\S+)/
const DIGITS = /(\d{6})/

let recipes: Recipes
beforeEach(async () => {
  mails.length = 0
  recipes = await run()
})

test('every block of the page is run', () => {
  expect(page.match(/^```/gm)).toHaveLength(2 * page.match(/^```js$/gm)!.length)
  expect(names).toEqual(expect.arrayContaining(['tokens', 'logIn', 'devices', 'refresh']))
})

describe('log in', () => {
  test('on an anonymous session: the planted key opens nothing, attrs are kept', async () => {
    const { tokens, anonymous, logIn } = recipes
    const mine = await logIn(anonymous, { id: 'ann' })
    expect(mine).toMatchObject({ id: anonymous.id, owner_id: 'ann', attrs: { cart: ['book'] } })
    expect(await tokens.getKey(mine.key)).toMatchObject({ id: anonymous.id, owner_id: 'ann' })
    expect(await tokens.getKey(anonymous.key)).toBeNull()
    expect(await tokens.count(anonymous.owner_id)).toBe(0)
  })

  test('on a session that is over, or none, a new one; at most five', async () => {
    const { tokens, anonymous, logIn } = recipes
    await tokens.del(anonymous.id)
    const first = await logIn(anonymous, { id: 'ann' })
    for (let i = 0; i < 5; i++) await logIn(null, { id: 'ann' })
    expect(await tokens.count('ann')).toBe(5)
    expect(await tokens.getKey(first.key)).toBeNull()
  })
})

test('a longer life, and a shorter one again', async () => {
  const { tokens, remember, forget } = recipes
  const token = await tokens.add({ owner_id: 'ann' })
  const day = 24 * 3600 * 1000
  const remembered = (await remember(token))!
  expect(remembered.expires_at! - Date.now()).toBeGreaterThan(89 * day)
  expect(remembered).not.toHaveProperty('used_at')
  const forgotten = (await forget(token))!
  expect(forgotten.expires_at! - Date.now()).toBeLessThan(day)
  expect(forgotten.used_at).toEqual(expect.any(Number))
})

test('devices, and logging them out, but none of others', async () => {
  const { tokens, devices, logOut, logOutTheOthers } = recipes
  const began = Date.now()
  const add = (device: string, owner_id = 'ann'): Promise<Token> =>
    tokens.add({ owner_id, attrs: { device } })
  const [phone, laptop, tablet] = [await add('phone'), await add('laptop'), await add('tablet')]
  const bobs = await add('phone', 'bob')
  const found = await devices(laptop)
  expect(found.map(({ device, thisOne }) => [device, thisOne])).toEqual([
    ['phone', false],
    ['laptop', true],
    ['tablet', false]
  ])
  for (const { issued, lastSeen } of found) {
    expect(Math.abs(issued.getTime() - began)).toBeLessThan(60_000)
    expect(Math.abs(lastSeen.getTime() - began)).toBeLessThan(60_000)
  }
  expect(await logOut(laptop, bobs.id)).toBe(false)
  expect(await logOut(laptop, phone.id)).toBe(true)
  expect(await logOutTheOthers(laptop)).toBe(1)
  expect(await tokens.getKey(tablet.key)).toBeNull()
  expect(await tokens.getKey(bobs.key)).not.toBeNull()
})

test('a lost password: the link counts once, and every other one and session ends', async () => {
  const { tokens, mailLink, isGood, reset } = recipes
  const ann = { id: 'ann', email: 'ann@example.org' }
  const session = await tokens.add({ owner_id: 'ann' })
  await mailLink(ann)
  const older = mailed(LINK)
  const other = await tokens.makeHash('to confirm an address', { owner_id: 'ann' })
  await mailLink(ann)
  const link = mailed(LINK)
  expect(await isGood(older)).toBe(false)
  expect(await isGood(link)).toBe(true)
  expect(await reset(link, 'new')).toBe(true)
  expect(passwords.get('ann')).toBe('new')
  expect(await reset(link, 'newer')).toBe(false)
  expect(await isGood(other)).toBe(false)
  expect(await tokens.getKey(session.key)).toBeNull()
})

test('a code by mail', async () => {
  const { mailCode, enterCode } = recipes
  const email = 'ann@example.org'
  await mailCode(email)
  await mailCode(email)
  expect(mails).toHaveLength(1)
  expect(await enterCode(email, undefined)).toEqual({ left: 4 })
  expect(await enterCode(email, mailed(DIGITS))).toMatchObject({ owner_id: email })
  expect(await enterCode(email, mailed(DIGITS))).toEqual({ left: 0 })
})

describe('WebSockets', () => {
  const server = createServer()
  let url: string
  beforeEach(async () => {
    server.removeAllListeners('upgrade')
    server.on('upgrade', (...given: Upgrade) => void recipes.upgrade(...given))
    if (!server.listening) await once(server.listen(0, '127.0.0.1'), 'listening')
    url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => server.close())

  const connect = (authorization: string): WebSocket =>
    new WebSocket(url, { headers: { authorization } })

  test('are closed when their session is logged out, and no others', async () => {
    const { tokens, open } = recipes
    const [mine, other] = [
      await tokens.add({ owner_id: 'ann' }),
      await tokens.add({ owner_id: 'bob' })
    ]
    const sockets = [connect(mine.key), connect(mine.key), connect(other.key)]
    await Promise.all(sockets.map((socket) => once(socket, 'open')))
    const closed = sockets.map((socket) => once(socket, 'close'))
    await tokens.del(mine.id)
    for (const done of closed.slice(0, 2)) {
      expect((await done).map(String)).toEqual(['4401', 'logged out'])
    }
    await until(() => open.size === 1)
    expect(sockets[2]!.readyState).toBe(WebSocket.OPEN)
    sockets[2]!.close()
    await closed[2]
    await until(() => open.size === 0)
  })

  test('hear nothing more from a client that does not hang up', async () => {
    const { tokens, open } = recipes
    const token = await tokens.add({ owner_id: 'ann' })
    const handshake = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': Buffer.alloc(16).toString('base64'),
      authorization: token.key
    }
    const asked = request(url.replace('ws:', 'http:'), { headers: handshake }).end()
    const [, raw] = (await once(asked, 'upgrade')) as [unknown, Socket]
    // A text of one letter, in a frame with an empty mask.
    const send = (): boolean => raw.write(Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x61]))
    await until(() => open.has(token.id))
    const [socket] = open.get(token.id)!
    let heard = 0
    socket!.on('message', () => heard++)
    send()
    await until(() => heard === 1)
    const told = once(raw, 'data')
    await tokens.del(token.id)
    await told
    send()
    raw.end()
    await once(socket!, 'close')
    expect(heard).toBe(1)
  })

  test('are refused without a session, and while Redis does not answer', async () => {
    const said = async (socket: WebSocket): Promise<string> =>
      String((await once(socket, 'error'))[0])
    expect(await said(connect('x'))).toMatch('401')
    await recipes.tokens.quit()
    expect(await said(connect('x'))).toMatch('503')
  })
})

test('the whole store', async () => {
  const { tokens } = recipes
  for (const owner_id of ['ann', 'ann', 'bob']) await tokens.add({ owner_id })
  deleted.add('bob')
  // Another page's store has another prefix: the loops are run again on this one's.
  const loops = codeIn(page, /^## The whole store\n\n```js\n(.*?)^```$/ms)
  const text = `return (async () => { ${loops} return perOwner })()`
  // eslint-disable-next-line
  const walk = new Function('tokens', 'isDeleted', text)
  const perOwner = (await (walk as (...values: unknown[]) => unknown)(
    tokens,
    around.isDeleted
  )) as Map<string, number>
  expect(perOwner.get('ann')).toBe(2)
  expect(await tokens.count('ann')).toBe(2)
  expect(await tokens.count('bob')).toBe(0)
})

test('stop', async () => {
  signals.get('SIGTERM')!()
  await until(() =>
    recipes.tokens.get(randomUUID()).then(
      () => false,
      () => true
    )
  )
  await expect(recipes.tokens.get(randomUUID())).rejects.toMatchObject({ code: 'TSCLOSED' })
})

describe('in Express', () => {
  let server: Server
  const listen = (app: Express): Promise<void> =>
    new Promise((resolve) => {
      server = app.listen(0, '127.0.0.1', () => resolve())
    })
  afterEach(() => new Promise((resolve) => server.close(resolve)))

  const ask = async (path: string, body?: unknown): Promise<{ status: number; body: unknown }> => {
    const { port } = server.address() as AddressInfo
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) })
    })
    return { status: response.status, body: await response.json() }
  }

  test('refresh: a new key each time, nothing for what is none, and reuse is told', async () => {
    const { tokens, refresh } = recipes
    await listen(express().use(express.json()).post('/refresh', refresh))
    const token = await tokens.add({ owner_id: 'ann' })
    const send = (refresh_token: unknown): ReturnType<typeof ask> =>
      ask('/refresh', { refresh_token })
    const { status, body } = await send(token.key)
    const { refresh_token } = body as { refresh_token: string }
    expect([status, body]).toEqual([200, { access_token: 'jwt of ann', refresh_token }])
    expect(await tokens.getKey(refresh_token)).toMatchObject({ id: token.id })
    for (const bad of [undefined, 7, {}, 'x', 'x'.repeat(24)]) {
      expect((await send(bad)).status).toBe(400)
    }
    // As if its grace were over.
    await tokens.refresh(refresh_token, { grace: null })
    expect(await send(refresh_token)).toMatchObject({ status: 400 })
    expect(mails.map(({ to }) => to)).toEqual(['ann'])
    expect(await tokens.count('ann')).toBe(0)
  })

  test('a new key on privilege change, and health', async () => {
    const { tokens, raise, healthy } = recipes
    const token = await tokens.add({ owner_id: 'ann' })
    const app = express().get('/health', healthy)
    app.get('/sudo', (_, response, next) => {
      raise(token, response).then((raised) => response.json(raised), next)
    })
    await listen(app)
    const { port } = server.address() as AddressInfo
    const sudo = await fetch(`http://127.0.0.1:${port}/sudo`)
    expect(await sudo.json()).toBe(true)
    const cookie = sudo.headers.get('set-cookie')!
    expect(cookie).toMatch(/HttpOnly; Secure; SameSite=Lax$/)
    expect(await tokens.getKey(codeIn(cookie, /^session=([^;]+)/))).toMatchObject({ id: token.id })
    expect(await tokens.getKey(token.key)).toBeNull()
    expect(await ask('/health')).toEqual({ status: 200, body: { redis: true } })
    await tokens.quit()
    expect(await ask('/health')).toEqual({ status: 503, body: { redis: false } })
  })
})
