/** How far a run is. */
export type Progress = (part: string, done: number, of: number) => void

const started = Date.now()
let last = ''

export const seconds = (): number => Math.round((Date.now() - started) / 1000)

/** One line that changes on a terminal, a line every tenth elsewhere. */
export const progress: Progress = (part, done, of) => {
  const tenths = Math.floor((10 * done) / of)
  if (process.stderr.isTTY) {
    const bar = '#'.repeat(tenths * 2).padEnd(20, '.')
    const percent = String(Math.floor((100 * done) / of)).padStart(3)
    process.stderr.write(`\r${part.padEnd(8)} ${bar} ${percent} %  ${seconds()} s `)
  } else if (last !== `${part}${tenths}`) {
    const percent = String(tenths * 10).padStart(3)
    console.error(`${part.padEnd(8)} ${percent} %  ${seconds()} s`)
  }
  last = `${part}${tenths}`
}

export function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
}
