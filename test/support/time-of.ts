import type { Redis } from 'ioredis'

/** A reply of TIME in Unix ms. */
export const msOf = ([seconds, micros]: (string | number)[]): number =>
  Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)

/** The clock of Redis, in Unix ms. */
export async function timeOf(redis: Redis): Promise<number> {
  return msOf(await redis.time())
}
