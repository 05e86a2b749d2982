/** What keeps the sessions of one and the same Express app. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { MemoryStore, type Store } from 'express-session'
import type * as Own from '../../../src/session/express-session'
import { root } from '../paths'

export const STORES = [
  'no session',
  'MemoryStore',
  'connect-redis',
  'tokenstore',
  'tokenstore, cache'
] as const
export type StoreName = (typeof STORES)[number]

/** Undefined for the app that has no sessions at all. */
export async function openStore(name: StoreName, url: string): Promise<Store | undefined> {
  switch (name) {
    case 'no session':
      return undefined
    case 'MemoryStore':
      return new MemoryStore()
    case 'connect-redis': {
      const { RedisStore } = await import('connect-redis')
      const { createClient } = await import('redis')
      const client = createClient({ url })
      await client.connect()
      return new RedisStore({ client })
    }
    case 'tokenstore':
      return ownStore({ redis: url, prefix: 'plain' })
    case 'tokenstore, cache':
      return ownStore({ redis: url, prefix: 'cached', cache: true })
  }
}

/** As it was built. */
function ownStore(options: Own.SessionStoreOptions): Store {
  const built = join(root, 'dist', 'session', 'express-session.js')
  const { SessionStore } = createRequire(__filename)(built) as typeof Own
  return new SessionStore({ ...options, owner: userOf })
}

/** What the app keeps in a session. */
export interface Data {
  user: { id: string; name: string; roles: string[] }
  csrf: string
  visits: number
}

function userOf(session: object): string | undefined {
  return (session as Partial<Data>).user?.id
}
