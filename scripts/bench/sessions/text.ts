/** The figures of apps with sessions as tables, for people. */
import { titleOf } from '../contenders'
import { machineLine, type Report } from '../report'
import { fixed, range, table, whole } from '../table'
import { barTable } from '../text'
import { MIXES, READING, type Mix, type SessionsMeasured } from './measure'

export function titleOfMix({ writeEvery, inFlight }: Mix): string {
  const part = writeEvery === READING ? 'reading' : `1 in ${writeEvery} writes`
  return `${part}, ${inFlight} in flight`
}

export function sessionText(report: Report<SessionsMeasured>): string {
  const tables = MIXES.map((mix) => mixTable(report, mix))
  return [machineLine(report), barTable(report), ...tables].join('\n\n')
}

function mixTable({ apps }: SessionsMeasured, mix: Mix): string {
  const title = titleOfMix(mix)
  const alone = mix.inFlight === 1
  const rows = apps
    .filter((cell) => titleOfMix(cell) === title)
    .map((cell) => [
      titleOf(cell.store),
      whole(cell.throughput),
      fixed(cell.ratio, 2),
      range(cell.lowest, cell.highest),
      fixed(cell.p50, 2),
      fixed(cell.p99, 2),
      fixed(cell.appCpu, 0),
      fixed(cell.redisCpu, 1),
      ...(alone ? [fixed(cell.reads, 2)] : []),
      fixed(cell.commands, 2)
    ])
  const head = [
    title,
    'requests/s',
    'x connect-redis',
    '(range)',
    'p50 ms',
    'p99 ms',
    'app us',
    'Redis us',
    ...(alone ? ['round trips'] : []),
    'commands'
  ]
  return table(head, rows)
}
