/**
 * Measures this library beside plain Redis commands and other session stores: `npm run bench`.
 * --quick        less of everything, under two minutes: to see that it works
 * --json FILE    where the numbers go
 * --charts DIR   where the charts go
 * A full run writes to scripts/bench, a quick one to a cache folder.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { cache, installPeers, root, versions } from './bench/adapters'
import { charts } from './bench/charts'
import { FULL, measure, QUICK } from './bench/measure'
import { report, text } from './bench/report'

const started = Date.now()
let last = ''

/** One line that changes on a terminal, a line every tenth elsewhere. */
function progress(part: string, done: number, of: number): void {
  const tenths = Math.floor((10 * done) / of)
  const seconds = Math.round((Date.now() - started) / 1000)
  if (process.stderr.isTTY) {
    const bar = '#'.repeat(tenths * 2).padEnd(20, '.')
    process.stderr.write(
      `\r${part.padEnd(8)} ${bar} ${String(Math.floor((100 * done) / of)).padStart(3)} %  ${seconds} s `
    )
  } else if (last !== `${part}${tenths}`) {
    console.error(`${part.padEnd(8)} ${String(tenths * 10).padStart(3)} %  ${seconds} s`)
  }
  last = `${part}${tenths}`
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, json: { type: 'string' }, charts: { type: 'string' } }
  })
  const [load] = loadavg() as [number]
  if (load > 0.5)
    console.error(`The load of this machine is ${load.toFixed(1)} already: other work disturbs the numbers.`)
  console.error('Building the library, installing the others ...')
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  const peers = installPeers()

  const settings = { ...(values.quick ? QUICK : FULL), peers }
  const results = await measure(settings, progress)
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  const found = report(results, settings, values.quick, versions(peers))

  const home = values.quick ? cache : join(root, 'scripts', 'bench')
  const json = values.json ?? join(home, 'results.json')
  const folder = values.charts ?? home
  mkdirSync(dirname(json), { recursive: true })
  mkdirSync(folder, { recursive: true })
  writeFileSync(json, JSON.stringify(found, null, 2) + '\n')
  for (const [file, svg] of Object.entries(charts(found))) writeFileSync(join(folder, file), svg)
  console.log(text(found))
  console.error(`Numbers in ${json}, charts in ${folder}, ${Math.round((Date.now() - started) / 1000)} s`)
}

void main()
