import { Redis, type Cluster, type RedisOptions } from 'ioredis'
import * as check from './check'
import type { Corkable } from './cork'
import { slotOf } from './layout'

type Listener = (...args: unknown[]) => void

/**
 * What the store uses of an ioredis `Redis` or `Cluster`, so that a client of another
 * ioredis version fits too.
 */
export interface RedisClient {
  readonly status: string
  readonly isCluster?: boolean | undefined
  readonly options: { keyPrefix?: string | undefined }
  readonly stream?: Corkable | undefined
  defineCommand(name: string, definition: { lua: string; numberOfKeys?: number }): void
  connect(): Promise<unknown>
  disconnect(): void
  quit(): Promise<unknown>
  del(name: string): Promise<number>
  refreshSlotsCache?(): void
  on(event: string, listener: Listener): unknown
  off(event: string, listener: Listener): unknown
}

/** One server that holds names, as far as it is called by itself. */
export interface Node {
  readonly stream?: unknown
  ping(): Promise<unknown>
  scan(
    cursor: string,
    match: 'MATCH',
    pattern: string,
    count: 'COUNT',
    n: number
  ): Promise<[cursor: string, names: string[]]>
}

/** Options of ioredis 6 or 5, whose types have classes and functions that differ. */
export type AnyRedisOptions = Omit<RedisOptions, 'Connector' | 'preferredSlaves'> & {
  Connector?: unknown
  preferredSlaves?: RedisOptions['preferredSlaves'] | object
}

type Given = RedisClient | AnyRedisOptions | string

export function isClient(redis: Given): redis is RedisClient {
  return typeof redis === 'object' && redis !== null && 'defineCommand' in redis
}

export function isCluster(redis: Given): boolean {
  return isClient(redis) && redis.isCluster === true
}

/** What ioredis puts before every key; SCAN patterns and replies it leaves alone. */
export function keyPrefixOf(redis: Given): string {
  if (typeof redis === 'string') {
    // What is no URL is refused when it is opened.
    const { searchParams } = new URL(URL.canParse(redis) ? redis : 'redis:')
    return searchParams.getAll('keyPrefix').at(-1) ?? ''
  }
  return (isClient(redis) ? redis.options.keyPrefix : redis.keyPrefix) ?? ''
}

/**
 * The servers that hold names: the one, or every master of a cluster, which knows them only
 * once it is connected.
 */
export function mastersOf(client: RedisClient): Node[] {
  return isCluster(client)
    ? (client as unknown as Cluster).nodes('master')
    : [client as unknown as Redis]
}

/** What the server that holds a name is called; '' for the one, or when none is known. */
export function serverOf(client: RedisClient, name: string): string {
  if (!isCluster(client)) return ''
  return (client as unknown as Cluster).slots[slotOf(name)]?.[0] ?? ''
}

/** What the servers that hold the slots of a cluster are called, slot by slot. */
export function slotServersOf(client: RedisClient): (string | undefined)[] {
  if (!isCluster(client)) return []
  return Array.from((client as unknown as Cluster).slots, (servers) => servers?.[0])
}

/** The server that holds a name, and what it is called: the one, or a master of a cluster. */
export function masterOf(client: RedisClient, name: string): [server: string, redis: Redis] {
  if (!isCluster(client)) return ['', client as unknown as Redis]
  const server = serverOf(client, name)
  const redis = (client as unknown as Cluster)
    .nodes('master')
    .find(({ options: { host, port } }) => `${host}:${port}` === server)
  if (!redis) {
    throw new Error('CLUSTERDOWN no master is known for the slot')
  }
  return [server, redis]
}

// A command whose answer is lost is reported at once and never sent again: the second run
// of a takehash would answer nil, that of a set could undo a newer one.
const ONCE: RedisOptions = {
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0
}

// ioredis keeps the process up for so long, 2 s by default, when a client whose connection
// is down already is told to disconnect; it also waits so long for the far end.
const DISCONNECT_MS = 100

/** A connection of the store's own. */
export function open(redis: RedisOptions | string): Redis {
  const options: RedisOptions = {
    disconnectTimeout: DISCONNECT_MS,
    // The pauses of ioredis 6 grow to 5 s, so that calls go on failing, each after its
    // timeout, when Redis is long back.
    retryStrategy: (times) => Math.min(2 ** (times - 1) * 50, 500) + Math.random() * 200,
    // A master that has become a replica keeps its connections too.
    reconnectOnError: ({ message }) => message.startsWith('READONLY')
  }
  const client = construct(redis, options)
  // Whatever the caller's options, or those in the URL, say.
  Object.assign(client.options, ONCE)
  return client
}

function construct(redis: RedisOptions | string, options: RedisOptions): Redis {
  if (typeof redis === 'object') {
    return new Redis({ host: '127.0.0.1', port: 6379, ...options, ...redis })
  }
  try {
    return new Redis(redis, options)
  } catch {
    // What Node throws repeats the URL, and so the password.
    check.fail('redis', 'a valid URL, with what is special in a user or a password percent-encoded')
  }
}

/**
 * Another connection to the same server and database, on which nothing is sent unless it is
 * sent at once.
 */
export function apart(redis: Redis, options: RedisOptions): Redis {
  return redis.duplicate({
    disconnectTimeout: DISCONNECT_MS,
    ...ONCE,
    db: redis.condition?.select ?? redis.options.db,
    keyPrefix: '',
    lazyConnect: false,
    enableOfflineQueue: false,
    ...options
  })
}

/** A connection that is not opened again when it is lost. */
export const ONE_CONNECTION: RedisOptions = { retryStrategy: () => null }
