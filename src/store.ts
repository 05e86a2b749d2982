import { createHash } from 'node:crypto'
import { bindMethods } from './bind-methods'
import { takeCallbacks, type Callback } from './callbacks'
import * as check from './check'
import { readConfig, type Settings } from './config'
import { Connection } from './connection'
import { ConflictError, TokenstoreError } from './errors'
import { KeyReader } from './key-reader'
import { readNewToken } from './new-token'
import { attrsText, decode, parse, triples, type Triple } from './record'
import { reset } from './reset'
import { sleep } from './timers'
import type * as types from './types'
import type { Page, StoredToken, Token } from './types'

// A hash that is taken is drawn again: with the default size never, with hashSize 1 soon.
const HASH_DRAWS = 100
// A try fails when another writer's succeeds, so this many writers at once are served.
const UPDATE_TRIES = 100
const PAGE = 100

type Args = (string | number)[]

/** Session tokens on Redis. Each method is one atomic script, unless its comment says otherwise. */
export class Store<Attrs extends object, Digest extends boolean> {
  readonly #settings: Settings
  readonly #connection: Connection
  readonly #reader: KeyReader

  constructor(config: types.Config = {}) {
    this.#settings = readConfig(config)
    const { redis, timeout, batch } = this.#settings
    this.#connection = new Connection(redis, timeout)
    this.#reader = new KeyReader(this.#connection, batch)
    bindMethods(this, Store.prototype)
  }

