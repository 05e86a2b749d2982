import type { AnyRedisOptions, RedisClient } from './client'

/** A session token. `attrs` is what JSON carries of what was given. */
export interface Token<Attrs extends object = Record<string, unknown>> {
  /** The secret that a client presents. For the transport only. */
  key: string
  /**
   * The public handle, a UUID, for people and admin screens. Version 7: ids sort by time of
   * issue.
   */
  id: string
  /** Whoever the token was issued to. */
  owner_id: string
  attrs: Attrs
  /** Unix ms, by the clock of Redis. Only on a token that expires. */
  expires_at?: number
  /** Unix ms, by the clock of Redis: it was last used then or later. Only on one with `idle`. */
  used_at?: number
}

/**
 * A token as every method but `add`, `getKey`, `rotate` and `refresh` answers it: without its
 * key when only the key's digest is stored.
 */
export type StoredToken<Attrs extends object, Digest extends boolean> = Digest extends true
  ? Omit<Token<Attrs>, 'key'>
  : Token<Attrs>

/** What `add` takes. All times are seconds, to the millisecond. */
export interface NewToken<Attrs extends object = Record<string, unknown>> {
  owner_id: string
  /** A plain object that JSON can carry; `{}` when absent. */
  attrs?: Attrs | undefined
  /**
   * Forces a key, of exactly `size` characters, for instance to restore a lost database. With
   * `digest` it may have any length up to 4096, like the session ids of a framework.
   */
  key?: string | undefined
  /** Restores a token under its old id, a UUID in lower case. */
  id?: string | undefined
  /** Expires this long after issue. `null`: not by time of issue, whatever the store's default. */
  ttl?: number | null | undefined
  /** Expires this long after its last use. `null`: not by disuse, whatever the store's default. */
  idle?: number | null | undefined
  /** At most so many live tokens of this owner, this one included. */
  limit?: number | undefined
  /**
   * Over the limit: `'reject'` this token (a LimitError, the default), or `'evict'` those
   * that would expire first.
   */
  onLimit?: 'reject' | 'evict' | undefined
  /** Answer once so many replicas have the token. Default: the store's `replicas`. */
  replicas?: number | undefined
}

interface Evicting {
  /** With `onLimit: 'evict'`: the ids of the tokens that were revoked for this one. */
  evicted?: string[]
}

/** What `add` answers. */
export type AddedToken<Attrs extends object> = Token<Attrs> & Evicting

/** What `change` answers. */
export type ChangedToken<Attrs extends object, Digest extends boolean> = StoredToken<
  Attrs,
  Digest
> &
  Evicting

/** Some of an owner's tokens. */
export interface Page<T> {
  tokens: T[]
  /** Where the next page begins; null at the end. */
  cursor: string | null
}

export interface GetKeyOptions {
  /** Whether the call counts as a use. Default true. */
  touch?: boolean | undefined
  /** Whether to ask Redis, whatever the store's `cache`. Default false. */
  fresh?: boolean | undefined
}

export interface WriteOptions {
  /**
   * Answer once so many replicas have it, else reject with a ReplicationError. Default: the
   * store's `replicas`.
   */
  replicas?: number | undefined
}

export interface SetOptions<Attrs extends object = Record<string, unknown>> extends WriteOptions {
  /**
   * Only while the attrs are these, as another call resolved to them; else a ConflictError.
   * Their JSON is compared, as this library writes it, so the order of properties counts, and
   * what another program spelt otherwise is never the same (`update` takes it as it is).
   */
  from?: Attrs | undefined
}

/**
 * What `change` is to change: one of `owner_id`, `attrs`, `ttl` and `idle` at least. What is
 * absent stays as it is, whatever the store's defaults.
 */
export interface ChangeOptions<
  Attrs extends object = Record<string, unknown>
> extends SetOptions<Attrs> {
  /** Whose token it is from now on. */
  owner_id?: string | undefined
  /** Instead of the old ones. */
  attrs?: Attrs | undefined
  /** Seconds from now at which it expires. `null`: not by time of issue. */
  ttl?: number | null | undefined
  /** Seconds after its last use, from now on, at which it expires. `null`: not by disuse. */
  idle?: number | null | undefined
  /** With `owner_id`: at most so many live tokens of that owner, this one included. */
  limit?: number | undefined
  /**
   * Over the limit: `'reject'` the call (a LimitError, the default), or `'evict'` those of that
   * owner that would expire first.
   */
  onLimit?: 'reject' | 'evict' | undefined
}

export interface DelOwnerOptions extends WriteOptions {
  /** The id of a token to keep. */
  except?: string | undefined
  /** Whether the owner's hashes go as well, whatever `except`. Default false. */
  hashes?: boolean | undefined
}

