import {
  createSessionStorage as createStorage,
  type SessionData,
  type SessionIdStorageStrategy,
  type SessionStorage
} from 'react-router'
import type { Tokenstore } from '../main'
import { isLoaded, sessionStrategy, type Entries, type StrategyOptions } from './session-strategy'

export type SessionStorageOptions<Data extends object, FlashData> = Pick<
  SessionIdStorageStrategy<Data, FlashData>,
  'cookie'
> &
  StrategyOptions<Data, FlashData>

export interface TokenSessionStorage<Data extends object, FlashData> extends SessionStorage<
  Data,
  FlashData
> {
  /** The sessions as tokens: to list, count and end those of an owner. */
  tokens: Tokenstore<Entries<Data, FlashData>, true>
}

/**
 * The `createSessionStorage` of React Router, on tokens. A session lives for the age of its
 * cookie, else for the option `idle`, after its last use. `commitSession` of one that has ended
 * since it was read writes nothing, and calls `onGone`.
 *
 * Renew the sid at login: `const session = await getSession()`, without the cookie of the
 * request, is a new one; `destroySession` ends that which the request brought.
 */
export function createSessionStorage<Data extends object = SessionData, FlashData = Data>({
  cookie,
  ...options
}: SessionStorageOptions<Data, FlashData> = {}): TokenSessionStorage<Data, FlashData> {
  const { tokens, ...strategy } = sessionStrategy<Data, FlashData>(options)
  const storage = createStorage<Data, FlashData>({ cookie, ...strategy })
  return {
    ...storage,
    tokens,
    // By itself it gives a session that has ended its old sid again, which no commit stores.
    async getSession(header, parsing) {
      const session = await storage.getSession(header, parsing)
      return isLoaded(session.data) ? session : storage.getSession()
    }
  }
}
