/** What a cache must reach. */
import { bar, type Bar } from '../bars'
import type { Cell } from '../speed'
import type { CacheMeasured } from './measure'

export function cacheBars({ cells, costs }: CacheMeasured): Bar[] {
  const at = (contender: string, inFlight: number): Cell =>
    cells.find((cell) => cell.contender === contender && cell.inFlight === inFlight)!
  const getKey = (contender: Cell['contender'], inFlight: number, limit: number): Bar =>
    bar(
      `${contender}, ${inFlight} in flight: throughput of a plain GET`,
      at(contender, inFlight).ratio,
      '>=',
      limit
    )
  const cost = costs.find(({ together, cache }) => cache && !together)!
  return [
    getKey('tokenstore, cache', 1, 40),
    getKey('tokenstore, cache', 256, 6),
    getKey('tokenstore, cache, digest', 256, 3.5),
    bar(
      'tokenstore, cache, 1 in flight: p99',
      1000 * at('tokenstore, cache', 1).p99,
      '<=',
      20,
      'us',
      1
    ),
    getKey('tokenstore', 16, 1.3),
    bar('two processes with a cache: server CPU of those without', cost.ratio, '<=', 0.3)
  ]
}
