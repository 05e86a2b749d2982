/** What must be reached beside connect-redis. */
import { bar, type Bar } from '../bars'
import { MIXES, type SessionsMeasured } from './measure'
import type { StoreName } from './stores'
import { titleOfMix } from './text'

const BUSY = Math.max(...MIXES.map(({ inFlight }) => inFlight))

export function sessionBars({ apps }: SessionsMeasured): Bar[] {
  const busy = apps.filter(({ inFlight }) => inFlight === BUSY)
  const bars = (name: StoreName, limit: number): Bar[] =>
    busy
      .filter(({ store }) => store === name)
      .map((cell) =>
        bar(`${name}, ${titleOfMix(cell)}: requests/s of connect-redis`, cell.ratio, '>=', limit)
      )
  return [...bars('tokenstore', 1.2), ...bars('tokenstore, cache', 1.4)]
}
