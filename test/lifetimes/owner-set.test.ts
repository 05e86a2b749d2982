import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { client, closeAfterAll, freshPrefix, store } from '../support'
import { configs, run, type Weights } from './run'

closeAfterAll()

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

// What moves the end of an owner set: nothing here but tokens that come, are used and go.
const weights: Weights = {
  add: 40,
  getKey: 30,
  change: 10,
  rotate: 6,
  refresh: 6,
  del: 8,
  delKey: 4,
  delOwner: 2,
  evict: 4,
  list: 2,
  count: 4
}

test.each([11, 12, 13])(
  'an owner set ends with its longest-lived member, at every step (seed %d)',
  async (seed) => {
    const redis = client({}, server.url)
    const prefix = freshPrefix()
    const stores = configs.map((config) =>
      store<Record<string, unknown>>({ ...config, prefix, redis: server.url })
    )
    console.log(await run(redis, prefix, stores, { seed, steps: 1000, weights }))
  }
)
