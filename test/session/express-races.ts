import { RedisStore } from 'connect-redis'
import type { SessionOptions, Store } from 'express-session'
import { createClient } from 'redis'
import { freshPrefix, redisUrl } from '../support'
import { closeLater } from '../support/close-after-all'
import { done, gate, site, type Visited } from './express-site'

type Page = (request: Visited) => unknown

/** What a request does that has loaded its session, around a logout by another request. */
interface Race {
  before?: Page
  after?: Page
  logout?: Page
  options?: Partial<SessionOptions>
}

const destroy: Page = ({ session }) => done((then) => session.destroy(then))
const regenerate: Page = ({ session }) => done((then) => session.regenerate(then))
const reload: Page = ({ session }) => done((then) => session.reload(then))
const change: Page = ({ session }) => {
  session.seen = true
}

export const RACES: Record<string, Race> = {
  save: { after: change },
  touch: {},
  'save unchanged (resave)': { options: { resave: true } },
  'reload, then save': { before: reload, after: change },
  'save, reload failed': {
    after: async (request) => {
      await expect(reload(request)).rejects.toThrow('failed to load session')
      change(request)
    }
  },
  regenerate: { after: regenerate },
  'regenerate, the data kept': {
    after: async (request) => {
      const { name } = request.session
      await regenerate(request)
      request.session.name = name
    }
  },
  'save, logout by regenerate': { after: change, logout: regenerate }
}

const LANES = 8

async function inLanes(rounds: number, round: (n: number) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < rounds) await round(next++)
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

/** Whose session it is in a race. */
export const owner = (session: object): string | undefined => (session as { name?: string }).name

/** How often a session that was logged out is back, by its cookie or that of the slow request. */
export async function revived(store: Store, race: Race, rounds: number): Promise<number> {
  const { before = () => {}, after = () => {}, logout = destroy, options } = race
  const { browser, errors } = await site(store, options)
  let found = 0
  await inLanes(rounds, async () => {
    const ann = browser()
    await ann.visit(({ session }) => {
      session.name = 'Ann'
    })
    const { cookie } = ann
    const hold = gate()
    const slow = browser(cookie)
    const visited = slow.visit(async (request) => {
      await before(request)
      await hold.pass()
      await after(request)
    })
    await hold.reached()
    await ann.visit(logout)
    hold.open()
    expect(await visited).toMatchObject({ status: 200 })
    const name: Page = ({ session }) => session.name
    const names = [await browser(cookie).visit(name), await slow.visit(name)]
    if (names.some(({ body }) => body === 'Ann')) found++
  })
  expect(errors).toEqual([])
  return found
}

const WRITERS = 8

/** How many of the fields that requests wrote at once are not as they were written. */
export async function lost(store: Store, rounds: number): Promise<number> {
  const { browser } = await site(store)
  const fields = Array.from({ length: WRITERS }, (_, n) => `field ${n}`)
  let missing = 0
  await inLanes(rounds, async (n) => {
    const ann = browser()
    await ann.visit(({ session }) => {
      session.name = 'Ann'
    })
    const hold = gate()
    const writes = fields.map((field) =>
      ann.visit(async ({ session }) => {
        await hold.pass()
        session[field] = n
      })
    )
    await hold.reached(WRITERS)
    hold.open()
    await Promise.all(writes)
    await ann.visit(({ session }) => {
      missing += fields.filter((field) => session[field] !== n).length
    })
  })
  return missing
}

/** The store that most apps have, to see that a race is one. */
export async function connectRedis(): Promise<Store> {
  const redis = createClient({ url: redisUrl() })
  await redis.connect()
  closeLater(async () => redis.destroy())
  return new RedisStore({ client: redis, prefix: `${freshPrefix()}:` })
}
