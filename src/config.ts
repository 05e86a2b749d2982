import type { RedisOptions } from 'ioredis'
import * as check from './check'
import { isClient, isCluster, keyPrefixOf, type RedisClient } from './client'
import { partitioned, singleRoot, type Layout } from './layout'
import type { Config } from './types'

/** A config that has been checked, with its defaults; all lifetimes are milliseconds. */
export interface Settings {
  readonly redis: RedisClient | RedisOptions | string
  readonly layout: Layout
  readonly size: number
  readonly hashSize: number
  readonly hashTtl: number
  readonly ttl: number | null
  readonly idle: number | null
  readonly touchEvery: number | null
  readonly digest: boolean
  readonly timeout: number
  readonly batch: boolean
  readonly replicas: number
  /** Tokens to keep, 0 for none; and milliseconds without a proof that changes are told. */
  readonly cache: { max: number; silence: number }
}

export const CONFIG_NAMES: readonly (keyof Config)[] = [
  'prefix',
  'redis',
  'size',
  'hashSize',
  'hashTtl',
  'ttl',
  'idle',
  'touchEvery',
  'digest',
  'timeout',
  'batch',
  'partitioned',
  'replicas',
  'cache'
]

export function readConfig(config: Config): Settings {
  check.options<Config>('config', config, CONFIG_NAMES)
  const { prefix = 'token', size = 24, hashSize = 8 } = config
  const { hashTtl = 3600, touchEvery, digest = false, timeout = 2000 } = config
  const { batch = true, replicas = 0 } = config
  const redis = readRedis(config.redis)
  check.text('prefix', prefix)
  const keyPrefix = keyPrefixOf(redis)
  if (/:(key|id|tokens|hash|latest|hashes|code)(:|$)/.test(keyPrefix + prefix)) {
    const what = keyPrefix === '' ? 'prefix' : 'prefix behind keyPrefix'
    const parts = 'key, id, tokens, hash, latest, hashes and code'
    check.fail(what, `free of the parts ${parts}, which name the data of a store`)
  }
  const idle = check.lifetime('idle', config.idle, null)
  const every = touchEvery === undefined ? null : check.seconds('touchEvery', touchEvery)
  if (idle && every && every > idle) check.fail('touchEvery', 'at most idle')
  check.integer('hashSize', hashSize, 1, 128)
  return {
    redis,
    layout: layoutOf(prefix, redis, hashSize, config.partitioned),
    size: check.integer('size', size, 8, 128),
    hashSize,
    hashTtl: check.seconds('hashTtl', hashTtl),
    ttl: check.lifetime('ttl', config.ttl, null),
    idle,
    touchEvery: every,
    digest: check.boolean('digest', digest),
    timeout: check.integer('timeout', timeout, 1, 2 ** 31 - 1),
    batch: check.boolean('batch', batch),
    replicas: check.integer('replicas', replicas, 0, 100),
    cache: readCache(config.cache)
  }
}

function readCache(cache: Config['cache'] = false): Settings['cache'] {
  const given = typeof cache === 'boolean' ? {} : cache
  if (!check.isPlain(given)) check.fail('cache', 'true, false, or an object with max and silence')
  check.object('cache', given, ['max', 'silence'])
  const { max = 10_000, silence = 1000 } = given
  check.integer('cache.max', max, 1, 1_000_000)
  check.integer('cache.silence', silence, 10, 60_000)
  return { max: cache === false ? 0 : max, silence }
}

// What other clients call an address. ioredis looks at none of these and connects to localhost.
const ELSEWHERE: [ours: string, theirs: string[]][] = [
  ['the URL itself', ['url', 'uri', 'connectionString']],
  ['ioredis options with host and port', ['socket', 'hostname', 'address', 'endpoint', 'server']],
  ['ioredis options with path', ['unixSocket', 'unix_socket']],
  ['ioredis options with sentinels', ['sentinelRootNodes']],
  ['ioredis options with db', ['database', 'databaseId']],
  ['an ioredis Cluster', ['nodes', 'rootNodes', 'startupNodes', 'addresses', 'servers', 'hosts']]
]

function readRedis(redis: Config['redis'] = {}): Settings['redis'] {
  if (isUrl(redis)) return redis
  if (isClient(redis)) return redis
  if (!check.isPlain(redis)) {
    check.fail('redis', 'ioredis options, a redis:// or rediss:// URL, or an ioredis client')
  }
  const given = Object.entries(redis).filter(([, value]) => value !== undefined)
  const options = Object.fromEntries(given) as RedisOptions
  const urls = given.filter(([, value]) => isUrl(value)).map(([name]) => name)
  for (const [ours, theirs] of [...ELSEWHERE, ['the URL itself', urls] as const]) {
    const found = theirs.find((name) => name in options)
    if (found) check.fail('redis', `${ours}, not an object with ${found}`)
  }
  return options
}

function isUrl(value: unknown): value is string {
  return typeof value === 'string' && /^rediss?:\/\//.test(value)
}

function layoutOf(
  prefix: string,
  redis: Settings['redis'],
  hashSize: number,
  wanted: boolean | undefined
): Layout {
  const whole = keyPrefixOf(redis) + prefix
  const cluster = isCluster(redis)
  // What Redis Cluster takes for a hash tag: what stands between the first brace and the
  // next closing one.
  const tagged = /^[^{]*\{[^}]+\}/.test(whole)
  const spread = wanted === undefined ? cluster && !tagged : check.boolean('partitioned', wanted)
  if (!spread) {
    if (cluster && !tagged)
      check.fail('prefix', 'one with a hash tag, such as {token}, on a cluster')
    return singleRoot(prefix)
  }
  if (whole.includes('{')) check.fail('prefix', 'free of braces when the store is partitioned')
  if (hashSize < 4) check.fail('hashSize', 'at least 4 when the store is partitioned')
  return partitioned(prefix)
}
