import { methodsOf } from './methods'
import { nextTick } from './timers'

/** What a method hands its outcome to when it is not to return a promise. */
export type Callback<T> = (error: Error | null, result?: T) => void

type Needed<Args extends unknown[]> = Args extends [infer First, ...infer Rest]
  ? [First, ...Needed<Rest>]
  : []

interface CallbackForm<Args extends unknown[], Result> {
  (...args: [...Needed<Args>, Callback<Result>]): void
  (...args: [...Args, Callback<Result>]): void
}

/**
 * A method in both its forms; two signatures, for `list` has two. The method itself is last:
 * `ReturnType` takes the last.
 */
type WithCallback<Method> = Method extends {
  (...args: infer Args1): Promise<infer Result1>
  (...args: infer Args2): Promise<infer Result2>
}
  ? CallbackForm<Args1, Result1> & CallbackForm<Args2, Result2> & Method
  : Method

/** Methods that return promises, each with a callback as its last argument instead. */
export type WithCallbacks<T> = {
  [Name in keyof T]: Name extends string ? WithCallback<T[Name]> : T[Name]
}

type Method = (this: unknown, ...args: unknown[]) => unknown

/**
 * Lets every method of a prototype that returns a promise take a callback as its last
 * argument. `own` says how many arguments of a method come before a callback can, where a
 * function is one of them.
 */
export function takeCallbacks(prototype: object, own: Readonly<Record<string, number>>): void {
  for (const [on, name] of methodsOf(prototype)) {
    const method = (on as Record<string, Method>)[name]!
    Object.defineProperty(on, name, { value: withCallback(method, own[name] ?? 0) })
  }
}

/**
 * Hands the outcome of a promise to a callback, if there is one, and returns the promise. The
 * callback runs outside the promise chain: what it throws is the caller's uncaught exception,
 * never a second call.
 */
export function settle<T>(promise: Promise<T>, callback: Callback<T> | undefined): Promise<T> {
  if (callback !== undefined)
    promise.then(
      (value) => nextTick(callback, null, value),
      (error: Error) => nextTick(callback, error)
    )
  return promise
}

function withCallback(method: Method, own: number): Method {
  return function (...args) {
    const last = args.length > own ? args.at(-1) : undefined
    if (typeof last !== 'function') return method.apply(this, args)
    const result = method.apply(this, args.slice(0, -1))
    if (!(result instanceof Promise)) return result
    void settle(result, last as Callback<unknown>)
    return undefined
  }
}
