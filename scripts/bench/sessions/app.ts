/** An Express app in a process of its own: whom it answers, it knows from the session. */
import type { AddressInfo } from 'node:net'
import express, { type Request } from 'express'
import session from 'express-session'
import { openStore, type Data, type StoreName } from './stores'

const DAY_MS = 86_400_000

const [name, url] = process.argv.slice(2) as [StoreName, string]

/** The session of a request. The app without sessions has one that it forgets. */
function dataOf(request: Request): Partial<Data> {
  return (request.session as Partial<Data> | undefined) ?? newData('nobody')
}

function newData(id: string): Data {
  const user = { id, name: 'Ada Lovelace', roles: ['reader', 'author'] }
  return { user, csrf: 'tWq3oG0PnZ1l8mXcRbYd5uKe', visits: 0 }
}

async function main(): Promise<void> {
  const app = express()
  const store = await openStore(name, url)
  if (store) {
    app.use(
      session({
        store,
        secret: 'of the bench',
        resave: false,
        saveUninitialized: false,
        cookie: { maxAge: DAY_MS }
      })
    )
  }
  app.get('/login/:user', (request, response) => {
    Object.assign(dataOf(request), newData(request.params.user))
    response.json({ user: request.params.user })
  })
  app.get('/read', (request, response) => {
    response.json({ user: dataOf(request).user?.id })
  })
  app.get('/write', (request, response) => {
    const data = dataOf(request)
    data.visits!++
    response.json({ user: data.user?.id })
  })
  app.get('/cpu', (_request, response) => {
    const { user, system } = process.cpuUsage()
    response.json(user + system)
  })
  const server = app.listen(0, '127.0.0.1', () => {
    process.send!((server.address() as AddressInfo).port)
  })
  // Connections rest while it is the turn of another.
  server.keepAliveTimeout = 0
}

process.on('disconnect', () => process.exit())
void main()
