import { Redis } from 'ioredis'
import { startTls, type TlsServer } from '../../scripts/redis-cluster'
import { UnavailableError, type Tokenstore } from '../../src/main'
import { block } from '../pages/page'
import { audit, auditPartitioned, closeAfterAll, freshPrefix, store, until } from '../support'

let server: TlsServer | undefined
beforeAll(async () => {
  server = await startTls()
}, 60_000)
afterAll(async () => server?.stop())
closeAfterAll()

// What the README gives the user of an application, for one prefix.
const COMMANDS = / -@all (.*)/.exec(block('acl'))![1]!

const password = 'a-long-password'

async function grant(user: string, prefix: string, commands = COMMANDS): Promise<void> {
  const rules = `on >${password} resetchannels ~${prefix} ~${prefix}:* -@all ${commands}`
  await server!.node.redis.acl('SETUSER', user, 'reset', ...rules.split(' '))
}

test.each([{ partitioned: false }, { partitioned: true }])(
  'everything works over TLS with a private CA, for a user with few rights: %j',
  async ({ partitioned }) => {
    const prefix = freshPrefix()
    await grant('app', prefix)
    const { url, port, ca, node } = server!
    const withUser = url.replace('//', `//app:${password}@`)
    const own = new Redis(withUser, { tls: { ca } })
    const configs = [
      {
        redis: {
          host: 'localhost',
          port,
          username: 'app',
          password,
          tls: { ca }
        }
      },
      {
        redis: {
          host: '127.0.0.1',
          port,
          username: 'app',
          password,
          tls: { ca }
        }
      },
      { redis: own }
    ]
    for (const { redis } of configs) {
      const tokens = store({ redis, prefix, partitioned, timeout: 10_000 })
      const token = await tokens.add({
        owner_id: 'ann',
        attrs: { n: 1 },
        ttl: 100,
        idle: 10,
        limit: 5,
        onLimit: 'evict'
      })
      expect(await tokens.getKey(token.key)).toMatchObject({ id: token.id })
      expect(await tokens.get(token.id)).toMatchObject({ id: token.id })
      expect(await tokens.set(token.id, { n: 2 })).toMatchObject({
        attrs: { n: 2 }
      })
      expect(await tokens.update(token.id, ({ n }) => ({ n: Number(n) + 1 }))).toMatchObject({
        attrs: { n: 3 }
      })
      expect((await tokens.rotate(token.id, { grace: 10 }))?.id).toBe(token.id)
      expect(await tokens.list('ann')).toHaveLength(1)
      expect((await tokens.list('ann', { limit: 1 })).tokens).toHaveLength(1)
      expect(await tokens.count('ann')).toBe(1)
      expect(await (partitioned ? auditPartitioned : audit)(node.redis, prefix)).toEqual([])
      expect(await tokens.del(token.id)).toBe(true)
      const [a] = [await tokens.add({ owner_id: 'ann' }), await tokens.add({ owner_id: 'ann' })]
      expect(await tokens.delKey(a.key)).toBe(true)
      expect(await tokens.delOwner('ann')).toBe(1)
      const hash = await tokens.makeHash({ a: 1 }, { replaces: 'reset' })
      expect(await tokens.getHash(hash)).toEqual({ a: 1 })
      expect(await tokens.takeHash(hash)).toEqual({ a: 1 })
      expect(await tokens.delHash(await tokens.makeHash('b'))).toBe(true)
      await tokens.add({ owner_id: 'bo' })
      expect(await tokens.reset()).toBe(1)
      expect(await node.redis.keys(`${prefix}*`)).toEqual([])
    }
    own.disconnect()
  }
)

test('each right of that user is needed', async () => {
  const needed: Record<string, (tokens: Tokenstore) => Promise<unknown>> = {
    get: (tokens) => tokens.get('0190a0b0-0000-7000-8000-000000000001'),
    mget: (tokens) => tokens.getKey('a'.repeat(24)),
    getdel: (tokens) => tokens.takeHash('ABCDEFGH'),
    scan: (tokens) => tokens.reset(),
    zadd: (tokens) => tokens.add({ owner_id: 'ann' })
  }
  for (const [command, call] of Object.entries(needed)) {
    const prefix = freshPrefix()
    await grant('less', prefix, COMMANDS.replace(` +${command} `, ' '))
    const redis = {
      host: 'localhost',
      port: server!.port,
      username: 'less',
      password,
      tls: { ca: server!.ca }
    }
    const error: unknown = await call(store({ redis, prefix })).catch((error: unknown) => error)
    expect(`${command}: ${String(error)}`).toMatch(
      /NOPERM|user executing the script can't run|ACL failure in script/
    )
  }
})

test('without the CA, and with a name that is not in the certificate, nothing is sent', async () => {
  const prefix = freshPrefix()
  await grant('app', prefix)
  const { url, port, ca } = server!
  const withUser = url.replace('//', `//app:${password}@`)
  const elsewhere = {
    host: '127.0.0.1',
    port,
    username: 'app',
    password,
    tls: { ca, servername: 'elsewhere' }
  }
  for (const [redis, says] of [
    [withUser, 'certificate'],
    [elsewhere, "Host: elsewhere. is not in the cert's altnames"]
  ] as const) {
    const tokens = store({ redis, prefix, timeout: 500 })
    // Until the first handshake has failed a call knows of no reason.
    await until(async () => {
      const error: unknown = await tokens.count('ann').catch((error: unknown) => error)
      expect(error).toBeInstanceOf(UnavailableError)
      expect(String(error)).not.toContain(password)
      return String(error).includes(says)
    })
  }
})
