/** How often caches of several sizes answer, and how fast that is. */
import { startRedis } from '../../redis-server'
import { ContenderProcess } from '../contender-process'
import type { Progress } from '../progress'
import { pin, SERVER_CORE } from '../scheduling'
import type { Settings } from '../settings'
import { median, ratios } from '../statistics'
import type { Drawn, Max } from './tasks'

export interface Hits {
  max: Max
  /** Of all calls. */
  rate: number
  throughput: number
  /** To that without a cache. */
  ratio: number
}

export async function hits({ cache }: Settings, progress: Progress): Promise<Hits[]> {
  const { drawn: size, sizes, drawRounds, drawMs: ms } = cache
  const server = await startRedis()
  const contender = new ContenderProcess('tokenstore', server.url)
  const all = [0, ...sizes]
  const seen = new Map<Max, Drawn[]>(all.map((max) => [max, []]))
  try {
    await contender.ask()
    contender.pin()
    pin(server.pid, SERVER_CORE)
    for (const max of [0, sizes[0]!]) await contender.ask({ do: 'issue', max, from: 0, to: size })
    for (const max of sizes) await contender.ask({ do: 'keep', max, from: 0, to: size })
    // Round 0 warms up and counts for nothing.
    for (let round = 0; round <= drawRounds; round++) {
      progress('hits', round, drawRounds + 1)
      for (const max of [...all, ...all.toReversed()]) {
        const slice = (await contender.ask({ do: 'draw', max, size, ms })) as Drawn
        if (round > 0) seen.get(max)!.push(slice)
      }
    }
  } finally {
    await contender.end()
    await server.stop()
  }
  const perSecond = (max: Max): number[] =>
    seen.get(max)!.map(({ calls, seconds }) => calls / seconds)
  return all.map((max) => ({
    max,
    rate: median(seen.get(max)!.map(({ calls, asked }) => 1 - asked / calls)),
    throughput: median(perSecond(max)),
    ratio: median(ratios(perSecond(max), perSecond(0)))
  }))
}
