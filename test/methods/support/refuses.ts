import type { Opened } from './open'
import { viaCallback } from './via-callback'

/** The methods of a store, whatever they take. */
export type Methods = Record<string, (...args: unknown[]) => Promise<unknown>>

/**
 * Every call is refused with a TypeError that says so, as a promise and through
 * a callback, and leaves everything in Redis as it is.
 */
export async function refuses(
  { tokens, all }: Opened,
  method: string,
  says: string,
  ...calls: unknown[][]
): Promise<void> {
  const before = await all()
  for (const args of calls) {
    const call = (...last: unknown[]): Promise<unknown> =>
      (tokens as unknown as Methods)[method]!.call(tokens, ...args, ...last)
    for (const outcome of [() => call(), () => viaCallback(call)]) {
      const error: unknown = await outcome().then(
        () => new Error(`${method} took argument list ${calls.indexOf(args)}`),
        (error: Error) => error
      )
      expect(error).toBeInstanceOf(TypeError)
      expect((error as Error).message).toContain(says)
    }
  }
  expect(await all()).toEqual(before)
}

/** What is no text. */
export const noText = (): unknown[] => [
  undefined,
  null,
  '',
  0,
  7,
  true,
  {},
  [],
  ['a'],
  Symbol('a'),
  7n,
  new Date(0)
]
/** What is not a number of seconds. */
export const noSeconds = (): unknown[] => [
  0,
  -1,
  0.0004,
  NaN,
  Infinity,
  -Infinity,
  1e11,
  '60',
  true,
  {},
  [60],
  60n
]
/** What is not an object of options. */
export const noObject = (): unknown[] => [
  null,
  'a',
  true,
  7n,
  [],
  Symbol('a'),
  new Map(),
  new Date(0),
  new URL('redis://127.0.0.1'),
  new (class Options {})()
]
