import { SessionStore } from '../../src/session/koa-session'
import { monitor } from '../driver/monitor'
import { client, closeAfterAll, freshPrefix, names, redisUrl } from '../support'
import { Browser, overtaken, site, type Site, type Starts } from './faces'
import { behaves, keepsRenewedSidsEnded } from './faces-suite'
import { start, type KoaStart } from './koa-site'

closeAfterAll()

const redis = client()

function starts(more: KoaStart['more']): Starts {
  return (given) => start({ ...given, more })
}

async function logIn(at: Site): Promise<Browser> {
  const ann = new Browser(at)
  await ann.go('/?user=ann')
  return ann
}

describe('a store for koa-session', () => {
  behaves(start, (cookie) => cookie.replace('sid=', ''))
  keepsRenewedSidsEnded(start)

  test.each(['rolling', 'renew'])('%s renews the cookie, and writes nothing', async (option) => {
    const at = await site(starts({ [option]: true }), { age: 3600 })
    const ann = await logIn(at)
    const watch = await monitor(redisUrl())
    const answer = await ann.open('/')
    expect(answer.headers.getSetCookie()).toHaveLength(1)
    expect(await answer.json()).toEqual({ user: 'ann' })
    expect(await watch.sent()).toHaveLength(1)
    watch.close()
  })

  test('what is stored is the session and its lifetime', async () => {
    const at = await site(start, { age: 60 })
    const ann = await logIn(at)
    const stored = async (): Promise<unknown> => (await at.tokens.list('ann'))[0]?.attrs
    expect(await stored()).toEqual({ user: 'ann', _maxAge: 60_000 })
    await ann.go('/?maxAge=7000')
    expect(await stored()).toEqual({ user: 'ann', _maxAge: 7000 })
    const [token] = await at.tokens.list('ann')
    expect(token!.expires_at! - token!.used_at!).toBe(7000)
    // 316 years is the most that there is.
    await ann.go('/?maxAge=10000000000000')
    expect(await stored()).toEqual({ user: 'ann', _maxAge: 10_000_000_000_000 })
    expect((await at.tokens.list('ann'))[0]!.expires_at).toBeGreaterThan(9_999_999_999_999)
    const session = await site(start)
    await logIn(session)
    expect((await session.tokens.list('ann'))[0]!.attrs).toEqual({ user: 'ann', _session: true })
  })

  test('an object in its place keeps its sid', async () => {
    const at = await site(start)
    const ann = await logIn(at)
    const { cookie } = ann
    await ann.go(`/?all=${encodeURIComponent('{"user":"bob","theme":"dark"}')}`)
    expect(ann.cookie).toBe(cookie)
    expect(await ann.go('/')).toEqual({ user: 'bob', theme: 'dark' })
    expect(await at.tokens.count('ann')).toBe(0)
  })

  test('one that the app finds invalid is followed by another', async () => {
    const at = await site(starts({ valid: (_ctx, { user }) => user !== 'ann' }))
    const ann = await logIn(at)
    const { cookie } = ann
    await ann.go('/?user=bob')
    expect(ann.cookie).not.toBe(cookie)
    expect(await ann.go('/')).toEqual({ user: 'bob' })
  })

  test('a request may end its session and put another in its place', async () => {
    const prefix = freshPrefix()
    const store = new SessionStore({ prefix, redis: redisUrl() })
    const request = { ctx: {} }
    await store.set('sid', { user: 'ann' }, 'session', request)
    await store.destroy('sid', request)
    await store.set('sid', { user: 'bob' }, 'session', request)
    expect(await store.get('sid', 'session', { ctx: {} })).toMatchObject({ user: 'bob' })
    await store.tokens.quit()
  })

  test('the session of a request that puts nothing into it is not stored', async () => {
    const at = await site(start)
    await new Browser(at).go('/')
    expect(await names(redis, at.prefix)).toEqual({})
  })

  test('a slow request writes nothing over an ended session that was replaced', async () => {
    const at = await site(start)
    const ann = await logIn(at)
    await overtaken(at, [ann.twin()], '/?all={"user":"ann"}', () => at.tokens.delOwner('ann'))
    expect(await names(redis, at.prefix)).toEqual({})
  })
})
