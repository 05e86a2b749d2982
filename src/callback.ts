import type { Callback } from './types'

/**
 * Lets a method that returns a promise take a node-style callback as its last argument, at position `from` or later.
 * The callback runs outside the promise chain: what it throws is the caller's uncaught exception, never a second call.
 */
export function withCallback(method: (...args: unknown[]) => Promise<unknown>, from: number) {
  return function (this: unknown, ...args: unknown[]): Promise<unknown> | undefined {
    const callback = args.length > from && typeof args.at(-1) === 'function' ? (args.pop() as Callback<unknown>) : null
    const promise = method.apply(this, args)
    if (!callback) return promise
    promise.then(
      (value) => process.nextTick(callback, null, value),
      (error: Error) => process.nextTick(callback, error)
    )
    return undefined
  }
}
