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
}

const NAMES: (keyof Config)[] = [
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
  'replicas'
]

export function readConfig(config: Config): Settings {
  check.options<Config>('config', config, NAMES)
  const { prefix = 'token', redis = {}, size = 24, hashSize = 8 } = config
  const { hashTtl = 3600, touchEvery, digest = false, timeout = 2000 } = config
  const { batch = true, replicas = 0 } = config
  check.text('prefix', prefix)
  if (/:(key|id|tokens|hash|latest)(:|$)/.test(prefix)) {
    const parts = 'key, id, tokens, hash and latest'
    check.fail('prefix', `free of the parts ${parts}, which name the data of a store`)
  }
  const idle = check.lifetime('idle', config.idle, null)
  const every = touchEvery === undefined ? null : check.seconds('touchEvery', touchEvery)
  if (idle && every && every > idle) check.fail('touchEvery', 'at most idle')
  const url = typeof redis === 'string' && /^rediss?:\/\//.test(redis)
  if (!url && !check.isPlain(redis) && !isClient(redis)) {
    check.fail('redis', 'ioredis options, a redis:// or rediss:// URL, or an ioredis client')
  }
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
    replicas: check.integer('replicas', replicas, 0, 100)
  }
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
