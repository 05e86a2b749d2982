import type { Redis } from 'ioredis'

/** The clock of Redis, in Unix ms. */
export async function timeOf(redis: Redis): Promise<number> {
  const [seconds, micros] = await redis.time()
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
}
