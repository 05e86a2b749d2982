import { fromArgs, keyFor, type Args } from './args'
import { readChange } from './change'
import * as check from './check'
import { Codes } from './codes'
import type { Context } from './context'
import { ConflictError, ReuseError } from './errors'
import { readNewToken } from './new-token'
import { attrsText, decode, isOne, triples, type Triple } from './record'
import { sleep } from './timers'
import type * as types from './types'
import type { Page, StoredToken, Token } from './types'
import { unlessForeign, Walk } from './walk'

// A try fails when another writer's succeeds, so this many writers at once are served.
const UPDATE_TRIES = 100
const PAGE = 100
const GRACE_MS = 10_000
const DETECT_MS = 86_400_000

const REUSE = 'refresh: the key had been rotated out before; its token has been revoked'

/** The methods for tokens. */
export class Tokens<Attrs extends object, Digest extends boolean> extends Codes {
  readonly #context: Context

  constructor(context: Context) {
    super(context)
    this.#context = context
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
    const { root, key, id, args } = readNewToken(token, this.#context.settings)
    const replicas = this.#context.confirmedBy(token.replicas)
    const given = [this.#context.stored(key), id, ...args]
    const reply = await this.#context.run('add', root, given, replicas)
    const [, record, expires_at, ...evicted] = reply as [...Triple, ...string[]]
    const added: types.AddedToken<Attrs> = decode<Attrs>([key, record, expires_at])
    if (token.onLimit === 'evict') added.evicted = evicted
    return added
  }

  /**
   * The token that a key opens, or null, also for what is no text at all. The call counts as
   * a use of it, which moves the expiry of a token with `idle`, unless `touch` is false. Calls
   * of one tick go together, up to 32 in a command. With `cache`, and unless `fresh` is true,
   * the answer may come from memory.
   */
  async getKey(key: unknown, options?: types.GetKeyOptions): Promise<Token<Attrs> | null> {
    const known = ['touch', 'fresh'] as const
    const given = check.options<types.GetKeyOptions>('options', options, known)
    const { touch = true, fresh = false } = given
    check.boolean('touch', touch)
    check.boolean('fresh', fresh)
    if (!this.#context.isSecret(key)) return null
    const stored = this.#context.stored(key)
    const kept = fresh ? null : this.#context.cache?.find<Attrs>(key, stored, touch)
    if (kept) return kept
    const root = this.#context.layout.keyRoot(key)
    if (root === null) return null
    const use = touch ? 'TOUCH' : 'PEEK'
    const [record, expires_at] = await this.#context.reader.read(root, use, stored)
    return record === null ? null : decode<Attrs>([key, record, expires_at])
  }

  /** The token of an id, or null. Not a use of it. */
  async get(id: string): Promise<StoredToken<Attrs, Digest> | null> {
    return this.#token(await this.#byId('get', id, [], 0))
  }

  /**
   * Replaces the attrs and resolves to the token; to null, nothing written, when it is gone.
   * @throws ConflictError when `from` is given and not its attrs; nothing is written
   */
  async set(
    id: string,
    attrs: Attrs,
    options?: types.SetOptions<Attrs>
  ): Promise<StoredToken<Attrs, Digest> | null> {
    const known = ['from', 'replicas'] as const
    const given = check.options<types.SetOptions<Attrs>>('options', options, known)
    const args = [check.attrs('attrs', attrs), ...fromArgs(given)]
    const replicas = this.#context.confirmedBy(given.replicas)
    return this.#token(await this.#byId('set', id, args, replicas))
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
        return this.#token(await this.#byId('set', id, args, this.#context.settings.replicas))
      } catch (error) {
        if (!(error instanceof ConflictError) || tries === UPDATE_TRIES) throw error
      }
      // Spreads out the writers that would meet again.
      await sleep(Math.random() * Math.min(tries, 20))
    }
  }

  /**
   * Gives a live token another owner, lifetime or attrs, in one step; what is absent stays. `ttl`
   * and `idle` are seconds from now, null for never. Resolves to the token, or to null, nothing
   * written, when it is gone.
   * @throws LimitError when the new owner has `limit` others and `onLimit` is `'reject'`;
   * nothing is written
   * @throws ConflictError when `from` is given and not its attrs; nothing is written
   * @throws TokenstoreError `TSPARTITION` when the new owner's names have another root; nothing
   * is sent
   */
  async change(
    id: string,
    options: types.ChangeOptions<Attrs>
  ): Promise<types.ChangedToken<Attrs, Digest> | null> {
    const { settings, layout } = this.#context
    const root = layout.idRoot(check.text('id', id))
    const args = readChange(root, options, settings)
    const replicas = this.#context.confirmedBy(options.replicas)
    if (root === null) return null
    const reply = await this.#context.run('change', root, [id, ...args], replicas)
    if (reply === null) return null
    const [key, record, expires_at, ...evicted] = reply as [...Triple, ...string[]]
    const token = this.#token([key, record, expires_at])
    return { ...token, ...(options.onLimit === 'evict' && { evicted }) }
  }

  /**
   * Revokes the token of an id. False when there was none. Once resolved, no write that
   * began earlier revives it.
   */
  async del(id: string, options?: types.WriteOptions): Promise<boolean> {
    const replicas = this.#context.replicasOf(options)
    const root = this.#context.layout.idRoot(check.text('id', id))
    if (root === null) return false
    return isOne(await this.#context.run('del', root, [id], replicas))
  }

  /** Revokes the token that a key opens. False when there was none. */
  async delKey(key: unknown, options?: types.WriteOptions): Promise<boolean> {
    const replicas = this.#context.replicasOf(options)
    if (!this.#context.isSecret(key)) return false
    const root = this.#context.layout.keyRoot(key)
    if (root === null) return false
    return isOne(await this.#context.run('delkey', root, [this.#context.stored(key)], replicas))
  }

  /**
   * Revokes every token of an owner, or all but the one with the id `except`, and resolves
   * to how many. An id that is not a live token of this owner keeps nothing. A concurrent
   * `add` is revoked and counted, or happens after. With `hashes`, those that were made for
   * this owner are deleted in the same step, and not counted.
   */
  async delOwner(owner_id: string, options?: types.DelOwnerOptions): Promise<number> {
    const known = ['except', 'hashes', 'replicas'] as const
    const given = check.options<types.DelOwnerOptions>('options', options, known)
    const { except, hashes = false, replicas } = given
    const root = this.#context.layout.ownerRoot(check.text('owner_id', owner_id))
    const args = [owner_id]
    if (except !== undefined) args.push('EXCEPT', check.text('except', except))
    if (check.boolean('hashes', hashes)) args.push('HASHES')
    const confirmed = this.#context.confirmedBy(replicas)
    return Number(await this.#context.run('delowner', root, args, confirmed))
  }

  /**
   * The live tokens of an owner: all of them in order of issue, or with options a page of
   * at most `limit` (100 when absent, up to 1000), in the order in which they expire.
   * Whoever goes on from `cursor` until it is null misses no token that lives through the
   * walk, but for one whose end `change` brings forward; a token used meanwhile may come again.
   * A page may hold fewer than `limit`.
   */
  list(owner_id: string, options?: undefined): Promise<StoredToken<Attrs, Digest>[]>
  list(owner_id: string, options: types.PageOptions): Promise<Page<StoredToken<Attrs, Digest>>>
  async list(owner_id: string, options?: types.PageOptions): Promise<unknown> {
    const root = this.#context.layout.ownerRoot(check.text('owner_id', owner_id))
    const args: Args = [owner_id]
    if (options !== undefined) {
      const known = ['limit', 'cursor'] as const
      const page = check.options<types.PageOptions>('options', options, known)
      const { limit = PAGE, cursor = null } = page
      args.push('COUNT', check.integer('limit', limit, 1, 1000))
      if (cursor !== null) args.push('AFTER', check.cursor('cursor', cursor))
    }
    const reply = await this.#context.run('list', root, args)
    const [cursor, ...rest] = reply as [string, ...unknown[]]
    const tokens = triples(rest).map((triple) => this.#token(triple))
    if (options !== undefined) return { tokens, cursor: cursor === '' ? null : cursor }
    return tokens.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /**
   * Walks the pages of `list` and yields every token that lives through the walk exactly once,
   * but for one whose end `change` brings forward, which it may miss.
   */
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
    const root = this.#context.layout.ownerRoot(check.text('owner_id', owner_id))
    return Number(await this.#context.run('count', root, [owner_id]))
  }

  /**
   * Walks the whole store, in short steps, and yields every token that lives through the walk
   * exactly once, in no order. Not a use of them. Foreign records are passed over. While a
   * cluster moves a slot, what lies in it may be missed.
   */
  async *all(): AsyncGenerator<StoredToken<Attrs, Digest>, void, undefined> {
    for await (const names of this.#walk('all').once('id')) {
      const found = names.map(({ root, rest }) =>
        this.#context
          .run('get', root, [rest])
          .then((triple) => this.#token(triple as Triple | null))
          .catch(unlessForeign(null))
      )
      for (const token of await Promise.all(found)) if (token) yield token
    }
  }

  /**
   * Walks the whole store as `all` does, and yields every owner who has tokens throughout
   * exactly once.
   */
  async *owners(): AsyncGenerator<string, void, undefined> {
    for await (const names of this.#walk('owners').once('tokens')) {
      const counts = names.map(({ root, rest }) =>
        this.#context.run('count', root, [rest]).then(Number, unlessForeign(0))
      )
      for (const [i, n] of (await Promise.all(counts)).entries()) if (n > 0) yield names[i]!.rest
    }
  }

  /**
   * Gives a token a new key, or the one that is forced; id, attrs and lifetime stay. Resolves
   * to it with that key, or to null when it is gone. The old key is dead at once, or with
   * `grace` goes on opening the token for so many seconds.
   * @throws ConflictError when `from` is given and not its key; nothing is written
   * @throws KeyTakenError when the forced key is in use; nothing is written
   */
  async rotate(id: string, options?: types.RotateOptions): Promise<Token<Attrs> | null> {
    const known = ['grace', 'from', 'key', 'replicas'] as const
    const given = check.options<types.RotateOptions>('options', options, known)
    const { grace, from, replicas } = given
    const root = this.#context.layout.idRoot(check.text('id', id))
    if (root === null) return null
    const key = keyFor(root, given.key, this.#context.settings)
    const args: Args = [id, this.#context.stored(key)]
    if (grace !== undefined) args.push('GRACE', check.seconds('grace', grace))
    if (from !== undefined) args.push('IF', this.#context.stored(check.text('from', from)))
    const confirmed = this.#context.confirmedBy(replicas)
    const triple = (await this.#context.run('rotate', root, args, confirmed)) as Triple | null
    return triple && decode<Attrs>([key, triple[1], triple[2]])
  }

  /**
   * Rotates by the key that a client presents, and resolves to the token with its new key; to
   * null when no token is live, also for what is no text at all. The old key goes on opening
   * the token for `grace` seconds (10 when absent), within which it may be refreshed again.
   * Whoever presents it later, within `detect` seconds (86400 when absent), has a copy: the
   * token is revoked in the same step. Null says none of either. The call counts as a use.
   * @throws ReuseError when the token was revoked for that, with its id and owner_id
   */
  async refresh(key: unknown, options?: types.RefreshOptions): Promise<Token<Attrs> | null> {
    const known = ['grace', 'detect', 'replicas'] as const
    const given = check.options<types.RefreshOptions>('options', options, known)
    const grace = check.lifetime('grace', given.grace, GRACE_MS)
    const detect = check.lifetime('detect', given.detect, DETECT_MS)
    if (grace !== null && detect !== null && detect <= grace)
      check.fail('detect', 'longer than grace')
    const { settings, layout } = this.#context
    const replicas = this.#context.confirmedBy(given.replicas)
    if (!this.#context.isSecret(key)) return null
    const root = layout.keyRoot(key)
    if (root === null) return null
    const newKey = layout.newKey(root, settings.size)
    const args: Args = [this.#context.stored(key), this.#context.stored(newKey)]
    if (grace !== null) args.push('GRACE', grace)
    if (detect !== null) args.push('DETECT', detect)
    const reply = (await this.#context.run('refresh', root, args, replicas)) as
      Triple | [id: string, owner_id: string] | null
    if (reply?.length === 2) throw new ReuseError('TSREUSE', REUSE, ...reply)
    return reply && decode<Attrs>([newKey, reply[1], reply[2]])
  }

  #token(triple: Triple): StoredToken<Attrs, Digest>
  #token(triple: Triple | null): StoredToken<Attrs, Digest> | null
  #token(triple: Triple | null): StoredToken<Attrs, Digest> | null {
    if (triple === null) return null
    const token: Partial<Token<Attrs>> = decode<Attrs>(triple)
    if (this.#context.settings.digest) delete token.key
    return token as StoredToken<Attrs, Digest>
  }

  #walk(operation: string): Walk {
    return new Walk(operation, this.#context.connection, this.#context.layout)
  }

  async #byId(
    script: 'get' | 'set',
    id: string,
    args: string[],
    replicas: number
  ): Promise<Triple | null> {
    const root = this.#context.layout.idRoot(check.text('id', id))
    if (root === null) return null
    return (await this.#context.run(script, root, [id, ...args], replicas)) as Triple | null
  }
}
