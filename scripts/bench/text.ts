/** A report as tables, for people. */
import { titleOf } from './contenders'
import type { Measured } from './measure'
import { machineLine, type Header, type Report } from './report'
import { PLAIN_GET } from './script-figures'
import { median, quantile, ratios } from './statistics'
import { fixed, range, table, whole } from './table'

export function text(report: Report<Measured>): string {
  const parts = [
    machineLine(report),
    ...speedTables(report),
    resetTable(report),
    memoryTable(report),
    scriptTable(report),
    growthTable(report),
    topologyTable(report),
    barTable(report)
  ]
  return parts.join('\n\n')
}

/** What the charts do not show. */
export function numbers(report: Report<Measured>): string {
  const parts = [
    machineLine(report),
    barTable(report),
    scriptTable(report),
    growthTable(report),
    topologyTable(report)
  ]
  return parts.join('\n\n')
}

function speedTables({ cells }: Report<Measured>): string[] {
  const groupOf = (op: string, inFlight: number): string => `${op}, ${inFlight} in flight`
  const groups = new Set(cells.map(({ op, inFlight }) => groupOf(op, inFlight)))
  return [...groups].map((group) => {
    const own = cells.filter(({ op, inFlight }) => groupOf(op, inFlight) === group)
    const alone = own[0]!.inFlight === 1
    const head = [
      group,
      'calls/s',
      'x floor',
      '(range)',
      'p50 ms',
      'p99 ms',
      'server us',
      'x floor',
      'client us',
      ...(alone ? ['round trips'] : []),
      'commands',
      'bytes in',
      'bytes out'
    ]
    const rows = own.map((cell) => [
      titleOf(cell.contender),
      whole(cell.throughput),
      fixed(cell.ratio, 2),
      range(cell.lowest, cell.highest),
      fixed(cell.p50, 2),
      fixed(cell.p99, 2),
      fixed(cell.serverCpu, 1),
      fixed(cell.serverCpuRatio, 2),
      fixed(cell.clientCpu, 1),
      ...(alone ? [fixed(cell.reads, 1)] : []),
      fixed(cell.commands, 2),
      whole(cell.bytesIn),
      whole(cell.bytesOut)
    ])
    return table(head, rows)
  })
}

function resetTable({ resets }: Report<Measured>): string {
  const head = [
    'reset',
    'seconds',
    'x floor',
    'longest PING ms',
    'of all rounds',
    'longest command ms'
  ]
  const rows = resets.map((reset) => [
    `${reset.tokens}, ${titleOf(reset.contender)}`,
    fixed(reset.seconds, 2),
    fixed(reset.ratio, 2),
    fixed(reset.ping, 1),
    fixed(reset.worstPing, 1),
    fixed(reset.longestCommand, 1)
  ])
  return table(head, rows)
}

function memoryTable({ memory }: Report<Measured>): string {
  const contenders = new Set(memory.map(({ contender }) => contender))
  const kinds = memory
    .filter(({ contender }) => contender === 'tokenstore')
    .map(({ attrsBytes, perOwner }) => `${attrsBytes} bytes, ${perOwner} per owner`)
  const rows = [...contenders].map((contender) => [
    titleOf(contender),
    ...memory.filter((m) => m.contender === contender).map(({ bytes }) => whole(bytes))
  ])
  return table(['bytes of memory per token', ...kinds], rows)
}

function scriptTable({ scripts }: Report<Measured>): string {
  const { times, bytes, rotated } = scripts
  const rows = Object.entries(times).map(([call, us]) => [
    call,
    fixed(median(us), 2),
    range(quantile(us, 0.25), quantile(us, 0.75)),
    fixed(median(ratios(us, times[PLAIN_GET]!)), 1)
  ])
  const kinds = Object.entries(bytes).map(([kind, value]) => `${kind} ${fixed(value, 0)}`)
  return [
    table(['time in the server', 'us', '(quartiles)', 'x plain GET'], rows),
    `bytes of memory per token: ${kinds.join(', ')}; ` +
      `200 rotations with grace make a record ${rotated} bytes longer`
  ].join('\n')
}

function growthTable({ growth, settings }: Report<Measured>): string {
  const sizes = settings.growth.map(whole)
  const head = [
    'a call in a store of so many tokens',
    ...sizes.map((size) => `us, ${size}`),
    'x',
    ...sizes.map((size) => `server us, ${size}`),
    'x'
  ]
  const rows = growth.map(({ op, inFlight, ...own }) => [
    `${op}, ${inFlight} in flight`,
    ...[own.small, own.large, own.ratio].map((value) => fixed(value, 2)),
    ...[own.smallCpu, own.largeCpu, own.cpuRatio].map((value) => fixed(value, 2))
  ])
  return table(head, rows)
}

function topologyTable({ topologies }: Report<Measured>): string {
  const rows = topologies.map(({ topology, bytes, add, getKey, all }) => [
    topology,
    ...[bytes, add, getKey, all].map(whole)
  ])
  const head = ['bytes a token', 'add/s', 'getKey/s', 'all, tokens/s']
  return table(['topology, 10 tokens an owner', ...head], rows)
}

export function barTable({ bars }: Header): string {
  const rows = bars.map(({ what, must, reached, ok }) => [
    what,
    must,
    reached,
    ok ? 'reached' : 'NOT REACHED'
  ])
  return table(['bar', 'must be', 'is', ''], rows)
}