export interface RotateOptions extends WriteOptions {
  /** Seconds for which the old key goes on opening the token. */
  grace?: number | undefined
  /**
   * Only while this is the token's key, and no other call has rotated it since; else a
   * ConflictError. A key within its grace is not.
   */
  from?: string | undefined
  /** Forces the new key, of a length as in `add`. */
  key?: string | undefined
}

export interface RefreshOptions extends WriteOptions {
  /**
   * Seconds for which the old key goes on opening the token, and being refreshed, since the
   * answer may have been lost. Default 10; null for none.
   */
  grace?: number | null | undefined
  /**
   * Seconds for which a key that was rotated out is recognised: to present it after its grace
   * is reuse. Longer than `grace`. Default 86400; null for none.
   */
  detect?: number | null | undefined
}

export interface PageOptions {
  /** At most so many, 1 to 1000. Default 100. */
  limit?: number | undefined
  /** From an earlier page; null or absent for the first. */
  cursor?: string | null | undefined
}

export interface HashOptions {
  /** Seconds. */
  ttl?: number | undefined
  /**
   * A name, e.g. `reset:user-7`: the hash made last under it is deleted, on a partitioned store
   * if it had the same `owner_id`, or none as well.
   */
  replaces?: string | undefined
  /** Whose hash it is: `delOwner` with `hashes` deletes it. */
  owner_id?: string | undefined
}

export interface CodeOptions {
  /** 4 to 12. Default 6. */
  digits?: number | undefined
  /** Seconds that the code lives, and that its name remembers the tries. Default 600. */
  ttl?: number | undefined
  /** How many wrong codes end it, 1 to 1000. Default 5. */
  tries?: number | undefined
  /** Seconds after the last code within which there is no other; at most `ttl`. */
  every?: number | undefined
  /** What the right code resolves to: anything that JSON can carry. Default null. */
  value?: unknown
}

/** What `tryCode` answers: what the code was made for, or how many tries are left. */
export type TriedCode<T = unknown> = { ok: true; value: T } | { ok: false; left: number }

/** How a store is set up. Everything is optional. */
export interface Config {
  /** What every name in Redis begins with. Default `token`. */
  prefix?: string | undefined
  /**
   * ioredis options, a `redis://` or `rediss://` URL, or an ioredis `Redis` or `Cluster` of
   * yours, which the store uses but never closes. Default `{ host: '127.0.0.1', port: 6379
   * }`.
   */
  redis?: AnyRedisOptions | RedisClient | string | undefined
  /** Characters of a key, 8 to 128. Default 24, which is 143.9 random bits. */
  size?: number | undefined
  /** Characters of a hash, 1 to 128. Default 8, which is 47.9 random bits. */
  hashSize?: number | undefined
  /** Seconds a hash lives unless `makeHash` says otherwise. Default 3600. */
  hashTtl?: number | undefined
  /** Seconds after issue at which a token expires, unless `add` says otherwise. Default: never. */
  ttl?: number | null | undefined
  /**
   * Seconds after its last use at which a token expires, unless `add` says otherwise. Default:
   * never.
   */
  idle?: number | null | undefined
  /**
   * With `idle`: a use is written once it moves the expiry by so many seconds. Default a tenth
   * of `idle`.
   */
  touchEvery?: number | undefined
  /** Keep only SHA-256 digests of keys and hashes in Redis. Default false. */
  digest?: boolean | undefined
  /**
   * Milliseconds within which Redis must have answered a command; `update`, `reset`, `each`,
   * `all`, `owners` and a `makeHash` that draws again send several. Default 2000.
   */
  timeout?: number | undefined
  /**
   * Spread the names over the masters of a cluster, by owner. Default: only on a `Cluster`,
   * for a prefix without a hash tag.
   */
  partitioned?: boolean | undefined
  /**
   * Writes of tokens, `takeHash` and `tryCode` are answered once so many replicas have them.
   * Default 0.
   */
  replicas?: number | undefined
  /** Send the `getKey` calls of one tick together. Default true. */
  batch?: boolean | undefined
  /**
   * Let `getKey` answer from memory while Redis tells what changes. `true` means the defaults.
   * Default false.
   */
  cache?: boolean | CacheOptions | undefined
}

export interface CacheOptions {
  /** Tokens kept, those used last; 1 to 1000000. Default 10000. */
  max?: number | undefined
  /**
   * Milliseconds, 10 to 60000: a revocation made elsewhere is seen no later, also when the
   * network is broken. Default 1000.
   */
  silence?: number | undefined
}
