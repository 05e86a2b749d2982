/** How many of a thing. */
export function number(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : what.endsWith('h') ? 'es' : 's'}`
}

/** Names in Redis with what is to be said of each, under a title; `shown` hides what is secret. */
export function section(
  title: string,
  lines: Map<string, string>,
  shown: (name: string) => string
): string[] {
  const rows = [...lines]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text]) => `  ${shown(name)}: ${text}`)
  return rows.length === 0 ? [] : [`${title}, ${rows.length}:`, ...rows]
}

/**
 * A bar on stderr, when that is a terminal. SCAN may answer more or fewer names than were
 * counted: `end` fills it.
 */
export function progress(total: number): { add(steps: number): void; end(): void } {
  let done = 0
  const show = (part: number, end: string): void => {
    const bar = '#'.repeat(Math.round(part * 30)).padEnd(30, '.')
    if (process.stderr.isTTY) process.stderr.write(`\r[${bar}] ${Math.floor(part * 100)} %${end}`)
  }
  return {
    add: (steps) => {
      done = Math.min(total, done + steps)
      if (done < total) show(done / total, '')
    },
    end: () => show(1, '\n')
  }
}
