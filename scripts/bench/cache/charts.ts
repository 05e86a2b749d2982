/** What is drawn of a cache. */
import { drawn, getKeyChart, thousands, type Drawing } from '../charts'
import type { Report } from '../report'
import { whole } from '../table'
import type { Hits } from './hits'
import type { CacheMeasured } from './measure'
import { SKEW } from './zipf'

export function cacheCharts(report: Report<CacheMeasured>): Record<string, string> {
  const percent = (value: number): string => `${(100 * value).toFixed(1)} %`
  return drawn(report, {
    'cache.svg': getKeyChart(report.cells, 'getKey from memory, beside what asks Redis'),
    'hits.svg': bySize(report, 'Calls that a cache answers', ({ rate }) => rate, percent),
    'hit-speed.svg': bySize(
      report,
      'Calls per second by the size of the cache, thousands',
      ({ throughput }) => throughput,
      thousands
    )
  })
}

function bySize(
  { hits, settings }: Report<CacheMeasured>,
  title: string,
  of: (hits: Hits) => number,
  format: Drawing['format']
): Drawing {
  const use = `${whole(settings.cache.drawn)} tokens, use by Zipf (${SKEW}), 64 in flight`
  return {
    title,
    note: `${use}; longer is better`,
    groups: [''],
    series: hits.map((one) => ({
      name: one.max > 0 ? `keeps ${whole(one.max)}` : 'no cache',
      own: one.max > 0,
      values: [of(one)]
    })),
    format
  }
}
