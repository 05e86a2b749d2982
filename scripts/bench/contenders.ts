/**
 * What is compared: this library as built, plain ioredis commands that do the
 * same job (the floor), and other session stores. Each is one small object with
 * the same methods, and gets the client that it comes with.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import uid2 from 'uid2'
import { v7 as uuidV7 } from 'uuid'
import type { Attrs } from './attrs'
import { library } from './library'
import { peer } from './peers'

/** What finds a token again. Stores without ids leave the id empty. */
export interface Handle {
  key: string
  id: string
}

export interface Contender {
  /** `ttl` in seconds; without it the token never ends, where that can be. */
  add(owner: string, attrs: Attrs, ttl?: number): Promise<Handle>
  getKey(token: Handle): Promise<object | null>
  set(token: Handle, attrs: Attrs): Promise<unknown>
  del(token: Handle): Promise<unknown>
  /** Absent where the store keeps no index of owners. */
  list?(owner: string): Promise<unknown[]>
  reset(): Promise<unknown>
}

export const NAMES = [
  'tokenstore',
  'floor',
  'autopipelining',
  'tokenstore 0.0.4',
  'redis-sessions',
  'connect-redis'
] as const
/** For what a cache answers, beside what asks Redis. */
export const CACHE_NAMES = [
  'tokenstore, cache',
  'tokenstore, cache, digest',
  'tokenstore',
  'floor',
  'autopipelining',
  'redis-sessions, cache',
  'redis-sessions',
  'connect-redis',
  'tokenstore 0.0.4'
] as const
export type Name = (typeof NAMES)[number] | (typeof CACHE_NAMES)[number]

const TITLES: Record<string, string> = {
  tokenstore: 'this library',
  'tokenstore, cache': 'this library, cache',
  'tokenstore, cache, digest': 'this library, cache, digest',
  floor: 'plain ioredis',
  autopipelining: 'ioredis, autopipelining'
}
export const titleOf = (name: string): string => TITLES[name] ?? name
export const isOwn = (name: string): boolean => /^tokenstore(,|$)/.test(name)
/** Whether it has to be installed first. */
export const isPeer = (name: Name): boolean => !(name in TITLES)

/** Whether a contender has that operation at all. */
export function can(name: Name, op: string): boolean {
  if (name === 'connect-redis') return !op.startsWith('list')
  return name !== 'tokenstore 0.0.4' || !op.endsWith('ttl')
}

export async function open(name: Name, url: string): Promise<Contender> {
  if (name === 'tokenstore') return current(url, { prefix: 'now' })
  if (name === 'tokenstore, cache') return current(url, { prefix: 'cached', cache: true })
  if (name === 'tokenstore, cache, digest') {
    return current(url, { prefix: 'digested', cache: true, digest: true })
  }
  if (name === 'floor') return floor(new Redis(url))
  if (name === 'autopipelining') return floor(new Redis(url, { enableAutoPipelining: true }))
  if (name === 'tokenstore 0.0.4') return old(url)
  if (name === 'redis-sessions') return redisSessions(url, { namespace: 'rs' })
  if (name === 'redis-sessions, cache') {
    return redisSessions(url, { namespace: 'rsc', cachetime: 3600, cachemax: 10_000 })
  }
  return connectRedis(url)
}

interface Options {
  prefix: string
  cache?: boolean
  digest?: boolean
}

function current(url: string, options: Options): Contender {
  const store = library().Tokenstore<Attrs>({ ...options, redis: url, timeout: 60_000 })
  return {
    add: (owner_id, attrs, ttl) => store.add({ owner_id, attrs, ttl }),
    getKey: ({ key }) => store.getKey(key),
    set: ({ id }, attrs) => store.set(id, attrs),
    del: ({ id }) => store.del(id),
    list: (owner) => store.list(owner),
    reset: () => store.reset()
  }
}

/**
 * The fewest plain commands that do the job; those that write several names do
 * it in a MULTI.
 */
function floor(redis: Redis): Contender {
  interface Record {
    id: string
    owner_id: string
    ends_at?: number
    attrs: Attrs
  }
  const root = redis.options.enableAutoPipelining ? 'auto' : 'floor'
  const keyName = (key: string): string => `${root}:key:${key}`
  const idName = (id: string): string => `${root}:id:${id}`
  const ownerSet = (owner: string): string => `${root}:tokens:${owner}`
  return {
    async add(owner_id, attrs, ttl) {
      const key = uid2(24)
      const id = uuidV7()
      const ends_at = ttl && Date.now() + 1000 * ttl
      const record = JSON.stringify({ id, owner_id, ends_at, attrs })
      const writes = redis.multi().zadd(ownerSet(owner_id), ends_at ?? '+inf', id)
      if (ends_at === undefined) writes.set(keyName(key), record).set(idName(id), key)
      else writes.set(keyName(key), record, 'PXAT', ends_at).set(idName(id), key, 'PXAT', ends_at)
      await writes.exec()
      return { key, id }
    },
    async getKey({ key }) {
      const record = await redis.get(keyName(key))
      return record === null ? null : { key, ...(JSON.parse(record) as Record) }
    },
    async set({ id }, attrs) {
      const key = await redis.get(idName(id))
      const record = key && (await redis.get(keyName(key)))
      if (!record) return null
      const token = { ...(JSON.parse(record) as Record), attrs }
      await redis.set(keyName(key), JSON.stringify(token), 'KEEPTTL', 'XX')
      return { key, ...token }
    },
    async del({ id }) {
      const key = await redis.get(idName(id))
      const record = key && (await redis.get(keyName(key)))
      if (!record) return false
      const { owner_id } = JSON.parse(record) as Record
      await redis.multi().del(keyName(key), idName(id)).zrem(ownerSet(owner_id), id).exec()
      return true
    },
    async list(owner) {
      const ids = await redis.zrange(ownerSet(owner), '0', '-1')
      const keys = (await redis.mget(ids.map(idName))) as string[]
      const records = (await redis.mget(keys.map(keyName))) as string[]
      return records.map((record, i) => ({
        key: keys[i],
        ...(JSON.parse(record) as Record)
      }))
    },
    async reset() {
      for (let cursor = '0'; ;) {
        const [next, names] = await redis.scan(cursor, 'MATCH', `${root}:*`, 'COUNT', 1000)
        if (names.length > 0) await redis.unlink(names)
        if ((cursor = next) === '0') return
      }
    }
  }
}

