/** An app with logins to open in a browser, on a private Redis: `npm run example`. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { SessionStore } from '../src/session/express-session'
import { exampleApp } from './example/app'
import { useRedis } from './redis-server'

const ACCOUNTS = { ann: 'correct horse', ben: 'battery staple' }

async function main(): Promise<void> {
  const redis = await useRedis()
  const store = new SessionStore({
    redis: redis.url,
    prefix: 'tokenstore-example', // nobody else's, should REDIS_URL name a server in use
    owner: (session) => session.user,
    idle: 24 * 3600,
    ttl: 30 * 24 * 3600,
    touchEvery: 60
  })
  const app = await exampleApp(store, ACCOUNTS, (to, text) => console.log(`Mail to ${to}: ${text}`))
  const server = app.listen(Number(process.env.PORT ?? 0), '127.0.0.1')
  try {
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    console.log(`Open http://127.0.0.1:${port} in two browsers, or in a private window as well.`)
    for (const [name, password] of Object.entries(ACCOUNTS))
      console.log(`  name: ${name}   password: ${password}`)
    console.log('Mails are printed here. Ctrl-C ends the app.')
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  } finally {
    server.close()
    server.closeAllConnections()
    await store.clear()
    await store.tokens.quit()
    await redis.stop()
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exit(1)
})
