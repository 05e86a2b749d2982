import { today } from './timers'

// Redis closes idle connections, after seconds at the least.
const REST_MS = 1000

/**
 * Whether a connection has rested so long that Redis may have closed it, by a clock that
 * goes on while the machine sleeps.
 */
export class Rest {
  #since = 0

  /** After each answer. */
  begin(): void {
    this.#since = today()
  }

  get isLong(): boolean {
    return Math.abs(today() - this.#since) > REST_MS
  }
}
