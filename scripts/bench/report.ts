/** What was measured, as tables for people and as one object for programs. */
import { cpus, release, totalmem, type } from 'node:os'
import { TITLES } from './adapters'
import type { Cell, Growth, Measured, Results, Settings } from './measure'

export interface Bar {
  what: string
  must: string
  reached: string
  ok: boolean
}

export interface Report extends Results {
  machine: { cpu: string; cores: number; memory: string; system: string }
  versions: Record<string, string>
  settings: {
    quick: boolean
    /** Whether Redis and its callers were kept on cores of their own. */
    pinned: boolean
    rounds: number
    sliceMs: number
    standingTokens: number
    tokensForMemory: number
    smallStore: number
    largeStore: number
  }
  bars: Bar[]
}

export const titleOf = (contender: string): string => TITLES[contender] ?? contender

export function report(measured: Measured, settings: Settings, quick: boolean, peers: Record<string, string>): Report {
  const { redis, pinned, ...results } = measured
  const versions = { Node: process.versions.node, Redis: redis, ...peers }
  return {
    machine: {
      cpu: cpus()[0]!.model.trim(),
      cores: cpus().length,
      memory: `${Math.round(totalmem() / 2 ** 30)} GB`,
      system: `${type()} ${release().split('-')[0]}`
    },
    versions,
    settings: {
      quick,
      pinned,
      rounds: settings.rounds,
      sliceMs: settings.ms,
      standingTokens: settings.standing,
      tokensForMemory: settings.memoryTokens,
      smallStore: settings.growth[0],
      largeStore: settings.growth[1]
    },
    bars: bars(results, settings),
    ...results
  }
}

function bars({ cells, memory, resets, growth }: Results, settings: Settings): Bar[] {
  const own = cells.filter(({ contender }) => contender === 'tokenstore')
  const at = (op: string, inFlight: number): Cell => own.find((cell) => cell.op === op && cell.inFlight === inFlight)!
  const found: Bar[] = []
  const bar = (what: string, value: number, sign: '>=' | '<=', limit: number, unit = 'x', digits = 2): void => {
    const shown = value.toFixed(digits)
    const ok = sign === '>=' ? Number(shown) >= limit : Number(shown) <= limit
    found.push({ what, must: `${sign} ${limit} ${unit}`, reached: `${shown} ${unit}`, ok })
  }
  bar('getKey, 256 in flight: throughput of a plain GET', at('getKey', 256).ratio, '>=', 2)
  bar('getKey, 256 in flight: server CPU of a plain GET', at('getKey', 256).serverCpuRatio, '<=', 0.5)
  bar('getKey, 64 in flight: throughput of a plain GET', at('getKey', 64).ratio, '>=', 1.5)
  bar('getKey, 1 in flight: throughput of a plain GET', at('getKey', 1).ratio, '>=', 0.95)
  for (const [op, limit] of [
    ['add', 2.5],
    ['set', 2.5],
    ['del', 5]
  ] as const) {
    bar(`${op}, 256 in flight: throughput of plain commands`, at(op, 256).ratio, '>=', limit)
  }
  bar('list of 10, 1 in flight: throughput of plain commands', at('list 10', 1).ratio, '>=', 2)
  bar('list of 1000, 1 in flight: throughput of plain commands', at('list 1000', 1).ratio, '>=', 1)
  for (const { contender, attrsBytes, perOwner, bytes } of memory) {
    const old = memory.find(
      (m) => m.contender === 'tokenstore 0.0.4' && m.attrsBytes === attrsBytes && m.perOwner === perOwner
    )
    if (contender !== 'tokenstore' || !old) continue
    bar(`memory, attrs of ${attrsBytes} bytes, ${perOwner} per owner: that of 0.0.4`, bytes / old.bytes, '<=', 0.85)
  }
  const largest = Math.max(...settings.resets)
  const reset = resets.find(({ contender, tokens }) => contender === 'tokenstore' && tokens === largest)!
  bar(`reset of ${largest}: time of SCAN and UNLINK`, reset.ratio, '<=', 1.2)
  bar(`reset of ${largest}: longest PING of a bystander, median round`, reset.ping, '<=', 5, 'ms', 1)
  const [small, large] = settings.growth
  const worst = (inFlight: number, of: (g: Growth) => number): Growth =>
    growth.filter((g) => g.op !== 'plain GET' && g.inFlight === inFlight).reduce((a, b) => (of(b) > of(a) ? b : a))
  for (const inFlight of [1, 64]) {
    const { op, ratio } = worst(inFlight, (g) => g.ratio)
    bar(`${small} to ${large} tokens, ${inFlight} in flight: time of the worst call, ${op}`, ratio, '<=', 1.15)
  }
  const { op, cpuRatio } = worst(64, (g) => g.cpuRatio)
  bar(`${small} to ${large} tokens, 64 in flight: server CPU of the worst call, ${op}`, cpuRatio, '<=', 1.15)
  return found
}

