import type { Callback } from '../../../src/callbacks'

/**
 * Makes a node-style call: it answers nothing but through the callback, once,
 * later, as `(error)` or `(null, result)`.
 */
export function viaCallback<T>(call: (callback: Callback<T>) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    let calls = 0
    let returned = false
    const result = call((...args: unknown[]) => {
      if (!returned) reject(new Error('called back before it returned'))
      if (++calls > 1) reject(new Error('called back twice'))
      // Leaves room for a second call.
      setImmediate(() => {
        if (args[0] === null && args.length === 2) resolve(args[1] as T)
        else if (args[0] instanceof Error && args.length === 1) reject(args[0])
        else
          reject(
            new Error(`called back with ${args.length} arguments, the first ${typeof args[0]}`)
          )
      })
    })
    returned = true
    if (result === undefined) return
    ;(result as Promise<unknown>).catch(() => {})
    reject(new Error('answers a promise besides the callback'))
  })
}
