import type { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import type { Token } from '../../src/main'
import { client, closeAfterAll, names } from '../support'
import { breaks, contenders, must, races, ROUNDS, values, type Tokens } from './race'

closeAfterAll()

// Names of others, among which a store's own are so far apart that a reset takes several steps.
const OTHERS = 1000
const LANES = 10
const TOKENS = 5
const HASHES = 2

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
  const others = Array.from({ length: OTHERS }, (_, i) => [`other-${i}`, String(i)])
  await client({}, server.url).mset(...others.flat())
})
afterAll(() => server.stop())

async function fill(tokens: Tokens): Promise<Token[]> {
  const lifetimes = [{}, { ttl: 600 }, { idle: 600 }]
  const added: Token[] = await Promise.all(
    Array.from({ length: TOKENS }, (_, i) =>
      tokens.add({ owner_id: `user-${i % 2}`, ...lifetimes[i % 3] })
    )
  )
  const [rotated] = await Promise.all([
    tokens.rotate(added[1]!.id, { grace: 300 }),
    tokens.makeHash(1),
    tokens.makeHash(2, { replaces: 'name' })
  ])
  return added.with(1, rotated!)
}

test('two resets at once remove together what was there, and nothing is left', async () => {
  const redis = client({}, server.url)
  const race = races(20)
  const won = [0, 0]
  const lane = async (): Promise<void> => {
    const { prefix, stores } = await contenders(2, { redis: server.url })
    for (let round = 0; round < ROUNDS / LANES; round++) {
      await fill(stores[0]!)
      const removed = values(await race(stores.map((tokens) => () => tokens.reset())))
      expect(removed[0]! + removed[1]!).toBe(TOKENS + HASHES)
      won[0]! += removed[0]!
      won[1]! += removed[1]!
      expect(await names(redis, prefix)).toEqual({})
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  expect(Math.min(...won)).toBeGreaterThan(0)
  expect(await redis.dbsize()).toBe(OTHERS)
})

type Reset = (tokens: Tokens, added: Token[], prefix: string) => Promise<number>

const views = [
  async (tokens: Tokens, { key }: Token) => (await tokens.getKey(key)) !== null,
  async (tokens: Tokens, { id }: Token) => (await tokens.get(id)) !== null,
  async (tokens: Tokens, { id, owner_id }: Token) =>
    (await tokens.list(owner_id)).some((token) => token.id === id)
]

function roundsOf(redis: Redis, reset: Reset, seen = { whole: 0, gone: 0, between: 0 }) {
  const race = races(21)
  return async (prefix: string, [resetter, ...readers]: Tokens[], round: number): Promise<void> => {
    const added = await fill(resetter!)
    let running = true
    const resets = async (): Promise<number> => {
      try {
        return await reset(resetter!, added, prefix)
      } finally {
        running = false
      }
    }
    // One view after the other: what one no longer shows, no later one may.
    const read = async (tokens: Tokens, i: number): Promise<void> => {
      const token = added[(round + i) % TOKENS]!
      let gone = false
      for (let n = i; running; n++) {
        const found = await views[n % views.length]!(tokens, token)
        must(!(found && gone))
        if (!found && n > i && !gone) seen.between++
        gone = !found
      }
    }
    const look = async (): Promise<void> => {
      while (running) {
        const multi = redis.multi()
        for (const { key, id, owner_id } of added) {
          multi
            .exists(`${prefix}:key:${key}`, `${prefix}:id:${id}`)
            .zscore(`${prefix}:tokens:${owner_id}`, id)
        }
        const replies = (await multi.exec())!.map(([, reply]) => reply)
        for (let i = 0; i < replies.length; i += 2) {
          const there = Number(replies[i]) + Number(replies[i + 1] !== null)
          must(there === 0 || there === 3)
          seen[there ? 'whole' : 'gone']++
        }
      }
    }
    const calls = [resets, look, ...readers.map((tokens, i) => () => read(tokens, i))]
    expect(values(await race<unknown>(calls))[0]).toBe(TOKENS + HASHES)
  }
}

test('while a reset runs every other call sees each token whole or not at all', async () => {
  const redis = client({}, server.url)
  const seen = { whole: 0, gone: 0, between: 0 }
  const run = roundsOf(redis, (tokens) => tokens.reset(), seen)
  const lane = async (): Promise<void> => {
    const { prefix, stores } = await contenders(3, { redis: server.url })
    for (let round = 0; round < ROUNDS / LANES; round++) await run(prefix, stores, round)
    expect(await names(redis, prefix)).toEqual({})
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  expect(Math.min(seen.whole, seen.gone, seen.between)).toBeGreaterThan(0)
})

test('in two calls, a token is seen in part', async () => {
  const redis = client({}, server.url)
  const run = roundsOf(client({}, server.url), async (tokens, added, prefix) => {
    await redis.del(added.map(({ key }) => `${prefix}:key:${key}`))
    return added.length + (await tokens.reset())
  })
  await breaks(async (round) => {
    const { prefix, stores } = await contenders(3, { redis })
    await run(prefix, stores, round)
  })
})
