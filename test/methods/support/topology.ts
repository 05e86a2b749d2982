import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import { singleRoot, type Layout } from '../../../src/layout'
import type { RedisClient } from '../../../src/client'
import type { Config } from '../../../src/types'
import { closeAfterAll as closeOpened, client, names } from '../../support'

/**
 * What the method tests run on. A test file that sets something here and then
 * requires the files of this folder runs them all once more on that.
 */
export const topology = {
  /** What every store is given, unless the test itself says otherwise. */
  config: {} as Config,
  layout: (prefix: string): Layout => singleRoot(prefix),
  /** A plain client that sees the stores' data. */
  redis: (): Redis => (shared ??= client()),
  /** Makes the name of an id lead to a key, as another program would. */
  index: (name: string, key: string): Promise<unknown> => topology.redis().set(name, stored(key)),
  /**
   * A client of the caller's own, as `redis` of a config, that puts this before
   * every name.
   */
  keyPrefixed: (keyPrefix: string): RedisClient => client({ keyPrefix }),
  /** Everything in Redis under a prefix. */
  names: (prefix: string): Promise<Record<string, unknown>> => names(topology.redis(), prefix)
}

let shared: Redis | undefined

/** What Redis holds of a key or a hash. */
export const stored = (secret: string): string =>
  topology.config.digest ? createHash('sha256').update(secret).digest('base64url') : secret

/** As that of support, also when several of these files run as one. */
export function closeAfterAll(): void {
  closeOpened()
  afterAll(() => {
    shared = undefined
  })
}
