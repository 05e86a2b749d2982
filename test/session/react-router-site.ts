import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createCookie } from 'react-router'
import { createSessionStorage } from '../../src/session/react-router'
import { asked, onGone, optionsOf, visit, type Data, type Start } from './faces-site'

export function start({ age, ...given }: Start): Server {
  const cookie = createCookie('sid', { secrets: ['secret'], maxAge: age })
  const options = { cookie, onGone, ...optionsOf(given) } as object
  const storage = createSessionStorage<Data>(options)

  /** A loader or action, as an app writes it. */
  async function respond(url: URL, header?: string): Promise<[string, object | undefined]> {
    let session = await storage.getSession(header)
    let ended = false
    let written = false
    const answer = await visit(url, {
      set: (name, value) => {
        written = true
        if (name === 'flash') session.flash(name, value)
        else if (name === 'take') session.get(value)
        else session.set(name, value)
      },
      data: () => session.data,
      renew: async () => {
        const old = session
        session = await storage.getSession()
        for (const [name, value] of Object.entries(old.data)) session.set(name, value as string)
        await storage.destroySession(old)
        written = true
      },
      end: () => {
        ended = true
      }
    })
    if (ended) return [await storage.destroySession(session), answer]
    return [written ? await storage.commitSession(session) : '', answer]
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, 'http://localhost')
    const told = await asked(url)
    if (told !== undefined) return void response.end(JSON.stringify(told))
    const [setCookie, body] = await respond(url, request.headers.cookie)
    if (setCookie) response.setHeader('set-cookie', setCookie)
    response.end(JSON.stringify(body))
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: { status?: number }) =>
      response.writeHead(error.status ?? 500).end()
    )
  }).listen(0, '127.0.0.1')
  server.on('close', () => void storage.tokens.quit())
  return server
}
