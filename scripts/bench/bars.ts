/** What must be reached. */
import type { Growth } from './growth'
import type { Measured } from './measure'
import type { Settings } from './settings'
import type { Cell } from './speed'
import { median, ratios } from './statistics'

export interface Bar {
  what: string
  must: string
  reached: string
  ok: boolean
}

/** Bytes per token on Redis 7.0 before an end was kept in its TTL alone. */
const BEFORE = { 'never ends': 497, 'TTL and IDLE': 681 }

export function bars(measured: Measured, settings: Settings): Bar[] {
  return [
    ...speedBars(measured),
    ...memoryBars(measured),
    ...scriptBars(measured),
    ...resetBars(measured, settings),
    ...growthBars(measured, settings)
  ]
}

export function bar(
  what: string,
  value: number,
  sign: '>=' | '<=',
  limit: number,
  unit = 'x',
  digits = 2
): Bar {
  const reached = value.toFixed(digits)
  const ok = sign === '>=' ? Number(reached) >= limit : Number(reached) <= limit
  return {
    what,
    must: `${sign} ${limit} ${unit}`,
    reached: `${reached} ${unit}`,
    ok
  }
}

function speedBars({ cells }: Measured): Bar[] {
  const own = cells.filter(({ contender }) => contender === 'tokenstore')
  const at = (op: string, inFlight: number): Cell =>
    own.find((cell) => cell.op === op && cell.inFlight === inFlight)!
  const getKey = (inFlight: number, limit: number): Bar =>
    bar(
      `getKey, ${inFlight} in flight: throughput of a plain GET`,
      at('getKey', inFlight).ratio,
      '>=',
      limit
    )
  const write = (op: string, limit: number): Bar =>
    bar(`${op}, 256 in flight: throughput of plain commands`, at(op, 256).ratio, '>=', limit)
  const list = (size: number, limit: number): Bar =>
    bar(
      `list of ${size}, 1 in flight: throughput of plain commands`,
      at(`list ${size}`, 1).ratio,
      '>=',
      limit
    )
  return [
    getKey(256, 2),
    bar(
      'getKey, 256 in flight: server CPU of a plain GET',
      at('getKey', 256).serverCpuRatio,
      '<=',
      0.5
    ),
    getKey(64, 1.5),
    getKey(16, 1.3),
    getKey(1, 0.95),
    write('add', 2.5),
    write('set', 2.5),
    write('del', 5),
    list(10, 2),
    list(1000, 1)
  ]
}

function memoryBars({ memory }: Measured): Bar[] {
  const own = memory.filter(({ contender }) => contender === 'tokenstore')
  const old = memory.filter(({ contender }) => contender === 'tokenstore 0.0.4')
  return old.map(({ attrsBytes, perOwner, bytes }) => {
    const same = own.find((m) => m.attrsBytes === attrsBytes && m.perOwner === perOwner)!
    const kind = `attrs of ${attrsBytes} bytes, ${perOwner} per owner`
    return bar(`memory, ${kind}: that of 0.0.4`, same.bytes / bytes, '<=', 0.85)
  })
}

function scriptBars({ scripts }: Measured): Bar[] {
  const { times, bytes, rotated } = scripts
  const us = (call: string, limit: number): Bar =>
    bar(`${call}: server time`, median(times[call]!), '<=', limit, 'us', 1)
  const lists = ratios(times['list of 1000 with ttl']!, times['list of 1000']!)
  const memory = (kind: keyof typeof BEFORE): Bar =>
    bar(`memory of a token, ${kind}: of ${BEFORE[kind]} bytes`, bytes[kind] / BEFORE[kind], '<=', 1)
  return [
    us('count of 1000', 40),
    us('add LIMIT 1000 EVICT at the limit', 120),
    bar('list of 1000 with ttl: server time of those without', median(lists), '<=', 1.35),
    bar('record after 200 rotations with grace: longer by', rotated, '<=', 0, 'bytes', 0),
    memory('never ends'),
    memory('TTL and IDLE')
  ]
}

function resetBars({ resets }: Measured, settings: Settings): Bar[] {
  const size = Math.max(...settings.resets)
  const { ratio, ping } = resets.find(
    ({ contender, tokens }) => contender === 'tokenstore' && tokens === size
  )!
  const reset = `reset of ${size}`
  const bystander = 'longest PING of a bystander, median round'
  return [
    bar(`${reset}: time of SCAN and UNLINK`, ratio, '<=', 1.3),
    bar(`${reset}: ${bystander}`, ping, '<=', 5, 'ms', 1)
  ]
}

function growthBars({ growth }: Measured, settings: Settings): Bar[] {
  const worst = (inFlight: number, what: string, of: (growth: Growth) => number): Bar => {
    const found = growth
      .filter(({ op }) => op !== 'plain GET')
      .filter((g) => g.inFlight === inFlight)
      .reduce((a, b) => (of(b) > of(a) ? b : a))
    const sizes = `${settings.growth.join(' to ')} tokens`
    return bar(
      `${sizes}, ${inFlight} in flight: ${what} of the worst call, ${found.op}`,
      of(found),
      '<=',
      1.15
    )
  }
  return [
    worst(1, 'time', ({ ratio }) => ratio),
    worst(64, 'time', ({ ratio }) => ratio),
    worst(64, 'server CPU', ({ cpuRatio }) => cpuRatio)
  ]
}