export function machineLine({ machine, versions, settings }: Report): string {
  const { cpu, cores, memory, system } = machine
  const { 'tokenstore 0.0.4': old, ...others } = versions
  const list = Object.entries({ ...others, ...(old ? { tokenstore: `${others.tokenstore} and ${old}` } : {}) })
  const versionLine = list.map(([name, version]) => `${name} ${version}`).join(', ')
  const pinned = settings.pinned ? ', Redis on one core and its callers on the rest' : ''
  return `${cores} cores of ${cpu}, ${memory}, ${system}${pinned}; ${versionLine}${settings.quick ? '; a quick run' : ''}`
}

/** Columns wide enough for their longest text; numbers to the right. */
function table(head: string[], rows: string[][]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (row: string[]): string =>
    row.map((text, i) => (i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))).join('  ')
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}

const whole = (value: number): string => value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ' ')
const fixed = (value: number, digits: number): string => value.toFixed(digits)

export function text(all: Report): string {
  const { cells, resets, memory, growth, topologies, bars, settings } = all
  const groups = [...new Set(cells.map(({ op, inFlight }) => `${op}, ${inFlight} in flight`))]
  const speedHead = ['calls/s', 'x floor', '(range)', 'p50 ms', 'p99 ms', 'server us', 'x floor', 'client us']
  const wireHead = ['round trips', 'commands', 'bytes in', 'bytes out']
  const parts = [machineLine(all)]
  for (const group of groups) {
    const own = cells.filter(({ op, inFlight }) => `${op}, ${inFlight} in flight` === group)
    const alone = own[0]!.inFlight === 1
    const rows = own.map((c) => [
      titleOf(c.contender),
      whole(c.throughput),
      fixed(c.ratio, 2),
      `${fixed(c.lowest, 2)}-${fixed(c.highest, 2)}`,
      fixed(c.p50, 2),
      fixed(c.p99, 2),
      fixed(c.serverCpu, 1),
      fixed(c.serverCpuRatio, 2),
      fixed(c.clientCpu, 1),
      ...(alone ? [fixed(c.reads, 1)] : []),
      fixed(c.commands, 2),
      whole(c.bytesIn),
      whole(c.bytesOut)
    ])
    parts.push(table([group, ...speedHead, ...(alone ? wireHead : wireHead.slice(1))], rows))
  }
  const resetRows = resets.map((r) => [
    `${r.tokens}, ${titleOf(r.contender)}`,
    fixed(r.seconds, 2),
    fixed(r.ratio, 2),
    fixed(r.ping, 1),
    fixed(r.worstPing, 1),
    fixed(r.longestCommand, 1)
  ])
  const resetHead = ['reset', 'seconds', 'x floor', 'longest PING ms', 'of all rounds', 'longest command ms']
  parts.push(table(resetHead, resetRows))

  const kinds = [...new Set(memory.map(({ attrsBytes, perOwner }) => `${attrsBytes} bytes, ${perOwner} per owner`))]
  const memoryRows = [...new Set(memory.map(({ contender }) => contender))].map((contender) => [
    titleOf(contender),
    ...memory.filter((m) => m.contender === contender).map(({ bytes }) => whole(bytes))
  ])
  parts.push(table(['bytes of memory per token', ...kinds], memoryRows))

  const growthRow = ({ op, inFlight, small, large, ratio, smallCpu, largeCpu, cpuRatio }: Growth): string[] => [
    `${op}, ${inFlight} in flight`,
    ...[small, large, ratio, smallCpu, largeCpu, cpuRatio].map((value) => fixed(value, 2))
  ]
  const sizes = [settings.smallStore, settings.largeStore]
  const units = ['us', 'server us'].flatMap((unit) => [...sizes.map((size) => `${unit}, ${whole(size)}`), 'x'])
  const growthHead = ['a call in a store of so many tokens', ...units]
  parts.push(table(growthHead, growth.map(growthRow)))

  const topologyRows = topologies.map(({ topology, bytes, add, getKey }) => [
    topology,
    ...[bytes, add, getKey].map(whole)
  ])
  parts.push(table(['topology, 10 tokens an owner', 'bytes a token', 'add/s', 'getKey/s'], topologyRows))

  const verdict = (ok: boolean): string => (ok ? 'reached' : 'NOT REACHED')
  const barRows = bars.map(({ what, must, reached, ok }) => [what, must, reached, verdict(ok)])
  parts.push(table(['bar', 'must be', 'is', ''], barRows))
  if (settings.quick)
    parts.push('A quick run proves that the bench works; its sizes are smaller and its numbers rough.')
  return parts.join('\n\n') + '\n'
}
