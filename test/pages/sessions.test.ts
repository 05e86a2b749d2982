/** What SESSIONS.md says, run as it stands there. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import express, { type Express } from 'express'
import session from 'express-session'
import newFastify from 'fastify'
import Koa, { type Context } from 'koa'
import koaSession from 'koa-session'
import * as routerFace from '../../src/session/react-router'
import { SessionStore as ExpressStore } from '../../src/session/express-session'
import { SessionStore as FastifyStore } from '../../src/session/fastify-session'
import { SessionStore as KoaStore } from '../../src/session/koa-session'
import { closeAfterAll, freshPrefix, project, redisUrl } from '../support'
import { closeLater } from '../support/close-after-all'

closeAfterAll()

const page = readFileSync(join(project, 'SESSIONS.md'), 'utf8')
const secret = 'a secret of 32 characters or more'
const own = (): object => ({ prefix: freshPrefix(), redis: redisUrl() })

interface WithTokens {
  tokens: { quit(): Promise<void> }
}

/** A class, or function, of the page, on the Redis of these tests. */
const onOurs = <Made extends WithTokens>(make: (options: object) => Made) =>
  function (options: object) {
    const made = make({ ...own(), ...options })
    closeLater(() => made.tokens.quit())
    return made
  }

/** Runs the blocks under a heading; answers what they define under these names. */
function run(heading: string, around: Record<string, unknown>, ...names: string[]): unknown[] {
  const [, text] = new RegExp(`^## ${heading}\n(.*?)(?=^## |$(?![^]))`, 'ms').exec(page)!
  const blocks = [...text!.matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block)
  const source = blocks
    .join('\n')
    .replace(/^import .*$/gm, '')
    .replace(/^export /gm, '')
  // eslint-disable-next-line
  const made = new Function(...Object.keys(around), `${source}\nreturn [${names.join(', ')}]`)
  return (made as (...values: unknown[]) => unknown[])(...Object.values(around))
}

/** A browser at an address. */
async function browser(url: string): Promise<(path: string, method?: string) => Promise<unknown>> {
  let cookie = ''
  return async (path, method = 'GET') => {
    const response = await fetch(url + path, { method, headers: { cookie }, redirect: 'manual' })
    const set = response.headers.getSetCookie().map((text) => text.split(';')[0])
    if (set.length > 0) cookie = set.join('; ')
    const text = await response.text()
    return text.startsWith('[') ? (JSON.parse(text) as unknown) : response.status
  }
}

const address = (server: { address(): unknown }): string =>
  `http://127.0.0.1:${(server.address() as AddressInfo).port}`

test('express-session: log in, devices, log out everywhere else', async () => {
  const app: Express = express()
  const check = (): object => ({ id: 'ann' })
  const SessionStore = onOurs((options) => new ExpressStore(options))
  run('express-session', { app, session, secret, SessionStore, check })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closeLater(() => new Promise((resolve) => server.close(resolve)))
  const [phone, laptop] = [await browser(address(server)), await browser(address(server))]
  for (const device of [phone, laptop]) expect(await device('/login', 'POST')).toBe(302)
  expect(await phone('/devices')).toHaveLength(2)
  expect(await phone('/logout-others', 'POST')).toBe(302)
  expect(await phone('/devices')).toHaveLength(1)
  expect(await laptop('/devices')).toBe(500)
})

test('Fastify', async () => {
  const fastify = newFastify()
  closeLater(() => fastify.close())
  const SessionStore = onOurs((options) => new FastifyStore(options))
  const plugin = (instance: never, options: object, done: () => void): void =>
    fastifySession(instance, { cookie: { secure: false }, ...options } as never, done)
  const around = { fastify, fastifyCookie, secret, SessionStore }
  const skip = Symbol.for('skip-override')
  const [store] = run(
    'Fastify',
    { ...around, fastifySession: Object.assign(plugin, { [skip]: true }) },
    'store'
  )
  fastify.get('/login', async (request) => {
    Object.assign(request.session, { user: { id: 'ann' } })
    return []
  })
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  expect(await (await browser(address(fastify.server)))('/login')).toEqual([])
  expect(await (store as FastifyStore).tokens.count('ann')).toBe(1)
})

test('Koa', async () => {
  const app = new Koa()
  app.keys = [secret]
  let made: KoaStore | undefined
  const SessionStore = onOurs((options) => (made = new KoaStore(options)))
  run('Koa', { app, koaSession, SessionStore })
  app.use(async (ctx: Context) => {
    ctx.session!['user'] = { id: 'ann' }
    ctx.body = '[]'
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closeLater(() => new Promise((resolve) => server.close(resolve)))
  expect(await (await browser(address(server)))('/')).toEqual([])
  expect(await made!.tokens.count('ann')).toBe(1)
})

test('React Router', async () => {
  const createSessionStorage = onOurs((options) => routerFace.createSessionStorage(options))
  const cookie = { name: 'sid', secrets: [secret] }
  const names = ['getSession', 'commitSession', 'tokens']
  const found = run('React Router', { createSessionStorage, cookie }, ...names)
  type Storage = ReturnType<typeof routerFace.createSessionStorage<Record<string, string>>>
  const [getSession, commitSession] = found as [Storage['getSession'], Storage['commitSession']]
  const created = await getSession()
  created.set('user', 'ann')
  const header = await commitSession(created)
  expect((await getSession(header)).get('user')).toBe('ann')
  expect(await (found[2] as Storage['tokens']).count('ann')).toBe(1)
})
