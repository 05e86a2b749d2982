/** Explores a space breadth-first, so that no trace to a fault is shorter. */
import { createHash } from 'node:crypto'
import type { Fault } from './invariants'
import type { LuaVm } from './lua-vm'
import { ROOT } from './names'
import { type Entry, valueText } from './redis-model'
import { kindOf, type Space, stepsOf } from './space'
import { type State, type Step, World } from './world'

export interface Options {
  depth?: number
  seconds?: number
  progress?: (result: Result) => void
}

export interface Result {
  states: number
  steps: number
  /** The steps after which all states have been looked at. */
  depth: number
  /** Whether there is nothing behind. */
  exhausted: boolean
  seconds: number
  found?: Found
}

export interface Found {
  fault: Fault
  trace: Step[]
}

/** A script's clock stands, or a ms passes before its first look, its second, both. */
const LAGS = [[], [1], [0, 1], [1, 1]]

export function search(vm: LuaVm, space: Space, options: Options): Result {
  const { depth = Infinity, seconds = Infinity, progress } = options
  const began = performance.now()
  const world = new World(vm, kindOf(space))
  const steps = stepsOf(space)
  const result = { states: 1, steps: 0, depth: 0, exhausted: false, seconds: 0 }
  const first = world.start()
  const key = (state: State): string => keyOf(state, space.back === undefined)
  const seen = new Set([key(first)])
  const origins = new Origins()
  let layer: [state: State, number: number][] = [[first, 0]]

  while (layer.length > 0 && result.depth < depth) {
    const next: typeof layer = []
    for (const [from, number] of layer) {
      for (const step of steps(from.names, from.clock)) {
        let looks = 0
        for (const lag of LAGS) {
          if (lag.length > looks) break
          const tried = step.kind === 'call' ? { ...step, lag } : step
          const outcome = world.step(from, tried)
          const { state, faults } = outcome
          looks = lag.length === 0 ? outcome.looks : looks
          result.steps++
          const reached = key(state)
          const isNew = !seen.has(reached)
          const fault = faults[0] ?? (isNew ? world.end(state)[0] : undefined)
          if (fault) {
            const trace = origins.traceTo(number, tried)
            return { ...result, found: { fault, trace } }
          }
          if (!isNew) continue
          seen.add(reached)
          next.push([state, origins.add(number, tried)])
          result.states++
        }
      }
      result.seconds = (performance.now() - began) / 1000
      progress?.(result)
      if (result.seconds > seconds) return result
    }
    layer = next
    result.depth++
  }
  return { ...result, exhausted: layer.length === 0 }
}

/** From which state, by its number, and by which step each state was reached. */
class Origins {
  readonly #from = [-1]
  readonly #by: Step[] = [{ kind: 'tick', ms: 0 }]

  add(from: number, by: Step): number {
    this.#by.push(by)
    return this.#from.push(from) - 1
  }

  traceTo(from: number, last: Step): Step[] {
    const trace = [last]
    for (let at = from; at > 0; at = this.#from[at]!) trace.unshift(this.#by[at]!)
    return trace
  }
}

/** The same for states that differ only in what time it is, and in what is past for good. */
function keyOf({ names, clock, register }: State, isPastForGood: boolean): string {
  const relative = (time: number, isOver: boolean): string =>
    time === Infinity ? 'never' : time < clock && isOver ? 'past' : `+${time - clock}`
  const textOf = ({ value, end }: Entry): string => {
    // How long ago a code was made goes on to count.
    const isOver = isPastForGood && (typeof value === 'string' || !('fields' in value))
    const text = valueText(value).replace(/\b1\d{12}\b/g, (time) => relative(Number(time), isOver))
    return `${text} ${relative(end, isOver)}`
  }
  const lines = [...names].map(([name, entry]) => `${name} ${textOf(entry)}`)
  const holders = [...register.holders].map((each) => JSON.stringify(each))
  const text = [...lines.sort(), ...holders.sort()].join('\n')
  return createHash('md5').update(text).digest('base64')
}

/** For a person: what is wrong, and the steps that lead there. */
export const told = ({ fault, trace }: Found): string =>
  [`${fault.invariant}: ${fault.text}`, ...trace.map(lineOf)].join('\n  ')

/** A call as redis-cli takes it, or what happens between the calls. */
function lineOf(step: Step): string {
  if (step.kind === 'tick')
    return step.ms > 0 ? `-- ${step.ms} ms pass` : `-- the clock steps back by ${-step.ms} ms`
  if (step.kind === 'evict') return `DEL ${step.name} -- Redis deletes it`
  if (step.kind === 'put') {
    const { name, value } = step
    if (typeof value === 'string') return `SET ${name} '${value}' -- by others`
    return `ZADD ${name} ${value.flat().reverse().join(' ')} -- by others`
  }
  const { script, args } = step.call
  const words = args.map((arg) => (/^[\w:.-]+$/.test(arg) ? arg : `'${arg}'`))
  const looks = ['first', 'second'].filter((_, i) => step.lag[i])
  const lag = ` -- a ms passes before its ${looks.join(' and its ')} look at the clock`
  const call = `EVALSHA ${script} 1 ${ROOT} ${words.join(' ')}`
  return looks.length > 0 ? call + lag : call
}
