import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { client, closeAfterAll, freshPrefix, store } from '../support'
import { configs, run, type Weights } from './run'

closeAfterAll()

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

const all: Weights = {
  add: 100,
  getKey: 50,
  get: 12,
  set: 20,
  update: 12,
  change: 30,
  del: 10,
  delKey: 10,
  delOwner: 4,
  list: 10,
  each: 6,
  count: 12,
  rotate: 30,
  refresh: 40,
  makeHash: 25,
  getHash: 6,
  takeHash: 8,
  delHash: 3,
  evict: 10,
  reset: 1
}

test.each([
  { seed: 1, steps: 3000, digest: false },
  { seed: 2, steps: 1000, digest: true }
])(
  'methods answer, and leave in Redis, what a simple model says: $steps calls, digest $digest',
  async (given) => {
    const redis = client({}, server.url)
    const prefix = freshPrefix()
    const { digest } = given
    const stores = configs.map((config) =>
      store<Record<string, unknown>>({ ...config, prefix, redis: server.url, digest })
    )
    console.log(await run(redis, prefix, stores, { ...given, weights: all }))
  }
)
