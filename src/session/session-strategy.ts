import type { Session, SessionData, SessionIdStorageStrategy } from 'react-router'
import uid2 from 'uid2'
import * as check from '../check'
import type { Tokenstore } from '../main'
import type { HeldSession } from './held-session'
import { storedMaxAge, maxAgeUntil, type Lifetime } from './max-age'
import { Sessions, type SessionOptions } from './sessions'

const SID_SIZE = 24
/** An entry of a loaded session by which it is known again; not stored. */
const LOADED = '__loaded__'

export type Entries<Data, FlashData> = Session<Data, FlashData>['data'] & object

export type StrategyOptions<Data, FlashData> = SessionOptions<Entries<Data, FlashData>> & {
  /** Called with the id of a session that was to be saved, but had ended. */
  onGone?: ((id: string) => void) | undefined
}

export interface SessionStrategy<Data extends object, FlashData> extends Omit<
  SessionIdStorageStrategy<Data, FlashData>,
  'cookie'
> {
  tokens: Tokenstore<Entries<Data, FlashData>, true>
}

/** What `createSessionStorage` of React Router calls. */
export function sessionStrategy<Data extends object = SessionData, FlashData = Data>(
  given: StrategyOptions<Data, FlashData> = {}
): SessionStrategy<Data, FlashData> {
  type Stored = Entries<Data, FlashData>
  const { onGone = () => {}, ...options } = given
  if (typeof onGone !== 'function') check.fail('onGone', 'a function')
  const sessions = new Sessions<Stored>(options, storedMaxAge, onGone)
  const { tokens } = sessions
  const helds = new WeakMap<object, HeldSession<Stored>>()

  /** What was loaded as this data, under this very sid. */
  function heldAs(sid: string, data: object): HeldSession<Stored> | undefined {
    const held = helds.get((data as Marked)[LOADED] ?? data)
    return held?.sid === sid ? held : undefined
  }

  return {
    tokens,

    async createData(data, expires) {
      const sid = uid2(SID_SIZE)
      await sessions.create(sid).save(stored(data, expires))
      return sid
    },

    async readData(sid) {
      const held = await sessions.load(sid)
      if (held === null) return null
      const data: Stored & Marked = held.data
      delete data._maxAge
      data[LOADED] = Object.freeze({})
      helds.set(data[LOADED], held)
      return data
    },

    // Never creates: the client, or somebody who planted its cookie, may know the sid.
    async updateData(sid, data, expires) {
      const held = heldAs(sid, data) ?? (await sessions.load(sid))
      await held?.save(stored(data, expires))
    },

    async deleteData(sid) {
      await sessions.end(sid)
    }
  }
}

interface Marked extends Lifetime {
  [LOADED]?: object
}

/** Whether the data of a session is that of one which was loaded. */
export function isLoaded(data: object): boolean {
  return LOADED in data
}

function stored<Entries extends object>(data: Entries, expires?: Date): Entries {
  const _maxAge = expires && maxAgeUntil(expires)
  return { ...data, [LOADED]: undefined, _maxAge }
}
