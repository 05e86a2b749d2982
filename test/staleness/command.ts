/** `npm run staleness -- [--ms n] [--seed n] [--mutations]` */
import { parseArgs } from 'node:util'
import { faults } from './faults'
import { mutations } from './mutations'
import { stage } from './stage'
import { missed, type Tried } from './try-mutants'
import { rowOf, told } from './told'

const { values } = parseArgs({
  options: {
    ms: { type: 'string', default: '8000' },
    seed: { type: 'string', default: '1' },
    fault: { type: 'string', multiple: true },
    mutations: { type: 'boolean' },
    mutation: { type: 'string', multiple: true }
  }
})

const [ms, seed] = [Number(values.ms), Number(values.seed)]

async function run(): Promise<void> {
  const wanted = ({ what }: { what: string }): boolean =>
    values.fault?.some((part) => what.includes(part)) ?? true
  const found = await stage({ faults: faults.filter(wanted), ms, seed })
  console.table(found.map(rowOf))
  const violations = found.flatMap(told)
  for (const line of violations.slice(0, 30)) console.log(line)
  if (violations.length > 0) process.exitCode = 1
}

/** Some at a time, each in a process beside one of the driver as it is. */
async function runMutants(): Promise<void> {
  const chosen = mutations.filter(
    ({ what }) => values.mutation?.some((part) => what.includes(part)) ?? true
  )
  const show = (tried: Tried[]): void =>
    console.table(tried.map((row) => ({ ...row, violations: row.violations.length })))
  for (let i = 0; i < chosen.length; i += 3) {
    const { mutations, violations } = await missed(chosen.slice(i, i + 3), { ms, seed }, show)
    if (mutations.length + violations.length > 0) process.exitCode = 1
  }
}

void (values.mutations || values.mutation ? runMutants() : run())
