/**
 * `npm run search -- [space ...] [--depth n] [--minutes n] [--lua folder]`: the spaces
 * one after the other, each for 10 minutes unless told otherwise.
 */
import { parseArgs } from 'node:util'
import { LuaVm } from './lua-vm'
import { scriptsIn } from './scripts'
import { type Result, search, told } from './search'
import { spaces } from './spaces'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    depth: { type: 'string' },
    minutes: { type: 'string' },
    lua: { type: 'string' }
  }
})
const limits = {
  depth: Number(values.depth ?? Infinity),
  seconds: Number(values.minutes ?? 10) * 60
}
const chosen = spaces.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
const unknown = positionals.find((name) => !spaces.some((space) => space.name === name))

async function run(): Promise<void> {
  const vm = await LuaVm.create()
  for (const [name, text] of scriptsIn(values.lua)) vm.load(name, text)
  const rows: Record<string, unknown>[] = []
  for (const space of chosen) {
    let shown = 0
    const progress = (so: Result): void => {
      if (so.seconds < shown + 5) return
      shown = so.seconds
      const { states, steps, depth, seconds } = so
      const all = `${states} states, ${steps} steps, depth ${depth}`
      console.error(`${space.name}: ${all}, ${Math.round(seconds)} s`)
    }
    const result = search(vm, space, { ...limits, progress })
    const { states, steps, exhausted, found } = result
    rows.push({
      space: space.name,
      states,
      steps,
      depth: result.depth,
      exhausted,
      seconds: Math.round(result.seconds)
    })
    if (found) {
      console.log(`${space.name}: ${told(found)}`)
      process.exitCode = 1
    }
  }
  console.table(rows)
}

if (unknown === undefined) void run()
else {
  console.error(`There is no space ${unknown}, but ${spaces.map(({ name }) => name).join(', ')}.`)
  process.exitCode = 2
}
