/**
 * @jest-environment ./test/model/lua-environment.ts
 *
 * The search as far as a few seconds let it, and that it finds what is broken on purpose.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LuaVm } from './lua-vm'
import { mutated, mutations } from './mutations'
import { scriptsIn } from './scripts'
import { search, told } from './search'
import { spaces } from './spaces'

const scripts = scriptsIn()
const readme = readFileSync(join(__dirname, 'README.md'), 'utf8')
let vm: LuaVm

beforeAll(async () => {
  vm = await LuaVm.create()
})

const load = (texts: Map<string, string>): void =>
  texts.forEach((text, name) => vm.load(name, text))

test('every script is called in a space', () => {
  const called = new Set(spaces.flatMap(({ calls }) => calls.map((call) => call.split(' ')[0])))
  expect([...called].sort()).toEqual([...scripts.keys()].sort())
})

describe('no fault is found', () => {
  test.each(spaces)('$name: $what', (space) => {
    load(scripts)
    const { found, states } = search(vm, space, { depth: space.depth })
    expect(found && told(found)).toBeUndefined()
    expect(states).toBeGreaterThan(100)
    expect(readme).toContain(`| ${space.name} | ${space.what} |`)
  })
})

describe('what is broken on purpose is found', () => {
  test.each(mutations)('$script: $what', (mutation) => {
    load(mutated(scripts, mutation))
    const { found } = search(
      vm,
      spaces.find(({ name }) => name === mutation.space)!,
      { depth: 6 }
    )
    expect(found && told(found)).toMatch(new RegExp(`^${mutation.invariant}: `))
    expect(readme).toContain(
      `| ${mutation.script} | ${mutation.what} | ${mutation.space} | ${mutation.invariant} |`
    )
  })
})
