/** The life of a few session tokens, on a private Redis: `npm run demo`. */
import { Redis } from 'ioredis'
import { Tokenstore } from '../src/main'
import { useRedis } from './redis-server'

// Nobody else's, should REDIS_URL name a server in use.
const PREFIX = 'tokenstore-demo'

interface Session {
  device: string
  theme?: string
}

function say(what: string, ...values: unknown[]): void {
  console.log(`\n${what}`)
  for (const value of values)
    console.log('   ', typeof value === 'object' ? JSON.stringify(value) : value)
}

async function main(): Promise<void> {
  const server = await useRedis()
  const tokens = Tokenstore<Session>({
    redis: server.url,
    prefix: PREFIX,
    idle: 30 * 60,
    ttl: 30 * 24 * 3600
  })
  const redis = new Redis(server.url)
  try {
    const phone = await tokens.add({ owner_id: 'ann', attrs: { device: 'phone' } })
    const laptop = await tokens.add({ owner_id: 'ann', attrs: { device: 'laptop' } })
    say('Ann logs in on two devices. The phone gets:', phone)

    const seen = await tokens.getKey(phone.key)
    say(
      'A request comes with the key of the phone. Who is it?',
      `${seen?.owner_id}, on a ${seen?.attrs.device}`
    )

    await tokens.update(phone.id, (attrs) => ({ ...attrs, theme: 'dark' }))
    const devices = await tokens.list('ann')
    say(
      'Her device list, by public id, after the phone chose a theme:',
      ...devices.map(({ id, attrs }) => ({ id, ...attrs }))
    )

    say('She logs the laptop out:', await tokens.del(laptop.id))
    say('A late request of the laptop finds:', await tokens.getKey(laptop.key))

    const code = await tokens.makeHash({ user: 'ann' }, { ttl: 900, replaces: 'reset:ann' })
    say('She forgot her password. The mail says:', `https://example.com/reset?code=${code}`)
    say('A mail scanner opens the link, which only looks:', await tokens.getHash(code))
    say('Ann uses it; it counts once:', await tokens.takeHash(code), await tokens.takeHash(code))
    say('A new password revokes every session but a fresh one:', await tokens.delOwner('ann'))
    const fresh = await tokens.add({ owner_id: 'ann', attrs: { device: 'phone' } })

    const left = new Set<string>() // SCAN may name one twice
    for await (const names of redis.scanStream({ match: `${PREFIX}:*` }) as AsyncIterable<
      string[]
    >) {
      for (const name of names) {
        left.add(
          `${name.replace(fresh.key, '<its key>')}  (${await redis.type(name)}, expires in ${await redis.ttl(name)} s)`
        )
      }
    }
    say(
      'All that is left in Redis, one token under three names and the name of the last code:',
      ...[...left].sort()
    )
    say('reset() removes it:', await tokens.reset())
  } finally {
    await tokens.quit()
    redis.disconnect()
    await server.stop()
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
