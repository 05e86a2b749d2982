import type { Callback } from './types'

/**
 * Lets a method that returns a promise take a node-style callback behind its `arity` own arguments, or anywhere
 * earlier when the arguments between are left out. The callback runs outside the promise chain: what it throws is
 * the caller's uncaught exception, never a second call of it.
 */
export function withCallback(method: (...args: unknown[]) => Promise<unknown>, ownFunctions: number) {
  return function (this: unknown, ...args: unknown[]): Promise<unknown> | undefined {
    const functions = args.filter((arg) => typeof arg === 'function').length
    const result = functions > ownFunctions ? args.pop() : undefined
    const promise = method.apply(this, args)
    if (typeof result !== 'function') return promise
    const callback = result as Callback<unknown>
    promise.then(
      (value) => process.nextTick(callback, null, value),
      (error: Error) => process.nextTick(callback, error)
    )
    return undefined
  }
}
