import { timeOf, until } from '../../support'
import { topology } from './topology'

/** The clock of Redis, in Unix ms. */
export const redisNow = (): Promise<number> => timeOf(topology.redis())

/** When a name in Redis ends, in Unix ms; null for never. */
export async function endOf(name: string): Promise<number | null> {
  const end = await topology.redis().pexpiretime(name)
  return end === -1 ? null : end
}

/** Waits until the clock of Redis has passed a time. */
export const passed = (time: number): Promise<void> => until(async () => (await redisNow()) > time)

/**
 * Looks until nothing is found, and expects that something is until `earliest`
 * is over, and nothing after `latest`.
 */
export async function endsBetween(
  earliest: number,
  latest: number,
  look: () => Promise<unknown>
): Promise<void> {
  for (let found: unknown; found !== null;) {
    const asked = await redisNow()
    found = await look()
    if (found === null) expect(await redisNow()).toBeGreaterThan(earliest)
    else expect(asked).toBeLessThanOrEqual(latest)
  }
}
