import { createCookie, createSessionStorage } from 'react-router'
import { createSessionStorage as createTokenStorage } from '../../src/session/react-router'
import { sessionStrategy, type SessionStrategy } from '../../src/session/session-strategy'
import { client, closeAfterAll, freshPrefix, names, redisUrl } from '../support'
import { closeLater } from '../support/close-after-all'
import { behaves } from './faces-suite'
import { start } from './react-router-site'

closeAfterAll()

const redis = client()
const cookie = createCookie('sid', { secrets: ['secret'] })

interface Data {
  user: string
  theme?: string
}

interface Opened {
  strategy: SessionStrategy<Data, { error: string }>
  prefix: string
  gone: string[]
}

const owner = ({ user }: Partial<Data>): string | undefined => user

function open(): Opened {
  const prefix = freshPrefix()
  const gone: string[] = []
  const onGone = (id: string): number => gone.push(id)
  const options = { prefix, redis: redisUrl(), owner, onGone }
  const strategy = sessionStrategy<Data, { error: string }>(options)
  closeLater(() => strategy.tokens.quit())
  return { strategy, prefix, gone }
}

describe('a storage for React Router', () => {
  behaves(start, (set) => {
    const [value] = decodeURIComponent(set.replace('sid=', '')).split('.')
    return JSON.parse(atob(value!)) as string
  })

  test('what is stored is the session and its lifetime', async () => {
    const { strategy } = open()
    const storage = createSessionStorage<Data, { error: string }>({ cookie, ...strategy })
    const stored = async (): Promise<unknown> => (await strategy.tokens.list('ann'))[0]?.attrs
    const created = await storage.getSession()
    created.set('user', 'ann')
    created.flash('error', 'oops')
    const header = await storage.commitSession(created)
    expect(await stored()).toEqual({ user: 'ann', __flash_error__: 'oops' })
    const session = await storage.getSession(header)
    expect(session.get('error')).toBe('oops')
    await storage.commitSession(session, { maxAge: 7 })
    expect(await stored()).toEqual({ user: 'ann', _maxAge: 7000 })
    expect(JSON.parse(JSON.stringify((await storage.getSession(header)).data))).toEqual({
      user: 'ann',
      __loaded__: {}
    })
    await storage.commitSession(session)
    expect(await stored()).toEqual({ user: 'ann' })
  })

  test('one whose cookie ends in the far future is stored', async () => {
    const { tokens } = open().strategy
    const storage = createTokenStorage<Data, { error: string }>({ cookie, tokens, owner })
    const session = await storage.getSession()
    session.set('user', 'ann')
    await storage.commitSession(session, { expires: new Date('9999-12-31') })
    const [token] = await tokens.list('ann')
    expect(token!.expires_at).toBeGreaterThan(9_999_999_999_999)
  })

  test('an update never creates, whatever brought the sid', async () => {
    const { strategy, prefix, gone } = open()
    const sid = await strategy.createData({ user: 'ann' })
    const loaded = (await strategy.readData(sid))!
    const [{ id } = { id: '' }] = await strategy.tokens.list('ann')
    await strategy.deleteData(sid)
    await strategy.updateData(sid, { ...loaded, theme: 'dark' })
    expect(gone).toEqual([id])
    await strategy.updateData(sid, { user: 'ann' })
    expect(await names(redis, prefix)).toEqual({})
  })

  test('data that was not loaded is written as it is, to its own sid', async () => {
    const { strategy } = open()
    const [ann, bob] = [
      await strategy.createData({ user: 'ann', theme: 'dark' }),
      await strategy.createData({ user: 'bob' })
    ]
    await strategy.updateData(ann, { user: 'ann' })
    expect((await strategy.tokens.list('ann'))[0]!.attrs).toEqual({ user: 'ann' })
    await strategy.updateData(bob, { ...(await strategy.readData(ann)), user: 'bob', theme: 'x' })
    expect((await strategy.tokens.list('ann'))[0]!.attrs).toEqual({ user: 'ann' })
    expect((await strategy.tokens.list('bob'))[0]!.attrs).toEqual({ user: 'bob', theme: 'x' })
  })

  test('the sid of an ended session is not used again', async () => {
    const { strategy } = open()
    const plain = createSessionStorage<Data, { error: string }>({ cookie, ...strategy })
    const options = { cookie, tokens: strategy.tokens, owner }
    const storage = createTokenStorage<Data, { error: string }>(options)
    const created = await storage.getSession()
    created.set('user', 'ann')
    const header = await storage.commitSession(created)
    expect((await storage.getSession(header)).id).toHaveLength(24)
    await strategy.tokens.delOwner('ann')
    expect((await plain.getSession(header)).id).toHaveLength(24)
    expect((await storage.getSession(header)).id).toBe('')
  })
})