  /**
   * Issues a token: its record, the id index and the owner's entry are written together,
   * within the owner's limit. The same key and id again resolves to the stored token and
   * writes nothing, so that a call may be retried. A forced id is opened by a key of its
   * earlier life that is still within its grace.
   * @throws KeyTakenError when the key is in use, or the id has another key; nothing is
   * written
   * @throws LimitError when `limit` is reached and `onLimit` is `'reject'`; nothing is
   * written
   */
  async add(token: types.NewToken<Attrs>): Promise<types.AddedToken<Attrs>> {
    const { root, key, id, args } = readNewToken(token, this.#settings)
    const replicas = this.#confirmedBy(token.replicas)
    const given = [this.#stored(key), id, ...args]
    const reply = await this.#connection.run('add', root, given, replicas)
    const [, record, expires_at, ...evicted] = reply as [...Triple, ...string[]]
    const added: types.AddedToken<Attrs> = decode<Attrs>([key, record, expires_at])
    if (token.onLimit === 'evict') added.evicted = evicted
    return added
  }

  /**
   * The token that a key opens, or null, also for what is no text at all. The call counts as
   * a use of it, which moves the expiry of a token with `idle`, unless `touch` is false. Calls
   * of one tick go together, up to 32 in a command.
   */
  async getKey(key: unknown, options?: types.GetKeyOptions): Promise<Token<Attrs> | null> {
    const { touch = true } = check.options<types.GetKeyOptions>('options', options, ['touch'])
    const use = check.boolean('touch', touch) ? 'TOUCH' : 'PEEK'
    if (!check.isSecret(key)) return null
    const root = this.#settings.layout.keyRoot(key)
    if (root === null) return null
    const [record, expires_at] = await this.#reader.read(root, use, this.#stored(key))
    return record === null ? null : decode<Attrs>([key, record, expires_at])
  }

  /** The token of an id, or null. Not a use of it. */
  async get(id: string): Promise<StoredToken<Attrs, Digest> | null> {
    return this.#token(await this.#byId('get', id, [], 0))
  }

  /** Replaces the attrs and resolves to the token; to null, nothing written, when it is gone. */
  async set(
    id: string,
    attrs: Attrs,
    options?: types.WriteOptions
  ): Promise<StoredToken<Attrs, Digest> | null> {
    const args = [check.attrs('attrs', attrs)]
    return this.#token(await this.#byId('set', id, args, this.#replicasOf(options)))
  }

  /**
   * Replaces the attrs of a token by what `change` makes of them, so that no concurrent
   * update is lost: when another writer was faster, `change` runs again, on the newer
   * attrs. Resolves to the token, or to null when it is gone. Two scripts a try, up to 100
   * tries.
   * @throws ConflictError when other writers were faster every time; nothing is written
   */
  async update(
    id: string,
    change: (attrs: Attrs) => Attrs | Promise<Attrs>
  ): Promise<StoredToken<Attrs, Digest> | null> {
    if (typeof change !== 'function')
      check.fail('change', 'a function from the old attrs to the new')
    for (let tries = 1; ; tries++) {
      const old = await this.#byId('get', id, [], 0)
      if (!old) return null
      const attrs = check.attrs('the result of change', await change(decode<Attrs>(old).attrs))
      try {
        const args = [attrs, 'IF', attrsText(old[1])]
        return this.#token(await this.#byId('set', id, args, this.#settings.replicas))
      } catch (error) {
        if (!(error instanceof ConflictError) || tries === UPDATE_TRIES) throw error
      }
      // Spreads out the writers that would meet again.
      await sleep(Math.random() * Math.min(tries, 20))
    }
  }

  /**
   * Revokes the token of an id. False when there was none. Once resolved, no write that
   * began earlier revives it.
   */
  async del(id: string, options?: types.WriteOptions): Promise<boolean> {
    const replicas = this.#replicasOf(options)
    const root = this.#settings.layout.idRoot(check.text('id', id))
    if (root === null) return false
    return isOne(await this.#connection.run('del', root, [id], replicas))
  }

  /** Revokes the token that a key opens. False when there was none. */
  async delKey(key: unknown, options?: types.WriteOptions): Promise<boolean> {
    const replicas = this.#replicasOf(options)
    if (!check.isSecret(key)) return false
    const root = this.#settings.layout.keyRoot(key)
    if (root === null) return false
    return isOne(await this.#connection.run('delkey', root, [this.#stored(key)], replicas))
  }

  /**
   * Revokes every token of an owner, or all but the one with the id `except`, and resolves
   * to how many. An id that is not a live token of this owner keeps nothing. A concurrent
   * `add` is revoked and counted, or happens after. Hashes stay.
   */
  async delOwner(owner_id: string, options?: types.DelOwnerOptions): Promise<number> {
    const known = ['except', 'replicas'] as const
    const { except, replicas } = check.options<types.DelOwnerOptions>('options', options, known)
    const root = this.#settings.layout.ownerRoot(check.text('owner_id', owner_id))
    const args = [owner_id]
    if (except !== undefined) args.push('EXCEPT', check.text('except', except))
    return Number(await this.#connection.run('delowner', root, args, this.#confirmedBy(replicas)))
  }

  /**
   * The live tokens of an owner: all of them in order of issue, or with options a page of
   * at most `limit` (100 when absent, up to 1000), in the order in which they expire.
   * Whoever goes on from `cursor` until it is null misses no token that lives through the
   * walk; a token used meanwhile may come again. A page may hold fewer than `limit`.
   */
  list(owner_id: string, options?: undefined): Promise<StoredToken<Attrs, Digest>[]>
  list(owner_id: string, options: types.PageOptions): Promise<Page<StoredToken<Attrs, Digest>>>
  async list(owner_id: string, options?: types.PageOptions): Promise<unknown> {
    const root = this.#settings.layout.ownerRoot(check.text('owner_id', owner_id))
    const args: Args = [owner_id]
    if (options !== undefined) {
      const known = ['limit', 'cursor'] as const
      const page = check.options<types.PageOptions>('options', options, known)
      const { limit = PAGE, cursor = null } = page
      args.push('COUNT', check.integer('limit', limit, 1, 1000))
      if (cursor !== null) args.push('AFTER', check.cursor('cursor', cursor))
    }
    const reply = await this.#connection.run('list', root, args)
    const [cursor, ...rest] = reply as [string, ...unknown[]]
    const tokens = triples(rest).map((triple) => this.#token(triple))
    if (options !== undefined) return { tokens, cursor: cursor === '' ? null : cursor }
    return tokens.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** Walks the pages of `list` and yields every token that lives through the walk exactly once. */
  async *each(owner_id: string): AsyncGenerator<StoredToken<Attrs, Digest>, void, undefined> {
    const seen = new Set<string>()
    let cursor: string | null = null
    do {
      const page: Page<StoredToken<Attrs, Digest>> = await this.list(owner_id, { cursor })
      for (const token of page.tokens) {
        if (seen.has(token.id)) continue
        seen.add(token.id)
        yield token
      }
      cursor = page.cursor
    } while (cursor !== null)
  }

  /** How many live tokens an owner has. */
  async count(owner_id: string): Promise<number> {
    const root = this.#settings.layout.ownerRoot(check.text('owner_id', owner_id))
    return Number(await this.#connection.run('count', root, [owner_id]))
  }

  /**
   * Gives a token a new key; id, attrs and lifetime stay. Resolves to it with that key, or
   * to null when it is gone. The old key is dead at once, or with `grace` goes on opening
   * the token for so many seconds.
   * @throws ConflictError when `from` is given and not its key; nothing is written
   */
  async rotate(id: string, options?: types.RotateOptions): Promise<Token<Attrs> | null> {
    const known = ['grace', 'from', 'replicas'] as const
    const { grace, from, replicas } = check.options<types.RotateOptions>('options', options, known)
    const { layout, size } = this.#settings
    const root = layout.idRoot(check.text('id', id))
    if (root === null) return null
    const key = layout.newKey(root, size)
    const args: Args = [id, this.#stored(key)]
    if (grace !== undefined) args.push('GRACE', check.seconds('grace', grace))
    if (from !== undefined) args.push('IF', this.#stored(check.text('from', from)))
    const reply = await this.#connection.run('rotate', root, args, this.#confirmedBy(replicas))
    const triple = reply as Triple | null
    return triple && decode<Attrs>([key, triple[1], triple[2]])
  }

  /**
   * Keeps a JSON value for a while and resolves to the hash that finds it. `ttl` is
   * seconds, `hashTtl` when absent. With `replaces`, the hash made last under that name is
   * deleted in the same step.
   */
  async makeHash(value: unknown, options?: number | types.HashOptions): Promise<string> {
    const { layout, hashSize, hashTtl } = this.#settings
    const given = typeof options === 'object' ? options : { ttl: options }
    const known = ['ttl', 'replaces'] as const
    const { ttl, replaces } = check.options<types.HashOptions>('options', given, known)
    const args: Args = [
      check.json('value', value),
      ttl === undefined ? hashTtl : check.seconds('ttl', ttl)
    ]
    if (replaces !== undefined) args.push('REPLACES', check.text('replaces', replaces))
    for (let draws = 0; draws < HASH_DRAWS; draws++) {
      const hash = layout.newHash(hashSize, replaces)
      const root = layout.hashRoot(hash)!
      if (isOne(await this.#connection.run('makehash', root, [this.#stored(hash), ...args])))
        return hash
    }
    throw new TokenstoreError(
      'TSHASHES',
      `makeHash: ${HASH_DRAWS} hashes drawn were all taken; hashSize is too small`
    )
  }

  // A mapped type does not carry a type parameter on to the callback, so these two say it
  // themselves.

  getHash<T = unknown>(hash: unknown, callback: Callback<T | null>): void
  /**
   * The value that a hash finds, or null. Changes nothing, so that a mail scanner may open
   * the link.
   */
  getHash<T = unknown>(hash: unknown): Promise<T | null>
  async getHash(hash: unknown): Promise<unknown> {
    return this.#value('gethash', hash, 0)
  }

  takeHash<T = unknown>(hash: unknown, callback: Callback<T | null>): void
  takeHash<T = unknown>(
    hash: unknown,
    options: types.WriteOptions | undefined,
    callback: Callback<T | null>
  ): void
  /**
   * The value that a hash finds, or null. Deletes the hash: of any number of callers exactly
   * one gets the value.
   */
  takeHash<T = unknown>(hash: unknown, options?: types.WriteOptions): Promise<T | null>
  async takeHash(hash: unknown, options?: unknown): Promise<unknown> {
    return this.#value('takehash', hash, this.#replicasOf(options))
  }

  /** Deletes a hash and its value. False when there was none. */
  async delHash(hash: unknown): Promise<boolean> {
    if (!check.isSecret(hash)) return false
    const root = this.#settings.layout.hashRoot(hash)
    return root !== null && isOne(await this.#connection.run('delhash', root, [this.#stored(hash)]))
  }

  /**
   * Revokes every token and deletes every hash of this store, and nothing else, and resolves
   * to how many that were. It walks in short steps, each of which revokes its tokens whole; what
   * is added meanwhile may stay.
   */
  async reset(): Promise<number> {
    return reset(this.#connection, this.#settings.layout)
  }

  /**
   * Closes the connection if the store opened it, once what was sent is answered. Calls
   * after it reject.
   */
  async quit(): Promise<void> {
    this.#reader.flush()
    await this.#connection.close()
  }

  /** What of a key or a hash Redis gets to see. */
  #stored(secret: string): string {
    return this.#settings.digest ? createHash('sha256').update(secret).digest('base64url') : secret
  }

  #token(triple: Triple): StoredToken<Attrs, Digest>
  #token(triple: Triple | null): StoredToken<Attrs, Digest> | null
  #token(triple: Triple | null): StoredToken<Attrs, Digest> | null {
    if (triple === null) return null
    const token: Partial<Token<Attrs>> = decode<Attrs>(triple)
    if (this.#settings.digest) delete token.key
    return token as StoredToken<Attrs, Digest>
  }

  #replicasOf(options: unknown): number {
    return this.#confirmedBy(
      check.options<types.WriteOptions>('options', options, ['replicas']).replicas
    )
  }

  #confirmedBy(replicas: unknown): number {
    return replicas === undefined
      ? this.#settings.replicas
      : check.integer('replicas', replicas, 0, 100)
  }

  async #byId(
    script: 'get' | 'set',
    id: string,
    args: string[],
    replicas: number
  ): Promise<Triple | null> {
    const root = this.#settings.layout.idRoot(check.text('id', id))
    if (root === null) return null
    return (await this.#connection.run(script, root, [id, ...args], replicas)) as Triple | null
  }

  async #value(script: 'gethash' | 'takehash', hash: unknown, replicas: number): Promise<unknown> {
    if (!check.isSecret(hash)) return null
    const root = this.#settings.layout.hashRoot(hash)
    if (root === null) return null
    const value = (await this.#connection.run(script, root, [this.#stored(hash)], replicas)) as
      string | null
    return value === null ? null : parse('the value of a hash', value)
  }
}

// The function that update takes is no callback.
takeCallbacks(Store.prototype, { update: 2 })

function isOne(reply: unknown): boolean {
  return Number(reply) === 1
}
