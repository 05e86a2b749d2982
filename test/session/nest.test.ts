import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { closeAfterAll, freshPrefix, project, redisUrl, store } from '../support'

closeAfterAll()

// Nest is published as ES modules, which jest does not load. Decorators are functions.
const APP = `
  require('reflect-metadata')
  const session = require('express-session')
  const { SessionStore } = require(${JSON.stringify(join(project, 'src/session/express-session.ts'))})
  const main = async () => {
    const { Controller, Get, Module, Req } = await import('@nestjs/common')
    const { NestFactory } = await import('@nestjs/core')
    class Pages {
      login(request) {
        return store.login(request, 'ann').then(() => store.idOf(request))
      }
      views(request) {
        request.session.views = (request.session.views ?? 0) + 1
        return { views: request.session.views }
      }
      logout(request) {
        return new Promise((resolve) => request.session.destroy(resolve))
      }
    }
    for (const name of ['login', 'views', 'logout']) {
      const property = Object.getOwnPropertyDescriptor(Pages.prototype, name)
      Get(name)(Pages.prototype, name, property)
      Req()(Pages.prototype, name, 0)
    }
    Controller()(Pages)
    class App {}
    Module({ controllers: [Pages] })(App)
    const { PREFIX: prefix, REDIS: redis } = process.env
    const store = new SessionStore({ prefix, redis })
    const app = await NestFactory.create(App, { logger: false })
    app.use(session({ store, secret: 'x', resave: false, saveUninitialized: false }))
    await app.listen(0, '127.0.0.1')
    console.log(await app.getUrl())
  }
  main()`

test('Nest: a session is made, counted on, logged in and out', async () => {
  const prefix = freshPrefix()
  const app = execFile(process.execPath, ['--require', 'tsx/cjs', '--eval', APP], {
    cwd: project,
    env: { ...process.env, PREFIX: prefix, REDIS: redisUrl() }
  })
  const said: string[] = []
  app.stderr!.on('data', (text: string) => said.push(text))
  try {
    const lines = createInterface(app.stdout!)
    const [url] = (await Promise.race([
      once(lines, 'line'),
      once(app, 'exit').then(() => Promise.reject(new Error(said.join(''))))
    ])) as [string]
    let cookie = ''
    const get = async (path: string): Promise<string> => {
      const response = await fetch(`${url}/${path}`, { headers: { cookie } })
      expect(response.status).toBe(200)
      cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
      return response.text()
    }
    expect(JSON.parse(await get('views'))).toEqual({ views: 1 })
    const before = cookie
    const id = await get('login')
    expect(cookie).not.toBe(before)
    expect(JSON.parse(await get('views'))).toEqual({ views: 2 })
    const tokens = store({ prefix, digest: true })
    expect(await tokens.list('ann')).toMatchObject([{ id, attrs: { views: 2 } }])
    await get('logout')
    expect(await tokens.count('ann')).toBe(0)
    expect(JSON.parse(await get('views'))).toEqual({ views: 1 })
  } finally {
    app.kill()
  }
})
