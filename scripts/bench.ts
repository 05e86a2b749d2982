/**
 * Measures this library beside plain Redis commands and other session stores:
 * `npm run bench`.
 * --quick           less of everything, in about a minute: to see that it works
 * --against FOLDER  instead, the scripts of lua/ beside those of another folder
 * --json FILE       where the numbers go
 * --charts DIR      where the charts go
 * A full run writes to scripts/bench and into the README there, any other to a
 * cache folder.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { against, againstText } from './bench/against'
import { charts } from './bench/charts'
import { measure } from './bench/measure'
import { cache, home } from './bench/paths'
import { installPeers, versions } from './bench/peers'
import { endProgress, progress, seconds } from './bench/progress'
import { writeNumbers } from './bench/readme'
import { report } from './bench/report'
import { FULL, QUICK, type Settings } from './bench/settings'
import { numbers, text } from './bench/text'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    against: { type: 'string' },
    json: { type: 'string' },
    charts: { type: 'string' }
  }
})

async function main(): Promise<void> {
  const [load] = loadavg() as [number]
  if (load > 0.5) {
    console.error(
      `The load of this machine is ${load.toFixed(1)} already: ` +
        'other work disturbs the numbers.'
    )
  }
  const settings = values.quick ? QUICK : FULL
  if (values.against !== undefined) await holdAgainst(values.against, settings)
  else await measureAll(settings)
}

async function measureAll(settings: Settings): Promise<void> {
  console.error('Installing the others ...')
  const peers = installPeers()
  const measured = await measure(settings, peers, progress)
  endProgress()
  const found = report(measured, settings, versions(peers))
  const place = settings.quick ? cache : home
  const json = values.json ?? join(place, 'results.json')
  const folder = values.charts ?? place
  save(json, found)
  mkdirSync(folder, { recursive: true })
  for (const [file, svg] of Object.entries(charts(found))) {
    writeFileSync(join(folder, file), svg)
  }
  if (folder === home) writeNumbers(numbers(found))
  console.log(text(found))
  console.error(`Numbers in ${json}, charts in ${folder}, ${seconds()} s`)
}

async function holdAgainst(folder: string, settings: Settings): Promise<void> {
  const found = await against(folder, settings, progress)
  endProgress()
  const json = values.json ?? join(cache, 'against.json')
  save(json, found)
  console.log(againstText(found, folder))
  console.error(`Numbers in ${json}, ${seconds()} s`)
}

function save(file: string, found: object): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, JSON.stringify(found, null, 2) + '\n')
}

void main()
