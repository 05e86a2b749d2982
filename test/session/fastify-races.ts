import type { SessionStore as Store } from '@fastify/session'
import type { FastifyRequest } from 'fastify'
import { Browser, fastifyApp } from './fastify-app'

/** A slow request with a session that another request ends meanwhile. */
interface Race {
  ended: 'logout' | 'regenerate'
  /** What it does before and after. */
  slow(request: FastifyRequest, ended: () => Promise<void>): Promise<void>
}

export const races: Record<string, Race> = {
  'only reads': {
    ended: 'logout',
    slow: (_, ended) => ended()
  },
  save: {
    ended: 'logout',
    async slow(request, ended) {
      await ended()
      request.session.n = 1
      await request.session.save()
    }
  },
  'save, and save again': {
    ended: 'logout',
    async slow({ session }, ended) {
      session.n = 1
      await session.save()
      await ended()
      session.n = 2
      await session.save()
    }
  },
  'reload, and save': {
    ended: 'logout',
    async slow(request, ended) {
      await request.session.reload()
      await ended()
      request.session.n = 1
    }
  },
  'reload in vain, and save': {
    ended: 'logout',
    async slow(request, ended) {
      const { user } = request.session
      await ended()
      await request.session.reload()
      request.session.user = user
    }
  },
  'regenerate, and save the old one': {
    ended: 'logout',
    async slow(request, ended) {
      const { session } = request
      await ended()
      await session.regenerate()
      await session.save()
    }
  },
  'regenerate with the user': {
    ended: 'logout',
    async slow(request, ended) {
      await ended()
      await request.session.regenerate(['user'])
    }
  },
  'empty it, and set the user': {
    ended: 'logout',
    async slow({ session }, ended) {
      await ended()
      clear(session)
      session.user = 'ann'
    }
  },
  'save after regenerate': {
    ended: 'regenerate',
    async slow(request, ended) {
      await ended()
      request.session.n = 1
    }
  }
}

/** Deletes all that a session has, the mark of the store as well. */
export function clear(session: FastifyRequest['session']): void {
  for (const name of Object.keys(session))
    if (name !== 'cookie') Reflect.deleteProperty(session, name)
}

interface Gate {
  opened: Promise<void>
  open: () => void
}

function gate(): Gate {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open }
}

/**
 * Runs a race so often, with two stores as of two processes, and answers how often the session
 * was there again, by its cookie or that of the slow request.
 */
export async function revivals(
  [store, elsewhere]: [Store, Store],
  race: Race,
  rounds: number
): Promise<number> {
  const [app, other] = [fastifyApp(store), fastifyApp(elsewhere)]
  const underWay = new Map<string, { loaded: () => void; ended: Promise<void> }>()
  app.get('/login', async ({ session }) => {
    session.user = 'ann'
    return ''
  })
  other.get('/logout', async ({ session }) => {
    await session.destroy()
    return ''
  })
  other.get('/regenerate', async ({ session }) => {
    await session.regenerate(['user'])
    return ''
  })
  app.get('/who', async ({ session }) => session.user ?? '')
  app.get('/slow', async (request) => {
    const { loaded, ended } = underWay.get(request.session.sessionId)!
    await race.slow(request, () => {
      loaded()
      return ended
    })
    return ''
  })

  const [address, otherAddress] = [await app.listen(), await other.listen()]
  const run = async (): Promise<number> => {
    const browser = new Browser(address)
    await browser.get('/login')
    const { cookie, sid } = browser
    const [loaded, ended] = [gate(), gate()]
    underWay.set(sid, { loaded: loaded.open, ended: ended.opened })
    const slow = new Browser(address, cookie)
    const answer = slow.get('/slow')
    await loaded.opened
    await new Browser(otherAddress, cookie).get(`/${race.ended}`)
    ended.open()
    expect((await answer).status).toBe(200)
    underWay.delete(sid)
    const found = [await new Browser(address, cookie).get('/who'), await slow.get('/who')]
    return found.some(({ body }) => body === 'ann') ? 1 : 0
  }

  return sum(await inBatches(rounds, 50, run))
}

const FIELDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']

/** Requests that each write a field of one session at once; answers how many writes were lost. */
export async function lostUpdates(store: Store, rounds: number): Promise<number> {
  const app = fastifyApp(store)
  app.get('/', async ({ session }) => session)
  app.get<{ Params: { name: string } }>('/set/:name', async ({ params, session }) => {
    Object.assign(session, { [params.name]: 'set' })
    return ''
  })
  const address = await app.listen()
  const run = async (): Promise<number> => {
    const browser = new Browser(address)
    await browser.get('/')
    await Promise.all(
      FIELDS.map((name) => new Browser(address, browser.cookie).get(`/set/${name}`))
    )
    const kept = JSON.parse((await browser.get('/')).body) as Record<string, unknown>
    return FIELDS.filter((name) => kept[name] !== 'set').length
  }
  return sum(await inBatches(rounds, 10, run))
}

/** Runs rounds, so many of them at once. */
async function inBatches(
  rounds: number,
  size: number,
  run: () => Promise<number>
): Promise<number[]> {
  const results: number[] = []
  while (results.length < rounds) {
    const left = Math.min(size, rounds - results.length)
    results.push(...(await Promise.all(Array.from({ length: left }, run))))
  }
  return results
}

const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0)
