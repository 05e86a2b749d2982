import { Redis } from 'ioredis'
import { Tokenstore } from '../../../src/main'
import { noText, type Methods } from './refuses'
import { topology } from './topology'
import { viaCallback } from './via-callback'

/** What a stranger may send for a text, or leave out, and is none. */
export const strange = (): unknown[] => [
  ...noText(),
  '\ud800',
  'x\udc00'.repeat(12),
  NaN,
  ['x'.repeat(24), 'y'.repeat(24)],
  { a: 1 },
  { toString: () => 'x'.repeat(24) },
  Object.create(null),
  Object('x'.repeat(24)),
  new Map(),
  Buffer.from('x'.repeat(24)),
  Promise.resolve('x'.repeat(24))
]

/** Longer than any key or hash. */
const long = (): string => 'x'.repeat(topology.config.digest ? 4097 : 257)

/**
 * What is no text is answered as what is not found, as a promise and through a callback, and
 * Redis is not asked: the client of the store does not even connect.
 */
export async function findsNothing(
  method: string,
  answer: null | false | object,
  given = [...strange(), long()]
): Promise<void> {
  const redis = new Redis({ lazyConnect: true, port: 1, retryStrategy: () => null })
  const tokens = Tokenstore({ ...topology.config, redis, partitioned: false })
  const call = (...args: unknown[]): Promise<unknown> =>
    (tokens as unknown as Methods)[method]!.call(tokens, ...args)
  for (const each of given) {
    expect(await call(each)).toEqual(answer)
    expect(await viaCallback((done) => call(each, done))).toEqual(answer)
    expect(await viaCallback((done) => call(each, undefined, done))).toEqual(answer)
  }
  expect(await call()).toEqual(answer)
  expect(await viaCallback(call)).toEqual(answer)
  expect(redis.status).toBe('wait')
  redis.disconnect()
}
