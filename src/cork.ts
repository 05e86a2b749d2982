import { nextTick } from './timers'

/** The part of a socket that holds back what is written. */
export interface Corkable {
  readonly writable?: boolean
  cork(): void
  uncork(): void
}

// Enough that the write hardly counts, few enough that Redis begins while the rest is still
// being made.
const TOGETHER = 16

/**
 * Lets the commands of one tick share writes to the socket: the system call is most of what
 * a command costs the client. Nothing waits longer than the tick, and the order stays.
 */
export class Cork {
  #corked: Corkable | undefined
  #held = 0

  /**
   * Before each command. Without a socket, as on a cluster, which has one a node, it does
   * nothing.
   */
  hold(socket: Corkable | undefined): void {
    if (!socket) return
    if (socket !== this.#corked) {
      this.#corked = socket
      this.#held = 0
      socket.cork()
      nextTick(() => {
        socket.uncork()
        if (this.#corked === socket) this.#corked = undefined
      })
    } else if (++this.#held === TOGETHER) {
      this.#held = 0
      socket.uncork()
      socket.cork()
    }
  }
}
