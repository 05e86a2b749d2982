import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { KeyReader } from './batch'
import { withCallback } from './callback'
import * as check from './check'
import { ConflictError, TokenstoreError } from './errors'
import { partitioned, singleRoot, type Layout } from './layout'
import { attrsText, decode, parse, triples, type Triple } from './record'
import { Connection, isClient, isCluster, keyPrefixOf, type Node } from './redis'
import type { AddedToken, Callback, Config, NewToken, Page, StoredToken, Token } from './types'

// A hash is drawn again when it is taken; with the default size that never happens, with hashSize 1 it soon does.
const HASH_DRAWS = 100
// Each try that fails means that another writer's succeeded, so this many writers at once are served.
const UPDATE_TRIES = 100
const PAGE = 100
// What lua/add.lua takes.
const MAX_KEY_BYTES = 256
// Of names in Redis, per SCAN and per script, so that neither holds Redis for more than two or three milliseconds. The sets of
// owners with ten tokens each that are found among 600 names go in one call.
const SCAN_COUNT = 600
const RESET_NAMES = 250

export interface WriteOptions {
  /** Answer once so many replicas have it, else reject with a ReplicationError. Default: the store's `replicas`. */
  replicas?: number
}

export interface DelOwnerOptions extends WriteOptions {
  /** The id of a token to keep. */
  except?: string
}

export interface RotateOptions extends WriteOptions {
  /** Seconds for which the old key goes on opening the token. */
  grace?: number
}

export interface PageOptions {
  /** At most so many, 1 to 1000. Default 100. */
  limit?: number
  /** From an earlier page; null or absent for the first. */
  cursor?: string | null
}

export interface HashOptions {
  /** Seconds. */
  ttl?: number
  /** A name, e.g. `reset:user-7`: the hash made last under it ends. */
  replaces?: string
}

/** A store of session tokens on Redis. Each method is one atomic script, but where its comment says otherwise. */
export class Store<Attrs extends object, Digest extends boolean> {
  readonly #connection: Connection
  readonly #reader: KeyReader
  readonly #layout: Layout
  readonly #size: number
  readonly #hashSize: number
  readonly #hashTtl: number
  readonly #ttl: number | null
  readonly #idle: number | null
  readonly #touchEvery: number | null
  readonly #digest: boolean
  readonly #replicas: number

