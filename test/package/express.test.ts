import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Tokenstore } from '../../src/main'
import { closeAfterAll, store } from '../support'
import { block } from '../pages/page'

closeAfterAll()

// As much of Express as is used here; 4 and 5 have types of their own.
interface Request {
  query: Record<string, unknown>
  token?: unknown
}
interface Response {
  json(value: unknown): void
}
interface App {
  use(...handlers: unknown[]): void
  get(path: string, handler: (request: Request, response: Response, next: unknown) => void): void
  listen(port: number, host: string, done: () => void): Server
}
const cookieParser = jest.requireActual<() => unknown>('cookie-parser')

const recipe = block('express')

describe.each(['express-4', 'express'])('%s', (version) => {
  let tokens: Tokenstore
  let server: Server
  beforeAll(async () => {
    tokens = store()
    const app = jest.requireActual<() => App>(version)()
    app.use(cookieParser())
    // eslint-disable-next-line
    new Function('app', 'tokens', recipe)(app, tokens)
    app.get('/', ({ token }, response) => response.json(token))
    app.get('/code', ({ query }, response, next) =>
      tokens.takeHash(query['code'], (error, value) =>
        error ? (next as (error: Error) => void)(error) : response.json(value)
      )
    )
    await new Promise<void>((resolve) => {
      server = app.listen(0, '127.0.0.1', resolve)
    })
  })
  afterAll(() => new Promise((resolve) => server.close(resolve)))

  const get = async (path: string, headers: Record<string, string> = {}): Promise<unknown> => {
    const { port } = server.address() as AddressInfo
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
    const text = await response.text()
    return response.ok ? JSON.parse(text) : `${response.status} ${text}`
  }

  test('knows whose the cookie is, and nobody without one', async () => {
    const token = await tokens.add({ owner_id: 'ann' })
    expect(await get('/', { cookie: `session=${token.key}` })).toEqual(token)
    expect(await get('/')).toBeNull()
    // What follows `j:` cookie-parser makes an object, or whatever it is.
    const others = ['x', '\0', 'j:null', 'j:7', 'j:""', 'j:{"a":1}', `j:["${token.key}"]`]
    for (const other of ['', '%', '%ed%a0%80', ...others.map(encodeURIComponent)]) {
      expect(await get('/', { cookie: `session=${other}` })).toBeNull()
    }
    expect(await get('/', { cookie: `session=${token.key}` })).toEqual(token)
  })

  test('takes a code, once, and finds none that is missing or sent twice', async () => {
    const code = await tokens.makeHash('a')
    const wrong = ['', '?code', '?code=', '?code=%ed%a0%80', '?code[a]=b', `?code[]=${code}`]
    for (const query of [...wrong, `?code=${code}&code=${code}`]) {
      expect(await get(`/code${query}`)).toBeNull()
    }
    expect(await get(`/code?code=${code}`)).toBe('a')
    expect(await get(`/code?code=${code}`)).toBeNull()
  })
})
