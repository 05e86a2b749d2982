/** What is drawn of apps with sessions. */
import { drawn, thousands } from '../charts'
import { isOwn, titleOf } from '../contenders'
import type { Report } from '../report'
import { MIXES, type SessionsMeasured } from './measure'
import { STORES } from './stores'
import { titleOfMix } from './text'

export function sessionCharts(report: Report<SessionsMeasured>): Record<string, string> {
  return drawn(report, {
    'sessions.svg': {
      title: 'One Express app, by where its sessions are',
      note: 'Requests per second, thousands; longer is better',
      groups: MIXES.map(titleOfMix),
      series: STORES.map((name) => ({
        name: titleOf(name),
        own: isOwn(name),
        values: report.apps
          .filter(({ store }) => store === name)
          .map(({ throughput }) => throughput)
      })),
      format: thousands
    }
  })
}