type Done = (error: Error | null, result?: unknown) => void

/** A promise of what a function with a callback answers. */
function promised<T>(call: (done: Done) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, result) => (error ? reject(error) : resolve(result as T)))
  })
}

function old(url: string): Contender {
  interface Old {
    add(token: { owner_id: string; attrs: Attrs }, done: Done): void
    getKey(key: string, done: Done): void
    setAttrs(id: string, attrs: Attrs, done: Done): void
    del(id: string, done: Done): void
    list(owner: string, done: Done): void
    reset(done: Done): void
  }
  const { hostname: host, port } = new URL(url)
  const store = (peer('tokenstore') as { api(config: object): Old }).api({
    redis: { host, port },
    prefix: 'old'
  })
  return {
    add: (owner_id, attrs) => promised((done) => store.add({ owner_id, attrs }, done)),
    getKey: async ({ key }) =>
      (await promised<object | false>((done) => store.getKey(key, done))) || null,
    set: ({ id }, attrs) => promised((done) => store.setAttrs(id, attrs, done)),
    del: ({ id }) => promised((done) => store.del(id, done)),
    list: (owner) => promised((done) => store.list(owner, done)),
    reset: () => promised((done) => store.reset(done))
  }
}

interface SessionOptions {
  namespace: string
  /** Seconds that a session is answered from memory. */
  cachetime?: number
  cachemax?: number
}

/**
 * Its `get` counts as a use of the session, which it writes down every time, but
 * for those from its cache. A session always has an end.
 */
async function redisSessions(url: string, options: SessionOptions): Promise<Contender> {
  interface Sessions {
    toConnect: Promise<unknown>
    create(options: object): Promise<{ token: string }>
    get(options: object): Promise<object | null>
    set(options: object): Promise<object | null>
    kill(options: object): Promise<object>
    killall(options: object): Promise<object>
    soid(options: object): Promise<{ sessions: object[] }>
  }
  const { default: Store } = peer('redis-sessions') as {
    default: new (options: object) => Sessions
  }
  const store = new Store({ options: { url }, ...options, wipe: 0 })
  await store.toConnect
  const app = 'app'
  // Its cache may hear of its own writes only after they are answered.
  const heard = async (): Promise<void> => {
    if (options.cachetime) await sleep(50)
  }
  return {
    async add(id, attrs, ttl = 2592000) {
      const { token } = await store.create({
        app,
        id,
        ip: '192.0.2.7',
        ttl,
        d: attrs
      })
      return { key: token, id: '' }
    },
    getKey: ({ key }) => store.get({ app, token: key }),
    set: async ({ key }, d) => {
      await store.set({ app, token: key, d })
      await heard()
    },
    del: async ({ key }) => {
      await store.kill({ app, token: key })
      await heard()
    },
    list: async (id) => (await store.soid({ app, id })).sessions,
    reset: async () => {
      await store.killall({ app })
      await heard()
    }
  }
}

/**
 * Has no index of owners to keep, and so none to list by; writes the whole
 * session where others change attrs.
 */
async function connectRedis(url: string): Promise<Contender> {
  interface Sessions {
    get(sid: string): Promise<object | null>
    set(sid: string, session: object): Promise<unknown>
    destroy(sid: string): Promise<unknown>
    clear(): Promise<unknown>
  }
  const { createClient } = peer('redis') as {
    createClient(options: object): { connect(): Promise<unknown> }
  }
  const { RedisStore } = peer('connect-redis') as {
    RedisStore: new (options: object) => Sessions
  }
  const client = createClient({ url })
  await client.connect()
  const store = new RedisStore({
    client,
    prefix: 'cr:',
    disableTTL: true,
    scanCount: 1000
  })
  return {
    async add(owner_id, attrs) {
      const key = uid2(24)
      await store.set(key, { owner_id, attrs })
      return { key, id: owner_id }
    },
    getKey: ({ key }) => store.get(key),
    set: ({ key, id: owner_id }, attrs) => store.set(key, { owner_id, attrs }),
    del: ({ key }) => store.destroy(key),
    reset: () => store.clear()
  }
}
