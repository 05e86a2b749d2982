/** Columns as wide as their longest text; all but the first to the right. */
export function table(head: string[], rows: string[][]): string {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]!.length))
  )
  const line = (row: string[]): string =>
    row.map((text, i) => (i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))).join('  ')
  const rule = widths.map((width) => '-'.repeat(width)).join('  ')
  return [line(head), rule, ...rows.map(line)].join('\n')
}

export const whole = (value: number): string => value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ' ')
export const fixed = (value: number, digits: number): string => value.toFixed(digits)
export const range = (least: number, most: number): string =>
  `${least.toFixed(2)}-${most.toFixed(2)}`
