import type { Redis } from 'ioredis'
import { now } from './timers'

/**
 * Closes a connection of the store's own that is silent while calls wait for it: a master
 * that hangs, or whose machine is gone, does not close it, and the next connection may lead
 * to a successor. (ioredis has a socketTimeout, but after a turn of the loop that took long
 * it fires before the answers that lie in the socket are read; and a failoverDetector for
 * Sentinel, but a message that comes while it connects makes it give up for good.)
 */
export class Watchdog {
  readonly #redis: Redis
  readonly #timeout: number
  #heardAt = now()

  constructor(redis: Redis, timeout: number) {
    this.#redis = redis
    this.#timeout = timeout
    const heard = (): void => {
      this.#heardAt = now()
    }
    redis.on('connect', () => {
      heard()
      // Also of an answer that is long on its way.
      redis.stream.on('data', heard)
    })
  }

  /** After a call that got no answer in time. */
  unheard(): void {
    const { status } = this.#redis
    const silent = now() - this.#heardAt >= this.#timeout
    if (!silent || (status !== 'ready' && status !== 'connect')) return
    // Once, whoever else was not answered.
    this.#heardAt = now()
    this.#redis.disconnect(true)
  }
}
