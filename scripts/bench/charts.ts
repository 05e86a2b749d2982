/** Bar charts as SVG, on a card of their own, so that they read in light and dark wherever they are shown. */
import type { Cell, Memory } from './measure'
import { machineLine, titleOf, type Report } from './report'

interface Series {
  name: string
  /** One a group; null where there is nothing to measure. A list is stacked. */
  values: (number | number[] | null)[]
}

interface Chart {
  title: string
  /** What a number is, and which is better. */
  note: string
  groups: string[]
  series: Series[]
  format(value: number): string
  /** A line across all bars: what must be reached. */
  footer: string
}

const WIDTH = 860
const LABEL = 200
const BAR = 15
const GAP = 16
const RIGHT = 110
const TOP = 64

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .note, .foot { fill: #59636e; font-size: 12px }
  .foot { font-size: 10px }
  .group { font-weight: 600 }
  .card { fill: #ffffff; stroke: #d1d9e0 }
  .own { fill: #0a69c9 } .own2 { fill: #74b3f0 } .other { fill: #8c959f } .other2 { fill: #c5ccd3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .note, .foot { fill: #9198a1 }
    .card { fill: #0d1117; stroke: #3d444d }
    .own { fill: #4493f8 } .own2 { fill: #1f5ea8 } .other { fill: #6e7681 } .other2 { fill: #474d55 }
  }`

const escape = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')

function svg({ title, note, groups, series, format, footer }: Chart): string {
  const total = (value: number | number[]): number => [value].flat().reduce((a, b) => a + b, 0)
  const most = Math.max(...series.flatMap(({ values }) => values.map((value) => (value === null ? 0 : total(value)))))
  const scale = (WIDTH - LABEL - RIGHT) / most
  const parts: string[] = []
  const put = (x: number, y: number, kind: string, text: string, anchor = 'start'): void => {
    parts.push(`<text x="${x}" y="${y}" class="${kind}" text-anchor="${anchor}">${escape(text)}</text>`)
  }
  put(20, 28, 'title', title)
  put(20, 48, 'note', note)
  let y = TOP
  for (const [g, group] of groups.entries()) {
    if (group) put(20, (y += GAP), 'group', group)
    y += 6
    for (const { name, values } of series) {
      const value = values[g]
      if (value === null || value === undefined) continue
      put(LABEL - 8, y + 12, '', titleOf(name), 'end')
      let x = LABEL
      for (const [i, part] of [value].flat().entries()) {
        const width = Math.max(part * scale, 1)
        const kind = (name === 'tokenstore' ? 'own' : 'other') + (i > 0 ? '2' : '')
        const place = `x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${BAR}"`
        parts.push(`<rect ${place} class="${kind}"/>`)
        x += width
      }
      put(Math.round(x) + 6, y + 12, '', [value].flat().map(format).join(' + '))
      y += BAR + 4
    }
  }
  const lines = wrap(footer, 150)
  for (const [i, line] of lines.entries()) put(20, y + 22 + i * 13, 'foot', line)
  const height = y + 22 + lines.length * 13
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`,
    ` role="img" aria-label="${escape(title)}">\n<title>${escape(title)}</title>\n<style>${STYLE}\n</style>\n`,
    `<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="6" class="card"/>\n`,
    parts.join('\n'),
    '\n</svg>\n'
  ].join('')
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    if (lines.at(-1)!.length + word.length > width) lines.push('')
    lines.push(`${lines.pop()} ${word}`.trim())
  }
  return lines
}

/** File name and text of every chart. */
export function charts(all: Report): Record<string, string> {
  const { cells, memory, resets } = all
  const footer = machineLine(all)
  const names = [...new Set(cells.map(({ contender }) => contender))]
  const rows = (groups: [op: string, inFlight: number][], of: (cell: Cell) => number | number[]): Series[] =>
    names.map((name) => ({
      name,
      values: groups.map(([op, inFlight]) => {
        const cell = cells.find((c) => c.contender === name && c.op === op && c.inFlight === inFlight)
        return cell ? of(cell) : null
      })
    }))
  const thousands = (value: number): string => `${(value / 1000).toFixed(1)} k`
  const times = (value: number): string => `${value.toFixed(2)} x`
  const us = (value: number): string => value.toFixed(1)
  const levels = [1, 16, 64, 256].map((inFlight): [string, number] => ['getKey', inFlight])
  const writes = ['add', 'set', 'del'].map((op): [string, number] => [op, 256])
  const lists = [1, 10, 100, 1000].map((size): [string, number] => [`list ${size}`, 1])
  const kinds = memory.filter(({ contender }) => contender === 'tokenstore')
  const same = (a: Memory, b: Memory): boolean => a.attrsBytes === b.attrsBytes && a.perOwner === b.perOwner
  const tokens = Math.max(...resets.map((reset) => reset.tokens))
  return {
    'getkey.svg': svg({
      title: 'Validating a token: getKey',
      note: 'Calls per second, thousands; longer is better',
      groups: levels.map(([, inFlight]) => `${inFlight} in flight`),
      series: rows(levels, ({ throughput }) => throughput),
      format: thousands,
      footer
    }),
    'cpu.svg': svg({
      title: 'CPU time of one getKey: client + server',
      note: 'Microseconds; shorter is better',
      groups: levels.slice(2).map(([, inFlight]) => `${inFlight} in flight`),
      series: rows(levels.slice(2), ({ clientCpu, serverCpu }) => [clientCpu, serverCpu]),
      format: us,
      footer
    }),
    'writes.svg': svg({
      title: 'Writing: add, set, del with 256 in flight',
      note: 'Throughput as a multiple of plain ioredis commands that do the same job; longer is better. connect-redis keeps no index',
      groups: writes.map(([op]) => op),
      series: rows(writes, ({ ratio }) => ratio),
      format: times,
      footer
    }),
    'list.svg': svg({
      title: "An owner's tokens: list, one call at a time",
      note: 'Throughput as a multiple of plain ioredis commands that do the same job; longer is better',
      groups: lists.map(([op]) => op.replace('list', 'list of')),
      series: rows(lists, ({ ratio }) => ratio).filter(({ values }) => values.some((value) => value !== null)),
      format: times,
      footer
    }),
    'memory.svg': svg({
      title: 'Memory of Redis per token',
      note: 'Bytes; shorter is better. connect-redis keeps no ids and no index of owners',
      groups: kinds.map(({ attrsBytes, perOwner }) => `attrs of ${attrsBytes} bytes, ${perOwner} per owner`),
      series: [...new Set(memory.map(({ contender }) => contender))].map((name) => ({
        name,
        values: kinds.map((kind) => memory.find((m) => m.contender === name && same(m, kind))?.bytes ?? null)
      })),
      format: (value) => value.toFixed(0),
      footer
    }),
    'reset.svg': svg({
      title: `Removing ${tokens} tokens: how long everybody else waits`,
      note: 'Longest PING of a bystander in milliseconds; shorter is better',
      groups: [''],
      series: resets
        .filter((reset) => reset.tokens === tokens)
        .map(({ contender, ping }) => ({ name: contender, values: [ping] })),
      format: (value) => value.toFixed(1),
      footer
    })
  }
}
