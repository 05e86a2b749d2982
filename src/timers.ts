import * as timers from 'node:timers'

/**
 * Time as it really passes. Taken when the module loads: the fake timers of a test replace
 * these later, and a call would wait for a tick or a timeout that never comes.
 */
export const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate } = timers
export const { nextTick } = process
/** Milliseconds, by a clock that nobody sets. */
export const now = performance.now.bind(performance)
/** Unix ms, by a clock that goes on while the machine sleeps. */
export const today = Date.now.bind(Date)

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/**
 * A promise, which rejects when it takes longer than so many milliseconds. Keeps no process
 * alive.
 */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms)
    timer.unref()
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Calls back when all that has arrived by now has been read. One setImmediate is too few: in
 * a callback of a socket it comes before the sockets are looked at again.
 */
export function afterNextPoll(callback: () => void): void {
  setImmediate(() => setImmediate(callback))
}
