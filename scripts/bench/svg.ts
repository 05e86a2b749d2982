/**
 * Bar charts as SVG, on a card of their own, so that they read in light and
 * dark wherever they are shown.
 */
export interface Series {
  name: string
  /** Whether it is this library's. */
  own: boolean
  /** One a group; null where there is nothing to measure. A list is stacked. */
  values: (number | number[] | null)[]
}

export interface Chart {
  title: string
  /** What a number is, and which is better. */
  note: string
  groups: string[]
  series: Series[]
  format(value: number): string
  footer: string
}

const WIDTH = 860
const LABEL = 240
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
  .own { fill: #0a69c9 } .own2 { fill: #74b3f0 }
  .other { fill: #8c959f } .other2 { fill: #c5ccd3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .note, .foot { fill: #9198a1 }
    .card { fill: #0d1117; stroke: #3d444d }
    .own { fill: #4493f8 } .own2 { fill: #1f5ea8 }
    .other { fill: #6e7681 } .other2 { fill: #474d55 }
  }`

type Attributes = Record<string, string | number>

const escape = (text: string): string =>
  text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')

function element(name: string, attributes: Attributes, inner = ''): string {
  const list = Object.entries(attributes).map(([name, value]) => ` ${name}="${value}"`)
  const start = `<${name}${list.join('')}`
  return inner ? `${start}>${inner}</${name}>` : `${start}/>`
}

function write(x: number, y: number, kind: string, text: string, anchor = 'start'): string {
  const attributes = { x, y, class: kind, 'text-anchor': anchor }
  return element('text', attributes, escape(text))
}

export function svg(chart: Chart): string {
  const { title, note, groups, series, format, footer } = chart
  const total = (value: number | number[]): number => [value].flat().reduce((a, b) => a + b, 0)
  const all = series.flatMap(({ values }) => values)
  const most = Math.max(...all.map((value) => total(value ?? 0)))
  const scale = (WIDTH - LABEL - RIGHT) / most
  const parts = [write(20, 28, 'title', title), write(20, 48, 'note', note)]
  let y = TOP
  for (const [g, group] of groups.entries()) {
    if (group) parts.push(write(20, (y += GAP), 'group', group))
    y += 6
    for (const { name, own, values } of series) {
      const value = values[g]
      if (value === null || value === undefined) continue
      parts.push(write(LABEL - 8, y + 12, '', name, 'end'))
      let x = LABEL
      for (const [i, part] of [value].flat().entries()) {
        const width = Math.max(part * scale, 1)
        const kind = (own ? 'own' : 'other') + (i > 0 ? '2' : '')
        const place = { x: x.toFixed(1), y, width: width.toFixed(1) }
        parts.push(element('rect', { ...place, height: BAR, class: kind }))
        x += width
      }
      const figure = [value].flat().map(format).join(' + ')
      parts.push(write(Math.round(x) + 6, y + 12, '', figure))
      y += BAR + 4
    }
  }
  for (const line of wrap(footer, 150)) {
    parts.push(write(20, y + 22, 'foot', line))
    y += 13
  }
  return picture(title, y + 22, parts)
}

function picture(title: string, height: number, parts: string[]): string {
  const card = element('rect', {
    x: 0.5,
    y: 0.5,
    width: WIDTH - 1,
    height: height - 1,
    rx: 6,
    class: 'card'
  })
  const lines = [
    '',
    element('title', {}, escape(title)),
    element('style', {}, `${STYLE}\n`),
    card,
    ...parts,
    ''
  ]
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    width: WIDTH,
    height,
    viewBox: `0 0 ${WIDTH} ${height}`,
    role: 'img',
    'aria-label': escape(title)
  }
  return element('svg', attributes, lines.join('\n')) + '\n'
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    if (lines.at(-1)!.length + word.length > width) lines.push('')
    lines.push(`${lines.pop()} ${word}`.trim())
  }
  return lines
}
