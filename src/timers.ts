/**
 * Time as it really passes. Taken when the module loads: the fake timers of a test replace
 * these later, and a call would wait for a tick or a timeout that never comes.
 */
export const { setTimeout, clearTimeout, setImmediate } = globalThis
export const { nextTick } = process
/** Milliseconds, by a clock that nobody sets. */
export const now = performance.now.bind(performance)

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
