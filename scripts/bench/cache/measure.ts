/** getKey from memory: how fast, how often, what it spares Redis, how late. */
import { beside } from '../beside'
import { CACHE_NAMES } from '../contenders'
import type { Progress } from '../progress'
import type { Place } from '../report'
import type { Settings } from '../settings'
import { IN_FLIGHT, speed, type Cell } from '../speed'
import { hits, type Hits } from './hits'
import { underLoad, type Cost, type Revocations } from './load'

export interface CacheMeasured extends Place {
  cells: Cell[]
  hits: Hits[]
  costs: Cost[]
  revocations: Revocations
}

const VISITS = IN_FLIGHT.map((inFlight) => ({ ops: ['getKey'], inFlight }))

export async function measureCache(
  settings: Settings,
  peers: boolean,
  progress: Progress
): Promise<CacheMeasured> {
  const place = await beside(
    CACHE_NAMES,
    peers,
    async ({ redis, contenders, version, pinned }) => ({
      redis: version,
      pinned,
      cells: await speed(settings, progress, redis, contenders, VISITS)
    })
  )
  return {
    ...place,
    hits: await hits(settings, progress),
    ...(await underLoad(settings, progress))
  }
}
