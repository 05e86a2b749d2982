/** The figures of a cache as tables, for people. */
import { titleOf } from '../contenders'
import { machineLine, type Report } from '../report'
import { fixed, table, whole } from '../table'
import { barTable } from '../text'
import type { Delays } from './load'
import type { CacheMeasured } from './measure'

export function cacheText(report: Report<CacheMeasured>): string {
  const parts = [
    machineLine(report),
    barTable(report),
    speedTable(report),
    hitTable(report),
    costTable(report),
    revocationTable(report)
  ]
  return parts.join('\n\n')
}

function speedTable({ cells }: CacheMeasured): string {
  const rows = cells.map((cell) => [
    `${titleOf(cell.contender)}, ${cell.inFlight} in flight`,
    whole(cell.throughput),
    fixed(cell.ratio, 2),
    fixed(1000 * cell.p50, 1),
    fixed(1000 * cell.p99, 1),
    fixed(cell.serverCpu, 2),
    fixed(cell.clientCpu, 2),
    fixed(cell.commands, 3)
  ])
  const head = ['calls/s', 'x GET', 'p50 us', 'p99 us', 'server us', 'client us', 'commands']
  return table(['getKey', ...head], rows)
}

function hitTable({ hits, settings }: Report<CacheMeasured>): string {
  const rows = hits.map(({ max, rate, throughput, ratio }) => [
    max > 0 ? whole(max) : 'no cache',
    fixed(100 * rate, 1),
    whole(throughput),
    fixed(ratio, 2)
  ])
  const size = whole(settings.cache.drawn)
  return table([`kept of ${size} tokens`, 'hits %', 'calls/s', 'x no cache'], rows)
}

function costTable({ costs }: CacheMeasured): string {
  const rows = costs.map(({ together, cache, calls, writes, hits, cpu, ratio }) => [
    `${cache ? 'with' : 'no'} cache, calls ${together ? 'of a millisecond together' : 'apart'}`,
    whole(calls),
    whole(writes),
    fixed(100 * hits, 1),
    fixed(cpu / 10_000, 1),
    fixed(ratio, 2)
  ])
  const head = ['getKey/s', 'writes/s', 'hits %', 'server CPU %', 'x no cache']
  return table(['two processes', ...head], rows)
}

function revocationTable({ revocations, settings }: Report<CacheMeasured>): string {
  const row = (what: string, { p50, p99, longest }: Delays): string[] => [
    what,
    ...[p50, p99, longest].map((ms) => fixed(ms, 2))
  ]
  const title = `from the answer to del, ${whole(settings.cache.revocations)} times`
  return table(
    [title, 'p50 ms', 'p99 ms', 'longest ms'],
    [
      row('to the first call elsewhere that answers null', revocations.made),
      row('to its answer', revocations.answered)
    ]
  )
}
