import * as timers from 'node:timers'

/**
 * Time as it really passes. Taken when the module loads: the fake timers of a test replace
 * these later, and a call would wait for a tick or a timeout that never comes.
 */
export const { setTimeout, clearTimeout, setImmediate } = timers
export const { nextTick } = process
/** Milliseconds, by a clock that nobody sets. */
export const now = performance.now.bind(performance)
/** Unix ms, by a clock that goes on while the machine sleeps. */
export const today = Date.now.bind(Date)

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/**
 * Calls back when all that has arrived by now has been read. One setImmediate is too few: in
 * a callback of a socket it comes before the sockets are looked at again.
 */
export function afterNextPoll(callback: () => void): void {
  setImmediate(() => setImmediate(callback))
}
