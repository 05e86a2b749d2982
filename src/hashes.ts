import type { Args } from './args'
import type { Callback } from './callbacks'
import * as check from './check'
import type { Context } from './context'
import { TokenstoreError } from './errors'
import { isOne, parse } from './record'
import type { ScriptName } from './scripts'
import type * as types from './types'

// A hash that is taken is drawn again: with the default size never, with hashSize 1 soon.
const HASH_DRAWS = 100

/** The methods for hashes: one-time secrets that a link carries. */
export class Hashes {
  readonly #context: Context

  constructor(context: Context) {
    this.#context = context
  }

  /**
   * Keeps a JSON value for a while and resolves to the hash that finds it. `ttl` is
   * seconds, `hashTtl` when absent. With `replaces`, the hash made last under that name is
   * deleted in the same step. With `owner_id`, `delOwner` can end it too.
   */
  async makeHash(value: unknown, options?: number | types.HashOptions): Promise<string> {
    const { layout, hashSize, hashTtl } = this.#context.settings
    const given = typeof options === 'object' ? options : { ttl: options }
    const known = ['ttl', 'replaces', 'owner_id'] as const
    const { ttl, replaces, owner_id } = check.options<types.HashOptions>('options', given, known)
    const args: Args = [
      check.json('value', value),
      ttl === undefined ? hashTtl : check.seconds('ttl', ttl)
    ]
    if (replaces !== undefined) args.push('REPLACES', check.text('replaces', replaces))
    if (owner_id !== undefined) args.push('OWNER', check.text('owner_id', owner_id))
    for (let draws = 0; draws < HASH_DRAWS; draws++) {
      const hash = layout.newHash(hashSize, owner_id ?? replaces)
      const root = layout.hashRoot(hash)!
      if (isOne(await this.#context.run('makehash', root, [this.#context.stored(hash), ...args])))
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
    return this.#value('takehash', hash, this.#context.replicasOf(options))
  }

  /** Deletes a hash and its value. False when there was none. */
  async delHash(hash: unknown): Promise<boolean> {
    return isOne(await this.#run('delhash', hash))
  }

  async #value(script: 'gethash' | 'takehash', hash: unknown, replicas: number): Promise<unknown> {
    const value = (await this.#run(script, hash, replicas)) as string | null
    return value === null ? null : parse('the value of a hash', value)
  }

  /** Null for what cannot be a hash. */
  async #run(script: ScriptName, hash: unknown, replicas = 0): Promise<unknown> {
    if (!this.#context.isSecret(hash)) return null
    const root = this.#context.layout.hashRoot(hash)
    if (root === null) return null
    return this.#context.run(script, root, [this.#context.stored(hash)], replicas)
  }
}
