import { bindMethods } from './bind-methods'
import { takeCallbacks } from './callbacks'
import type { Settings } from './config'
import { Context } from './context'
import { reset } from './reset'
import { Tokens } from './tokens'
import type { Config } from './types'
import { Watcher } from './watcher'

/** Session tokens on Redis. Each method is one atomic script, unless its comment says otherwise. */
export class Store<Attrs extends object, Digest extends boolean> extends Tokens<Attrs, Digest> {
  readonly #context: Context

  constructor(config: Config = {}) {
    const context = new Context(config)
    super(context)
    this.#context = context
    bindMethods(this, Store.prototype)
  }

  /** How a store was set up, for adapters; undefined for what is no store of this package. */
  static settingsOf(store: unknown): Settings | undefined {
    if (typeof store !== 'object' || store === null || !(#context in store)) return undefined
    return store.#context.settings
  }

  /**
   * Revokes every token and deletes every hash and code of this store, and nothing else, and
   * resolves to how many that were. It walks in short steps, each of which revokes its tokens
   * whole; what is added meanwhile may stay.
   */
  async reset(): Promise<number> {
    const { cache, connection, layout } = this.#context
    cache?.clear()
    return reset(connection, layout).finally(() => cache?.clear())
  }

  /**
   * Resolves when every server that holds names answers, within `timeout`.
   * @throws UnavailableError when one of them does not
   */
  async ping(): Promise<void> {
    await this.#context.connection.ping()
  }

  /**
   * What tells when tokens end, whoever ends them. Resolves once every server tells what
   * changes.
   * @throws TokenstoreError with what Redis answered, when a server does not allow that
   */
  async watch(): Promise<Watcher> {
    const { connection, tracking } = this.#context
    const watcher = new Watcher(this.#context)
    try {
      await connection.send('watch', () => tracking.ready())
    } catch (error) {
      watcher.close()
      throw error
    }
    return watcher
  }

  /**
   * Closes the connection if the store opened it, once what was sent is answered. Calls
   * after it reject.
   */
  async quit(): Promise<void> {
    this.#context.reader.flush()
    this.#context.tracking.close()
    await this.#context.connection.close()
  }

  /** `quit`, at the end of the block of an `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.quit()
  }
}

// The function that update takes is no callback.
takeCallbacks(Store.prototype, { update: 2 })
