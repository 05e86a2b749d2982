import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import type { Token } from '../../src/main'
import { audit, client, closeAfterAll, random } from '../support'
import { breaks, contenders, type Tokens } from './race'

closeAfterAll()

const WALKS = 50
const OWNERS = 20
const STORES = 4
const LANES = 16
const MOST = 500

// Of its own, for what is done to its table.
let server: RedisServer
beforeAll(async () => {
  server = await startRedis(['--hz', '100'])
})
afterAll(() => server.stop())

const lifetimes = [{}, { ttl: 600 }, { idle: 600 }]

/**
 * Tokens that are added, used, rotated, moved and revoked without end. There are up to `most`,
 * then down to a tenth of that, and so on; of some owners one is never moved or revoked.
 */
async function traffic(stores: Tokens[], most: number) {
  const rng = random(43)
  const below = (n: number): number => Math.floor(rng() * n)
  const add = (n: number, owner_id: string): Promise<Token> =>
    stores[n % STORES]!.add({ owner_id, ...lifetimes[n % 3] })
  const owner = (): string => `user-${below(3 * OWNERS)}`
  const steady = await Promise.all(Array.from({ length: OWNERS }, (_, n) => add(n, `user-${n}`)))
  const others: Token[] = []
  const walks = new Set<Set<string>>()
  let grows = true
  let running = true

  const end = async (tokens: Tokens): Promise<void> => {
    const [token] = others.splice(below(others.length), 1)
    for (const living of walks) living.delete(token!.id)
    await tokens.del(token!.id)
  }
  const change = async (tokens: Tokens): Promise<void> => {
    const n = below(steady.length + others.length)
    const token = steady[n] ?? others[n - steady.length]!
    const changed = await [
      () => tokens.getKey(token.key),
      () => tokens.set(token.id, { n }),
      () => tokens.rotate(token.id, n % 2 ? { grace: 0.05 } : {}),
      () => tokens.refresh(token.key, { grace: null, detect: null }),
      () =>
        tokens.change(token.id, {
          ...lifetimes[n % 3],
          attrs: { n },
          ...(n >= steady.length && { owner_id: owner() })
        })
    ][below(5)]!()
    if (changed) token.key = changed.key
  }
  const lane = async (tokens: Tokens): Promise<void> => {
    for (let n = 0; running; n++) {
      if (n % 2) await change(tokens)
      else if (grows) others.push(await add(n, owner()))
      else await end(tokens)
      if (others.length >= most) grows = false
      else if (others.length <= most / 10) grows = true
    }
  }
  const lanes = Promise.all(Array.from({ length: LANES }, (_, n) => lane(stores[n % STORES]!)))
  lanes.catch(() => {}) // until `stop` tells

  return {
    owners: new Set(steady.map(({ owner_id }) => owner_id)),
    /** Calls `walk` with the ids of what lives now, which those leave that are revoked. */
    async watched(walk: (living: Set<string>) => Promise<void>): Promise<void> {
      const living = new Set([...steady, ...others].map(({ id }) => id))
      walks.add(living)
      await walk(living).finally(() => walks.delete(living))
    },
    /** Answers the ids of what lives then. */
    async stop(): Promise<string[]> {
      running = false
      await lanes
      return [...steady, ...others].map(({ id }) => id)
    }
  }
}

async function* idsOf(tokens: AsyncIterable<Token>): AsyncGenerator<string> {
  for await (const { id } of tokens) yield id
}

/** Expects that a walk meets what lives through it, and nothing twice. */
async function expectMet(walk: AsyncIterable<string>, living: Set<string>): Promise<void> {
  const met = new Set<string>()
  const twice: string[] = []
  for await (const each of walk) {
    if (met.has(each)) twice.push(each)
    met.add(each)
  }
  expect(twice).toEqual([])
  expect([...living].filter((each) => !met.has(each))).toEqual([])
}

/**
 * Other names come in crowds, and go: the table of Redis shrinks in the middle of walks, and SCAN
 * repeats names. Until what it answers is called.
 */
function crowds(redis: Redis): () => Promise<void> {
  const lua = `for n = 1, 9000 do redis.call(ARGV[1], 'other-' .. n, ARGV[2]) end`
  let running = true
  const done = (async () => {
    for (; running; await sleep(20)) {
      await redis.eval(lua, 0, 'SET', '')
      await redis.eval(lua, 0, 'DEL', 'other')
    }
  })()
  return async () => {
    running = false
    await done
  }
}

test('every token and owner that lives through a walk comes once, whatever else is done', async () => {
  const { prefix, stores } = await contenders(1 + STORES, { redis: server.url })
  const [walker, ...busy] = stores
  const redis = client({}, server.url)
  const { owners, watched, stop } = await traffic(busy, MOST)
  const disperse = crowds(redis)
  let left: string[]
  try {
    for (let walk = 0; walk < WALKS; walk++) {
      await Promise.all([
        watched((living) => expectMet(idsOf(walker!.all()), living)),
        expectMet(walker!.owners(), owners)
      ])
    }
  } finally {
    await disperse()
    left = await stop()
  }
  expect(await audit(redis, prefix)).toEqual([])
  const met: string[] = []
  for await (const id of idsOf(walker!.all())) met.push(id)
  expect(met.sort()).toEqual(left.sort())
})

test('in two calls, names and then what they hold, some are missed', async () => {
  const { prefix, stores } = await contenders(1 + STORES, { redis: server.url })
  const redis = client({}, server.url)
  const { watched, stop } = await traffic(stores.slice(1), 50)
  async function* split(): AsyncGenerator<string> {
    const names = await redis.keys(`${prefix}:key:*`)
    for (const record of names.length ? await redis.mget(names) : []) {
      const id = /^\{"id":"([^"]+)/.exec(record ?? '')?.[1]
      if (id) yield id
    }
  }
  try {
    await breaks(() => watched((living) => expectMet(split(), living)))
  } finally {
    await stop()
  }
})
