/**
 * What an operation costs in a large store beside a small one: the same
 * process, each store on a server of its own.
 */
import { Redis } from 'ioredis'
import { startRedis } from '../redis-server'
import { ContenderProcess } from './contender-process'
import { median } from './statistics'
import { pin, SERVER_CORE } from './scheduling'
import type { Progress } from './progress'
import type { Settings } from './settings'
import { GROWING } from './sized-stores'
import type { Step } from './tasks'
import { timed, type Timed } from './timed'

export interface Growth {
  op: string
  inFlight: number
  /** Microseconds per call. */
  small: number
  large: number
  /** The same of the server's CPU. */
  smallCpu: number
  largeCpu: number
  ratio: number
  cpuRatio: number
}

// Few calls a step: the smaller store has not many tokens to end and issue.
const KINDS = [1, 64].flatMap((inFlight) =>
  GROWING.map((op) => ({ op, inFlight, calls: inFlight === 1 ? 100 : 250 }))
)

export async function growth(
  { growth: sizes, growthSteps }: Settings,
  progress: Progress
): Promise<Growth[]> {
  const servers = [await startRedis(), await startRedis()] as const
  const clients = servers.map(({ url }) => new Redis(url))
  const urls = servers.map(({ url }) => url)
  const contender = new ContenderProcess('tokenstore', ...urls)
  const seen = new Map<string, Timed[]>()
  try {
    await contender.ask()
    contender.pin()
    for (const { pid } of servers) pin(pid, SERVER_CORE)
    progress('growth', 0, growthSteps)
    for (const size of sizes) await contender.ask({ do: 'grow', size })
    for (let round = 0; round < growthSteps; round++) {
      progress('growth', round, growthSteps)
      for (const { op, inFlight, calls } of KINDS) {
        for (const store of [0, 1, 1, 0] as const) {
          const size = sizes[store]
          const task = (part: Step['part']): Step => ({
            do: 'step',
            part,
            op,
            size,
            calls,
            inFlight
          })
          const at = `${op}/${inFlight}/${store}`
          await contender.ask(task('before'))
          const slice = await timed(clients[store]!, contender, task('run'))
          seen.set(at, [...(seen.get(at) ?? []), slice])
          await contender.ask(task('after'))
        }
      }
    }
  } finally {
    await contender.end()
    for (const client of clients) client.disconnect()
    for (const server of servers) await server.stop()
  }
  return KINDS.map(({ op, inFlight }) => {
    const cost = (store: 0 | 1, of: (slice: Timed) => number): number => {
      const slices = seen.get(`${op}/${inFlight}/${store}`)!
      return median(slices.map((slice) => of(slice) / slice.calls))
    }
    const us = ({ seconds }: Timed): number => seconds * 1e6
    const cpu = ({ server }: Timed): number => server.cpu
    const [small, large] = [cost(0, us), cost(1, us)]
    const [smallCpu, largeCpu] = [cost(0, cpu), cost(1, cpu)]
    return {
      op,
      inFlight,
      small,
      large,
      smallCpu,
      largeCpu,
      ratio: large / small,
      cpuRatio: largeCpu / smallCpu
    }
  })
}
