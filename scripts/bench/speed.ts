/** Calls per second and what they cost, of every contender, in turns. */
import type { Redis } from 'ioredis'
import { ATTRS } from './attrs'
import type { ContenderProcess } from './contender-process'
import { can, type Name } from './contenders'
import { listOps, LISTS, sizeOf } from './lists'
import { median } from './statistics'
import type { Progress } from './progress'
import type { Settings } from './settings'
import { timed, type Timed } from './timed'

/**
 * One operation of one contender with so many calls in flight: medians of the
 * rounds.
 */
export interface Cell {
  contender: Name
  op: string
  inFlight: number
  throughput: number
  /** To the floor in the same round. */
  ratio: number
  lowest: number
  highest: number
  p50: number
  p99: number
  serverCpu: number
  serverCpuRatio: number
  clientCpu: number
  /**
   * Per call. Round trips are the times that the server read from a socket,
   * which tells only with one in flight.
   */
  reads: number
  commands: number
  bytesIn: number
  bytesOut: number
}

export interface Visit {
  ops: string[]
  inFlight: number
}

export const IN_FLIGHT = [1, 16, 64, 256]
const MONTH = 2592000 // seconds

// What is added in one slice is what del ends in the next.
export const VISITS: Visit[] = [
  ...IN_FLIGHT.flatMap((inFlight) =>
    [['getKey'], ['set'], ['add', 'del']].map((ops) => ({ ops, inFlight }))
  ),
  ...listOps.map((op) => ({ ops: [op], inFlight: 1 }))
]

export async function speed(
  { rounds, ms, standing }: Settings,
  progress: Progress,
  redis: Redis,
  contenders: Map<Name, ContenderProcess>,
  visits: Visit[]
): Promise<Cell[]> {
  const lists = visits.flatMap(({ ops }) => ops).filter((op) => listOps.includes(op))
  for (const [name, contender] of contenders) {
    for (const op of lists.filter((op) => can(name, op))) {
      const perOwner = sizeOf(op)
      const tokens = LISTS[perOwner]! * perOwner
      const ttl = op.endsWith('ttl') ? MONTH : undefined
      const fill = { tokens, perOwner, attrs: ATTRS, owner: op, ttl }
      await contender.ask({ do: 'fill', ...fill })
    }
    const fill = { tokens: standing, perOwner: 10, attrs: ATTRS }
    await contender.ask({ do: 'fill', ...fill, owner: 'owner' })
    await contender.ask({ do: 'warm' })
  }
  const there = [...contenders.keys()]
  const seen = new Map<string, Timed[][]>()
  // Round 0 warms up and counts for nothing.
  for (let round = 0; round <= rounds; round++) {
    for (const [v, { ops, inFlight }] of visits.entries()) {
      const done = round * visits.length + v
      progress('speed', done, (rounds + 1) * visits.length)
      for (const name of [...there, ...there.toReversed()]) {
        for (const op of ops.filter((op) => can(name, op))) {
          const contender = contenders.get(name)!
          const task = { do: 'time', op, inFlight, ms } as const
          const slice = await timed(redis, contender, task)
          if (round === 0) continue
          const at = `${name}/${op}/${inFlight}`
          if (!seen.has(at)) seen.set(at, [])
          ;(seen.get(at)![round - 1] ??= []).push(slice)
        }
      }
    }
  }
  return visits.flatMap(({ ops, inFlight }) =>
    ops.flatMap((op) => {
      const floor = seen.get(`floor/${op}/${inFlight}`)!
      return there.flatMap((contender) => {
        const own = seen.get(`${contender}/${op}/${inFlight}`)
        return own ? [{ contender, op, inFlight, ...cell(own, floor) }] : []
      })
    })
  )
}

type Figures = Omit<Cell, 'contender' | 'op' | 'inFlight'>

function cell(own: Timed[][], floor: Timed[][]): Figures {
  const sum = (slices: Timed[], of: (slice: Timed) => number): number =>
    slices.reduce((total, slice) => total + of(slice), 0)
  const per = (slices: Timed[], of: (slice: Timed) => number): number =>
    sum(slices, of) / sum(slices, ({ calls }) => calls)
  const perCall = (of: (slice: Timed) => number): number =>
    median(own.map((slices) => per(slices, of)))
  const ratios = (of: (slice: Timed) => number): number[] =>
    own.map((slices, round) => per(slices, of) / per(floor[round]!, of))
  const speeds = ratios(({ seconds }) => seconds).map((ratio) => 1 / ratio)
  return {
    throughput: 1 / perCall(({ seconds }) => seconds),
    ratio: median(speeds),
    lowest: Math.min(...speeds),
    highest: Math.max(...speeds),
    p50: median(own.flat().map(({ p50 }) => p50)),
    p99: median(own.flat().map(({ p99 }) => p99)),
    serverCpu: perCall(({ server }) => server.cpu),
    serverCpuRatio: median(ratios(({ server }) => server.cpu)),
    clientCpu: perCall(({ cpu }) => cpu),
    reads: perCall(({ server }) => server.reads),
    commands: perCall(({ server }) => server.commands),
    bytesIn: perCall(({ server }) => server.bytesIn),
    bytesOut: perCall(({ server }) => server.bytesOut)
  }
}
