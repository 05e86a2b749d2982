import { monitor } from '../driver/monitor'
import { issuedAt } from '../../src/main'
import { startRedis } from '../../scripts/redis-server'
import { client, keyspace, names, redisUrl } from '../support'
import { Browser, overtaken, site, type Site, type Starts } from './faces'

const WRITES = /^(set|hset|del|hdel|zadd|zrem|p?expire.*)$/

/** What every store does, whatever the framework. `sidOf` reads a sid from a cookie. */
export function behaves(starts: Starts, sidOf: (cookie: string) => string): void {
  const redis = client()
  let at: Site
  beforeAll(async () => {
    at = await site(starts, { age: 3600 })
  })

  async function loggedIn(user: string): Promise<Browser> {
    const browser = new Browser(at)
    await browser.go(`/?user=${user}`)
    return browser
  }

  test('login, read, update, logout', async () => {
    const ann = await loggedIn('ann')
    await ann.go('/?theme=dark')
    expect(await ann.go('/')).toMatchObject({ user: 'ann', theme: 'dark' })
    const [token] = await at.tokens.list('ann')
    expect(token!.attrs).toMatchObject({ user: 'ann', theme: 'dark' })
    const old = ann.twin()
    await ann.go('/logout')
    expect(await at.tokens.list('ann')).toEqual([])
    expect(await old.go('/')).toEqual({})
    expect(await names(redis, at.prefix)).toEqual({})
  })

  test('another login with the cookie of a session that has ended', async () => {
    const ann = await loggedIn('ann')
    await at.tokens.delOwner('ann')
    await ann.go('/?user=ann')
    expect(await ann.go('/')).toMatchObject({ user: 'ann' })
    expect(await at.tokens.delOwner('ann')).toBe(1)
  })

  test('a new sid keeps the session, and ends the old sid', async () => {
    const ann = await loggedIn('ann')
    const old = ann.twin()
    expect(await ann.go('/renew?theme=dark')).toMatchObject({ user: 'ann', theme: 'dark' })
    expect(sidOf(ann.cookie)).not.toBe(sidOf(old.cookie))
    expect(await ann.go('/')).toMatchObject({ user: 'ann', theme: 'dark' })
    expect(await old.go('/')).toEqual({})
    expect(await at.tokens.delOwner('ann')).toBe(1)
  })

  test('a slow request that saves after a logout revives nothing', async () => {
    const ids: string[] = []
    for (let round = 0; round < 5; round++) {
      const ann = await loggedIn('ann')
      ids.push((await at.tokens.list('ann'))[0]!.id)
      await overtaken(at, [ann.twin()], '/?theme=dark', () => ann.go('/logout'))
    }
    expect(await at.ask('/gone')).toEqual(ids)
    expect(await names(redis, at.prefix)).toEqual({})
  })

  test('parallel requests lose no update', async () => {
    const ann = await loggedIn('ann')
    await overtaken(at, [ann.twin()], '/?one=1', () => ann.go('/?two=2'))
    expect(await ann.go('/')).toMatchObject({ user: 'ann', one: '1', two: '2' })
    const fields = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    await Promise.all(fields.map((name) => ann.twin().go(`/?${name}=${name}`)))
    const [{ attrs } = { attrs: {} }] = await at.tokens.list('ann')
    expect(Object.keys(attrs)).toEqual(expect.arrayContaining(fields))
    await ann.go('/logout')
  })

  test('a request that only reads is one command, and writes nothing', async () => {
    const ann = await loggedIn('ann')
    const watch = await monitor(redisUrl())
    const before = await keyspace(redis, at.prefix)
    await watch.sent()
    await watch.called()
    expect(await ann.go('/')).toMatchObject({ user: 'ann' })
    expect(await watch.sent()).toHaveLength(1)
    expect((await watch.called()).filter(([command]) => WRITES.test(command!))).toEqual([])
    expect(await keyspace(redis, at.prefix)).toEqual(before)
    watch.close()
    await ann.go('/logout')
  })

  test('Redis sees no sid', async () => {
    const watch = await monitor(redisUrl())
    const ann = await loggedIn('ann')
    const sid = sidOf(ann.cookie)
    expect(sid.length).toBeGreaterThanOrEqual(24)
    expect(await at.tokens.getKey(sid)).toMatchObject({ owner_id: 'ann' })
    await ann.go('/?theme=dark')
    await ann.go('/renew')
    const everything = JSON.stringify([await watch.everything(), await keyspace(redis, at.prefix)])
    expect(everything).toContain(at.prefix)
    for (const secret of [sid, sidOf(ann.cookie)]) expect(everything).not.toContain(secret)
    watch.close()
    await ann.go('/logout')
  })

  test('a session lives for the age of its cookie after a use', async () => {
    const ann = await loggedIn('ann')
    expect(await secondsLeft(at)).toBe(3600)
    await ann.go('/?theme=dark')
    expect(await secondsLeft(at)).toBe(3600)
    await ann.go('/logout')
  })

  test('else for the option idle, and for no longer than ttl', async () => {
    const idle = await site(starts, { options: { idle: 500, limit: 1, onLimit: 'evict' } })
    const ann = new Browser(idle)
    await ann.go('/?user=ann')
    await ann.go('/?theme=dark')
    expect(await secondsLeft(idle)).toBe(500)
    await new Browser(idle).go('/?user=ann')
    expect(await idle.tokens.count('ann')).toBe(1)
    expect(await ann.go('/')).toEqual({})
    const ttl = await site(starts, { age: 3600, options: { ttl: 60 } })
    await new Browser(ttl).go('/?user=ann')
    expect(await secondsLeft(ttl)).toBe(60)
  })

  test('when Redis is down, nobody is taken for a stranger', async () => {
    const server = await startRedis()
    const down = await site(starts, { options: { redis: server.url, timeout: 200 } })
    try {
      const ann = new Browser(down)
      await ann.go('/?user=ann')
      const { cookie } = ann
      await server.stop()
      expect((await ann.open('/')).status).toBe(503)
      expect((await ann.open('/?theme=dark')).status).toBe(503)
      expect(ann.cookie).toBe(cookie)
    } finally {
      await server.stop()
    }
  })
}

async function secondsLeft({ tokens }: Site): Promise<number> {
  const [token] = await tokens.list('ann')
  return Math.round((token!.expires_at! - issuedAt(token!.id)!) / 1000)
}

/** What a store does whose framework keeps a session under a new sid. */
export function keepsRenewedSidsEnded(starts: Starts): void {
  const redis = client()

  test('a new sid for a session that was logged out meanwhile revives nothing', async () => {
    const at = await site(starts)
    for (const path of ['/renew', '/renew?theme=dark']) {
      const ann = new Browser(at)
      await ann.go('/?user=ann')
      await overtaken(at, [ann.twin()], path, () => ann.go('/logout'))
      expect(await names(redis, at.prefix)).toEqual({})
    }
    expect(await at.ask('/gone')).toHaveLength(1)
  })

  test.each([true, false])(
    'a login gets its new sid, whatever became of the session before (with owner: %p)',
    async (owned) => {
      const at = await site(starts, { ownerless: !owned })
      const ann = new Browser(at)
      await ann.go('/?theme=dark')
      const twin = ann.twin()
      await overtaken(at, [ann], '/renew?user=ann', () => twin.go('/renew?user=ann'))
      for (const browser of [ann, twin])
        expect(await browser.go('/')).toEqual({ theme: 'dark', user: 'ann' })
      expect(await at.tokens.count('ann')).toBe(owned ? 2 : 0)
    }
  )
}
