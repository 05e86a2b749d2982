import { SessionStore } from '../../src/session/hono-sessions'
import { client, closeAfterAll, freshPrefix, names, redisUrl } from '../support'
import { closeLater } from '../support/close-after-all'
import { Browser, program, site, type Site } from './faces'
import { behaves, keepsRenewedSidsEnded } from './faces-suite'

closeAfterAll()

const redis = client()
const starts = program('hono-site.ts')

async function stored({ tokens }: Site): Promise<unknown> {
  return (await tokens.list('ann'))[0]?.attrs
}

describe('a store for hono-sessions', () => {
  behaves(starts, (cookie) => cookie.replace('sid=', ''))
  keepsRenewedSidsEnded(starts)

  test('what is stored is what the app put into it, and its lifetime', async () => {
    const aged = await site(starts, { age: 60 })
    await new Browser(aged).go('/?user=ann')
    expect(await stored(aged)).toEqual({ user: 'ann', _maxAge: 60_000 })
    const at = await site(starts)
    const ann = new Browser(at)
    await ann.go('/?user=ann&theme=dark')
    expect(await stored(at)).toEqual({ user: 'ann', theme: 'dark' })
    await ann.go('/renew?forget=theme')
    expect(await stored(at)).toEqual({ user: 'ann' })
    expect(await ann.go('/')).toEqual({ user: 'ann' })
  })

  test('one that ends in the far future is stored', async () => {
    const prefix = freshPrefix()
    const store = new SessionStore({ prefix, redis: redisUrl() })
    closeLater(() => store.tokens.quit())
    const _expire = new Date('9999-12-31').toISOString()
    const _data = { user: { value: 'ann', flash: false } }
    await store.createSession('sid', { _data, _expire, _delete: false, _accessed: null })
    expect((await store.tokens.getKey('sid'))!.expires_at).toBeGreaterThan(9_999_999_999_999)
  })

  test('a flash entry is read once', async () => {
    const at = await site(starts)
    const ann = new Browser(at)
    await ann.go('/?user=ann&flash=hello')
    expect(await stored(at)).toEqual({ user: 'ann', __flash_flash__: 'hello' })
    expect(await ann.go('/?take=flash')).toEqual({ user: 'ann' })
    expect(await stored(at)).toEqual({ user: 'ann' })
  })

  test('a session with nothing in it is not stored, until something is', async () => {
    const at = await site(starts, { age: 60 })
    const ann = new Browser(at)
    await ann.go('/')
    await ann.go('/renew')
    expect(await names(redis, at.prefix)).toEqual({})
    const bob = new Browser(at)
    await bob.go('/renew?theme=dark')
    expect(await bob.go('/')).toEqual({ theme: 'dark' })
    await ann.go('/?theme=dark')
    await ann.go('/?forget=theme')
    expect(await ann.go('/')).toEqual({})
    expect(Object.keys(await names(redis, at.prefix))).not.toEqual([])
  })
})