  constructor(config: Config = {}) {
    check.options('config', config, [
      'prefix',
      'redis',
      'size',
      'hashSize',
      'hashTtl',
      'ttl',
      'idle',
      'touchEvery',
      'digest',
      'timeout',
      'batch',
      'partitioned',
      'replicas'
    ])
    const { prefix = 'token', redis = {}, size = 24, hashSize = 8, hashTtl = 3600, digest = false } = config
    const { touchEvery, timeout = 2000, batch = true, replicas = 0 } = config
    check.text('prefix', prefix)
    if (/:(key|id|tokens|hash|latest)(:|$)/.test(prefix)) {
      check.fail('prefix', 'free of the parts key, id, tokens, hash and latest, which name the data of a store')
    }
    this.#size = check.integer('size', size, 8, 128)
    this.#hashSize = check.integer('hashSize', hashSize, 1, 128)
    this.#hashTtl = check.seconds('hashTtl', hashTtl)
    this.#ttl = check.lifetime('ttl', config.ttl, null)
    this.#idle = check.lifetime('idle', config.idle, null)
    this.#touchEvery = touchEvery === undefined ? null : check.seconds('touchEvery', touchEvery)
    if (this.#idle && this.#touchEvery && this.#touchEvery > this.#idle) check.fail('touchEvery', 'at most idle')
    this.#digest = check.boolean('digest', digest)
    this.#replicas = check.integer('replicas', replicas, 0, 100)
    check.integer('timeout', timeout, 1, 2 ** 31 - 1)
    check.boolean('batch', batch)
    const url = typeof redis === 'string' && /^rediss?:\/\//.test(redis)
    if (!url && !check.isPlain(redis) && !isClient(redis)) {
      check.fail('redis', 'ioredis options, a redis:// or rediss:// URL, or an ioredis client')
    }
    this.#layout = this.#layoutOf(prefix, redis, config.partitioned)
    this.#connection = new Connection(redis, timeout)
    this.#reader = new KeyReader(this.#connection, batch)
  }

  add(token: NewToken<Attrs>, callback: Callback<AddedToken<Attrs>>): void
  /**
   * Issues a token: its record, the id index and the owner's entry are written together, within the owner's limit.
   * The same key and id again answers the stored token and writes nothing, so that a call may be retried.
   * @throws KeyTakenError when the key belongs to another id, or the id to another key; nothing is written
   * @throws LimitError when `limit` is reached and `onLimit` is `'reject'`; nothing is written
   */
  add(token: NewToken<Attrs>): Promise<AddedToken<Attrs>>
  async add(token: NewToken<Attrs>): Promise<AddedToken<Attrs>> {
    check.object('token', token, ['owner_id', 'attrs', 'key', 'id', 'ttl', 'idle', 'limit', 'onLimit', 'replicas'])
    const owner_id = check.text('owner_id', token.owner_id)
    const attrs = check.attrs('attrs', token.attrs === undefined ? {} : token.attrs)
    const ttl = check.lifetime('ttl', token.ttl, this.#ttl)
    const idle = check.lifetime('idle', token.idle, this.#idle)
    const { limit, onLimit = 'reject' } = token
    if (onLimit !== 'reject' && onLimit !== 'evict') check.fail('onLimit', "'reject' or 'evict'")
    if (token.onLimit !== undefined && limit === undefined) check.fail('limit', 'given together with onLimit')
    const root = this.#layout.ownerRoot(owner_id)
    const key = token.key === undefined ? this.#layout.newKey(root, this.#size) : this.#forced(token.key)
    const id = token.id === undefined ? this.#layout.newId(root) : check.uuid('id', token.id)
    if (this.#layout.keyRoot(key) !== root) check.fail('key', 'one once issued to this owner: it carries another tag')
    if (this.#layout.idRoot(id) !== root) check.fail('id', 'one once issued to this owner: it carries another tag')

    const args: (string | number)[] = [this.#stored(key), id, owner_id, attrs]
    if (ttl !== null) args.push('TTL', ttl)
    if (idle !== null) args.push('IDLE', idle)
    if (idle !== null && this.#touchEvery !== null) {
      if (this.#touchEvery > idle) check.fail('idle', "at least the store's touchEvery")
      args.push('EVERY', this.#touchEvery)
    }
    if (limit !== undefined) args.push('LIMIT', check.integer('limit', limit, 1, 1e9), onLimit.toUpperCase())

    const replicas = this.#confirmedBy(token.replicas)
    const reply = (await this.#connection.run('add', root, args, replicas)) as unknown[]
    const [, record, expires_at, ...evicted] = reply as [...Triple, ...string[]]
    const added: AddedToken<Attrs> = decode<Attrs>([key, record, expires_at])
    if (onLimit === 'evict') added.evicted = evicted
    return added
  }

  getKey(key: string, callback: Callback<Token<Attrs> | null>): void
  getKey(key: string, options: { touch?: boolean } | undefined, callback: Callback<Token<Attrs> | null>): void
  /**
   * The token that a key opens, or null. The call counts as a use of it, which moves the end of a token with `idle`,
   * unless `touch` is false. Calls of one tick go together, up to 32 in a command.
   */
  getKey(key: string, options?: { touch?: boolean }): Promise<Token<Attrs> | null>
  async getKey(key: string, options?: unknown): Promise<Token<Attrs> | null> {
    const { touch = true } = check.options<{ touch?: boolean }>('options', options, ['touch'])
    const use = check.boolean('touch', touch) ? 'TOUCH' : 'PEEK'
    const root = this.#layout.keyRoot(check.secret('key', key))
    if (root === null) return null
    const [record, expires_at] = await this.#reader.read(root, use, this.#stored(key))
    return record === null ? null : decode<Attrs>([key, record, expires_at])
  }

  get(id: string, callback: Callback<StoredToken<Attrs, Digest> | null>): void
  /** The token of an id, or null. Not a use of it. */
  get(id: string): Promise<StoredToken<Attrs, Digest> | null>
  async get(id: string): Promise<StoredToken<Attrs, Digest> | null> {
    const triple = await this.#byId('get', id, [], 0)
    return triple && this.#token(triple)
  }

  set(id: string, attrs: Attrs, callback: Callback<StoredToken<Attrs, Digest> | null>): void
  set(
    id: string,
    attrs: Attrs,
    options: WriteOptions | undefined,
    callback: Callback<StoredToken<Attrs, Digest> | null>
  ): void
  /** Replaces the attrs of a token and answers it, or null when it has ended: then nothing is written. */
  set(id: string, attrs: Attrs, options?: WriteOptions): Promise<StoredToken<Attrs, Digest> | null>
  async set(id: string, attrs: Attrs, options?: unknown): Promise<StoredToken<Attrs, Digest> | null> {
    const triple = await this.#byId('set', id, [check.attrs('attrs', attrs)], this.#replicasOf(options))
    return triple && this.#token(triple)
  }

  update(
    id: string,
    change: (attrs: Attrs) => Attrs | Promise<Attrs>,
    callback: Callback<StoredToken<Attrs, Digest> | null>
  ): void
  /**
   * Replaces the attrs of a token by what `change` makes of them, so that no concurrent update is lost: when another
   * writer was faster, `change` runs again, on the newer attrs. Answers the token, or null when it has ended.
   * Two scripts a try, up to 100 tries.
   * @throws ConflictError when other writers were faster every time; nothing is written
   */
  update(id: string, change: (attrs: Attrs) => Attrs | Promise<Attrs>): Promise<StoredToken<Attrs, Digest> | null>
  async update(
    id: string,
    change: (attrs: Attrs) => Attrs | Promise<Attrs>
  ): Promise<StoredToken<Attrs, Digest> | null> {
    if (typeof change !== 'function') check.fail('change', 'a function from the old attrs to the new')
    for (let tries = 1; ; tries++) {
      const old = await this.#byId('get', id, [], 0)
      if (!old) return null
      const attrs = check.attrs('the result of change', await change(decode<Attrs>(old).attrs))
      try {
        const triple = await this.#byId('set', id, [attrs, 'IF', attrsText(old[1])], this.#replicas)
        return triple && this.#token(triple)
      } catch (error) {
        if (!(error instanceof ConflictError) || tries === UPDATE_TRIES) throw error
      }
      // Spreads out the writers that would meet again.
      await sleep(Math.random() * Math.min(tries, 20))
    }
  }

  del(id: string, callback: Callback<boolean>): void
  del(id: string, options: WriteOptions | undefined, callback: Callback<boolean>): void
  /** Ends the token of an id. False when there was none. Once answered, no write that began earlier revives it. */
  del(id: string, options?: WriteOptions): Promise<boolean>
  async del(id: string, options?: unknown): Promise<boolean> {
    const replicas = this.#replicasOf(options)
    const root = this.#layout.idRoot(check.text('id', id))
    return root !== null && isOne(await this.#connection.run('del', root, [id], replicas))
  }

  delKey(key: string, callback: Callback<boolean>): void
  delKey(key: string, options: WriteOptions | undefined, callback: Callback<boolean>): void
  /** Ends the token that a key opens. False when there was none. */
  delKey(key: string, options?: WriteOptions): Promise<boolean>
  async delKey(key: string, options?: unknown): Promise<boolean> {
    const replicas = this.#replicasOf(options)
    const root = this.#layout.keyRoot(check.secret('key', key))
    return root !== null && isOne(await this.#connection.run('delkey', root, [this.#stored(key)], replicas))
  }

  delOwner(owner_id: string, callback: Callback<number>): void
  delOwner(owner_id: string, options: DelOwnerOptions | undefined, callback: Callback<number>): void
  /**
   * Ends every token of an owner, or all but the one with the id `except`, and answers how many. An id that is not
   * a live token of this owner keeps nothing. A concurrent `add` is ended and counted, or happens after. Hashes stay.
   */
  delOwner(owner_id: string, options?: DelOwnerOptions): Promise<number>
  async delOwner(owner_id: string, options?: unknown): Promise<number> {
    const { except, replicas } = check.options<DelOwnerOptions>('options', options, ['except', 'replicas'])
    const root = this.#layout.ownerRoot(check.text('owner_id', owner_id))
    const args = except === undefined ? [owner_id] : [owner_id, 'EXCEPT', check.text('except', except)]
    return Number(await this.#connection.run('delowner', root, args, this.#confirmedBy(replicas)))
  }

  list(owner_id: string, callback: Callback<StoredToken<Attrs, Digest>[]>): void
  list(owner_id: string, options: PageOptions, callback: Callback<Page<StoredToken<Attrs, Digest>>>): void
  /**
   * The live tokens of an owner: all of them in order of issue, or with options a page of at most `limit` (100 when
   * absent, up to 1000), in the order in which they would end. Whoever goes on from `cursor` until it is null misses
   * no token that lives through the walk; a token used meanwhile may come again. A page may hold fewer than `limit`.
   */
  list(owner_id: string): Promise<StoredToken<Attrs, Digest>[]>
  list(owner_id: string, options: PageOptions): Promise<Page<StoredToken<Attrs, Digest>>>
  async list(owner_id: string, options?: unknown): Promise<unknown> {
    const root = this.#layout.ownerRoot(check.text('owner_id', owner_id))
    const args: (string | number)[] = [owner_id]
    if (options !== undefined) {
      const { limit = PAGE, cursor = null } = check.options<PageOptions>('options', options, ['limit', 'cursor'])
      args.push('COUNT', check.integer('limit', limit, 1, 1000))
      if (cursor !== null) args.push('AFTER', check.cursor('cursor', cursor))
    }
    const [cursor, ...rest] = (await this.#connection.run('list', root, args)) as [string, ...unknown[]]
    const tokens = triples(rest).map((triple) => this.#token(triple))
    return options === undefined ? tokens : { tokens, cursor: cursor === '' ? null : cursor }
  }

  /** Walks the pages of `list` and yields every token that lives through the walk exactly once. */
  async *each(owner_id: string): AsyncGenerator<StoredToken<Attrs, Digest>, void, undefined> {
    const seen = new Set<string>()
    let cursor: string | null = null
    do {
      const page: Page<StoredToken<Attrs, Digest>> = await this.list(owner_id, { limit: PAGE, cursor })
      for (const token of page.tokens) {
        if (seen.has(token.id)) continue
        seen.add(token.id)
        yield token
      }
      cursor = page.cursor
    } while (cursor !== null)
  }

  count(owner_id: string, callback: Callback<number>): void
  /** How many live tokens an owner has. */
  count(owner_id: string): Promise<number>
  async count(owner_id: string): Promise<number> {
    const root = this.#layout.ownerRoot(check.text('owner_id', owner_id))
    return Number(await this.#connection.run('count', root, [owner_id]))
  }

  rotate(id: string, callback: Callback<Token<Attrs> | null>): void
  rotate(id: string, options: RotateOptions | undefined, callback: Callback<Token<Attrs> | null>): void
  /**
   * Gives a token a new key; id, attrs and lifetime stay. Answers it with that key, or null when it has ended.
   * The old key is dead at once, or with `grace` goes on opening the token for so many seconds.
   */
  rotate(id: string, options?: RotateOptions): Promise<Token<Attrs> | null>
  async rotate(id: string, options?: unknown): Promise<Token<Attrs> | null> {
    const { grace, replicas } = check.options<RotateOptions>('options', options, ['grace', 'replicas'])
    const root = this.#layout.idRoot(check.text('id', id))
    if (root === null) return null
    const key = this.#layout.newKey(root, this.#size)
    const args: (string | number)[] = [id, this.#stored(key)]
    if (grace !== undefined) args.push('GRACE', check.seconds('grace', grace))
    const triple = (await this.#connection.run('rotate', root, args, this.#confirmedBy(replicas))) as Triple | null
    return triple && decode<Attrs>([key, triple[1], triple[2]])
  }

  makeHash(value: unknown, callback: Callback<string>): void
  makeHash(value: unknown, options: number | HashOptions | undefined, callback: Callback<string>): void
  /**
   * Keeps a JSON value for a while and answers the hash that finds it. `ttl` is seconds, `hashTtl` when absent.
   * With `replaces`, the hash made last under that name ends in the same step.
   */
  makeHash(value: unknown, options?: number | HashOptions): Promise<string>
  async makeHash(value: unknown, options?: unknown): Promise<string> {
    const given = typeof options === 'object' ? options : { ttl: options }
    const { ttl, replaces } = check.options<HashOptions>('options', given, ['ttl', 'replaces'])
    const ms = ttl === undefined ? this.#hashTtl : check.seconds('ttl', ttl)
    const args: (string | number)[] = [check.json('value', value), ms]
    if (replaces !== undefined) args.push('REPLACES', check.text('replaces', replaces))
    for (let draws = 0; draws < HASH_DRAWS; draws++) {
      const hash = this.#layout.newHash(this.#hashSize, replaces)
      const root = this.#layout.hashRoot(hash)
      if (isOne(await this.#connection.run('makehash', root!, [this.#stored(hash), ...args]))) return hash
    }
    throw new TokenstoreError('TSHASHES', `makeHash: ${HASH_DRAWS} hashes drawn were all taken; hashSize is too small`)
  }

  getHash<T = unknown>(hash: string, callback: Callback<T | null>): void
  /** The value that a hash finds, or null. Changes nothing, so that a mail scanner may open the link. */
  getHash<T = unknown>(hash: string): Promise<T | null>
  async getHash(hash: string): Promise<unknown> {
    return this.#value('gethash', hash, 0)
  }

  takeHash<T = unknown>(hash: string, callback: Callback<T | null>): void
  takeHash<T = unknown>(hash: string, options: WriteOptions | undefined, callback: Callback<T | null>): void
  /** The value that a hash finds, or null, and the end of the hash: of any number of callers exactly one gets it. */
  takeHash<T = unknown>(hash: string, options?: WriteOptions): Promise<T | null>
  async takeHash(hash: string, options?: unknown): Promise<unknown> {
    return this.#value('takehash', hash, this.#replicasOf(options))
  }

  delHash(hash: string, callback: Callback<boolean>): void
  /** Deletes a hash and its value. False when there was none. */
  delHash(hash: string): Promise<boolean>
  async delHash(hash: string): Promise<boolean> {
    const root = this.#layout.hashRoot(check.secret('hash', hash))
    return root !== null && isOne(await this.#connection.run('delhash', root, [this.#stored(hash)]))
  }

  reset(callback: Callback<number>): void
  /**
   * Removes everything of this store, and nothing else, and answers how many tokens and hashes that were. It walks
   * in short steps, each of which ends its tokens whole; what is added meanwhile may stay.
   */
  reset(): Promise<number>
  async reset(): Promise<number> {
    const { keyPrefix } = this.#connection
    const { prefix, tagPattern } = this.#layout
    const names = (keyPrefix + prefix).replace(/[\\*?[\]]/g, '\\$&')
    let removed = 0
    for (const node of await this.#connection.nodes()) {
      // An owner set takes many tokens with it at once; so there is little left but hashes when all is walked.
      removed += await this.#resetMatching(node, `${names}${tagPattern}:tokens:*`)
      removed += await this.#resetMatching(node, `${names}:*`)
    }
    return removed
  }

  quit(callback: Callback<void>): void
  /** Closes the connection if the store opened it, once what was sent is answered. Calls after it reject. */
  quit(): Promise<void>
  async quit(): Promise<void> {
    this.#reader.flush()
    await this.#connection.close()
  }

  /** Walks with SCAN, which looks for the next names while the last are dealt with. */
  async #resetMatching(node: Node, pattern: string): Promise<number> {
    const { keyPrefix } = this.#connection
    const scan = (cursor: string): Promise<[cursor: string, names: string[]]> =>
      this.#connection.send('reset', () => node.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT))
    let removed = 0
    let [cursor, names] = await scan('0')
    for (;;) {
      const byRoot = this.#layout.byRoot(names.map((name) => name.slice(keyPrefix.length)))
      const steps = Promise.all(Array.from(byRoot, ([root, names]) => this.#resetNames(root, names)))
      const [next, counts] = await Promise.all([cursor === '0' ? null : scan(cursor), steps])
      for (const count of counts) removed += count
      if (next === null) return removed
      ;[cursor, names] = next
    }
  }

  async #resetNames(root: string, names: string[]): Promise<number> {
    let removed = 0
    for (let i = 0; i < names.length; i += RESET_NAMES) {
      let left
      do {
        const reply = await this.#connection.run('reset', root, names.slice(i, i + RESET_NAMES))
        const [tokens, hashes, members] = (reply as unknown[]).map(Number) as [number, number, number]
        removed += tokens + hashes
        left = members
      } while (left > 0)
    }
    return removed
  }

  #layoutOf(prefix: string, redis: NonNullable<Config['redis']>, wanted: boolean | undefined): Layout {
    const whole = keyPrefixOf(redis) + prefix
    const cluster = isCluster(redis)
    // What Redis Cluster takes for a hash tag: what stands between the first brace and the next closing one.
    const tagged = /^[^{]*\{[^}]+\}/.test(whole)
    const spread = wanted === undefined ? cluster && !tagged : check.boolean('partitioned', wanted)
    if (spread && whole.includes('{')) check.fail('prefix', 'free of braces when the store is partitioned')
    if (!spread && cluster && !tagged) check.fail('prefix', 'one with a hash tag, such as {token}, on a cluster')
    if (spread && this.#hashSize < 4) check.fail('hashSize', 'at least 4 when the store is partitioned')
    return spread ? partitioned(prefix) : singleRoot(prefix)
  }

  /** What of a key or a hash Redis gets to see. */
  #stored(secret: string): string {
    return this.#digest ? createHash('sha256').update(secret).digest('base64url') : secret
  }

  #forced(key: string): string {
    check.text('key', key)
    if (key.length !== this.#size) check.fail('key', `a string of exactly ${this.#size} characters`)
    if (Buffer.byteLength(key) > MAX_KEY_BYTES) check.fail('key', `at most ${MAX_KEY_BYTES} bytes of UTF-8`)
    return key
  }

  #token([key, record, expires_at]: Triple): StoredToken<Attrs, Digest> {
    const token: Partial<Token<Attrs>> = decode<Attrs>([key, record, expires_at])
    if (this.#digest) delete token.key
    return token as StoredToken<Attrs, Digest>
  }

  #replicasOf(options: unknown): number {
    return this.#confirmedBy(check.options<WriteOptions>('options', options, ['replicas']).replicas)
  }

  #confirmedBy(replicas: unknown): number {
    return replicas === undefined ? this.#replicas : check.integer('replicas', replicas, 0, 100)
  }

  #byId(script: 'get' | 'set', id: string, args: string[], replicas: number): Promise<Triple | null> {
    const root = this.#layout.idRoot(check.text('id', id))
    if (root === null) return Promise.resolve(null)
    return this.#connection.run(script, root, [id, ...args], replicas) as Promise<Triple | null>
  }

  async #value(script: 'gethash' | 'takehash', hash: string, replicas: number): Promise<unknown> {
    const root = this.#layout.hashRoot(check.secret('hash', hash))
    if (root === null) return null
    const value = (await this.#connection.run(script, root, [this.#stored(hash)], replicas)) as string | null
    return value === null ? null : parse('the value of a hash', value)
  }
}

function isOne(reply: unknown): boolean {
  return Number(reply) === 1
}

const METHODS = [
  'add',
  'getKey',
  'get',
  'set',
  'del',
  'delKey',
  'delOwner',
  'list',
  'count',
  'rotate',
  'makeHash',
  'getHash',
  'takeHash',
  'delHash',
  'reset',
  'quit'
] as const

const methods = Store.prototype as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
for (const name of METHODS) Object.defineProperty(methods, name, { value: withCallback(methods[name]!, 0) })
Object.defineProperty(methods, 'update', { value: withCallback(methods['update']!, 2) })
