import { Redis, type RedisOptions } from 'ioredis'
import { closeLater } from './close-after-all'

export const redisUrl = (): string => process.env.TEST_REDIS_URL!

/** A plain ioredis client of the tests' server. */
export function client(options: RedisOptions = {}, url = redisUrl()): Redis {
  const redis = new Redis(url, options)
  closeLater(async () => redis.disconnect())
  return redis
}
