/**
 * Measures this library beside plain Redis commands and other session stores:
 * `npm run bench`.
 * --quick           less of everything, in about a minute: to see that it works
 * --only PART       one part: calls (all that asks Redis), cache, or sessions (of an Express app)
 * --against FOLDER  instead, the scripts of lua/ beside those of another folder
 * --json FILE       where the numbers go
 * --charts DIR      where the charts go
 * A run that is not quick writes to scripts/bench and into the README there, any
 * other to a cache folder.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { against, againstText } from './bench/against'
import { bars } from './bench/bars'
import { cacheBars } from './bench/cache/bars'
import { cacheCharts } from './bench/cache/charts'
import { measureCache } from './bench/cache/measure'
import { cacheText } from './bench/cache/text'
import { charts } from './bench/charts'
import { measure } from './bench/measure'
import { cache, home } from './bench/paths'
import { installPeers, versions } from './bench/peers'
import { endProgress, progress, seconds } from './bench/progress'
import { writeNumbers } from './bench/readme'
import { report } from './bench/report'
import { sessionBars } from './bench/sessions/bars'
import { sessionCharts } from './bench/sessions/charts'
import { measureSessions } from './bench/sessions/measure'
import { sessionText } from './bench/sessions/text'
import { appVersions } from './bench/sessions/versions'
import { FULL, QUICK, type Settings } from './bench/settings'
import { numbers, text } from './bench/text'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    against: { type: 'string' },
    json: { type: 'string' },
    charts: { type: 'string' }
  }
})

interface Result {
  found: object
  /** By file name. */
  charts: Record<string, string>
  text: string
  /** For the README. */
  numbers: string
}

type Part = (settings: Settings, peers: boolean) => Promise<Result>

const PARTS: Record<string, Part> = {
  async calls(settings, peers) {
    const measured = await measure(settings, peers, progress)
    const found = report(measured, bars(measured, settings), settings, versions(peers))
    return { found, charts: charts(found), text: text(found), numbers: numbers(found) }
  },
  async cache(settings, peers) {
    const measured = await measureCache(settings, peers, progress)
    const found = report(measured, cacheBars(measured), settings, versions(peers))
    const tables = cacheText(found)
    return { found, charts: cacheCharts(found), text: tables, numbers: tables }
  },
  async sessions(settings) {
    const measured = await measureSessions(settings, progress)
    const found = report(measured, sessionBars(measured), settings, appVersions())
    const tables = sessionText(found)
    return { found, charts: sessionCharts(found), text: tables, numbers: tables }
  }
}

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
  const parts = values.only === undefined ? Object.keys(PARTS) : [values.only]
  for (const part of parts) {
    if (!PARTS[part]) throw new Error(`--only ${part}: it is ${Object.keys(PARTS).join(' or ')}`)
  }
  console.error('Installing the others ...')
  const peers = installPeers()
  const place = settings.quick ? cache : home
  const folder = values.charts ?? place
  mkdirSync(folder, { recursive: true })
  const found: Record<string, object> = {}
  for (const part of parts) {
    const result = await PARTS[part]!(settings, peers)
    endProgress()
    found[part] = result.found
    for (const [file, svg] of Object.entries(result.charts)) {
      writeFileSync(join(folder, file), svg)
    }
    if (folder === home) writeNumbers(part, result.numbers)
    console.log(result.text + '\n')
  }
  if (settings.quick) {
    const rough = 'its sizes are smaller and its numbers rough'
    console.log(`A quick run proves that the bench works; ${rough}.`)
  }
  const json = values.json ?? join(place, 'results.json')
  save(json, found)
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
