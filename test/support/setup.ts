import { useRedis } from '../../scripts/redis-server'

/** One real Redis for all test files; those that kill, stop or count on theirs start another. */
export default async function setup(): Promise<void> {
  const server = await useRedis()
  process.env.TEST_REDIS_URL = server.url
  Object.assign(globalThis, { __stopRedis: server.stop })
}
