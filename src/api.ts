import type { Callback, WithCallbacks } from './callbacks'
import * as check from './check'
import { Store } from './store'
import type { Config, Token } from './types'

// What tokenstore 0.0.4 made: crypto.randomBytes(8) in hex.
const HASH_SIZE = 16

/**
 * The facade for code written against tokenstore 0.0.4: callbacks only, `setAttrs`, `false`
 * for not found, hashes of 16 characters, and the object given to `add` filled in.
 */
export interface Api {
  /** Issues a token and fills in `key` and `id` of the object given, which is also the result. */
  add(
    token: { owner_id: string; attrs?: object | undefined; key?: string | undefined },
    done: Callback<Token>
  ): void
  getKey(key: unknown, done: Callback<Token | false>): void
  get(id: string, done: Callback<Token | false>): void
  set(id: string, attrs: object, done: Callback<Token | false>): void
  setAttrs(id: string, attrs: object, done: Callback<Token | false>): void
  del(id: string, done: Callback<boolean>): void
  delKey(key: unknown, done: Callback<boolean>): void
  list(owner_id: string, done: Callback<Token[]>): void
  /**
   * Numbers and booleans come back as strings, as they did; objects come back as objects,
   * which they did not.
   */
  makeHash(value: unknown, done: Callback<string>): void
  /** `ttl` in seconds. 0.0.4 took it and kept every hash for an hour. */
  makeHash(value: unknown, ttl: number, done: Callback<string>): void
  getHash(hash: unknown, done: Callback<unknown>): void
  delHash(hash: unknown, done: Callback<boolean>): void
  reset(done: Callback<number>): void
  quit(done: Callback<void>): void
}

/** A store with the methods of tokenstore 0.0.4, on the data of this version. */
export function api(config: Config = {}): Api {
  check.plain('config', config)
  const { hashSize = HASH_SIZE } = config
  type Attrs = Record<string, unknown>
  const store = new Store<Attrs, false>({
    ...config,
    hashSize
  }) as unknown as WithCallbacks<Store<Attrs, false>>
  const orFalse =
    <T>(done: Callback<T | false>) =>
    (error: Error | null, result?: T | null): void =>
      error ? done(error) : done(null, result ?? false)
  const set: Api['set'] = (id, attrs, done) => store.set(id, attrs as Attrs, orFalse(done))
  return {
    add: (token, done) => {
      // What is no object fails in the callback.
      const { owner_id, attrs, key } = Object(token) as typeof token
      store.add({ owner_id, attrs: attrs as Attrs, key }, (error, added) =>
        error ? done(error) : done(null, Object.assign(token, added))
      )
    },
    getKey: (key, done) => store.getKey(key, orFalse(done)),
    get: (id, done) => store.get(id, orFalse(done)),
    set,
    setAttrs: set,
    del: (id, done) => store.del(id, done),
    delKey: (key, done) => store.delKey(key, done),
    list: (owner_id, done) => store.list(owner_id, done),
    makeHash: (value: unknown, ttl: unknown, done?: Callback<string>) => {
      const kept = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value
      if (typeof ttl === 'function') store.makeHash(kept, ttl as Callback<string>)
      else store.makeHash(kept, ttl as number, done!)
    },
    getHash: (hash, done) => store.getHash(hash, orFalse(done)),
    delHash: (hash, done) => store.delHash(hash, done),
    reset: (done) => store.reset(done),
    quit: (done) => store.quit(done)
  }
}
