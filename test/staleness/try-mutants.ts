import { faults } from './faults'
import type { Violation } from './history'
import { mutants, type Mutation } from './mutations'
import { DRIVER, stage, type Plan } from './stage'

export interface Tried {
  mutation: string
  violations: Violation[]
  /** Which rules were broken. */
  rules: string
  ok: boolean
}

/** Has mutants work, and beside them the driver as it is, in which nothing must be found. */
export async function tryMutants(some: Mutation[], plan: Omit<Plan, 'faults'>): Promise<Tried[]> {
  const { drivers, remove } = mutants(some)
  try {
    const found = await stage({
      ...plan,
      faults: faults.filter(({ what }) => some.some(({ fault }) => fault === what)),
      drivers: [...drivers, DRIVER]
    })
    const violations = found.flatMap(({ violations }) => violations)
    return [...some.map(({ what }) => what), 'none'].map((mutation, i) => {
      const its = violations.filter(({ process }) => process === i)
      const rules = [...new Set(its.map(({ rule }) => rule))].join(', ')
      const ok = its.length > 0 !== (i === some.length)
      return { mutation, violations: its, rules, ok }
    })
  } finally {
    remove()
  }
}

// On a busy machine, or with bad luck, one or the other takes another try.
const TRIES = 5

/** The mutations in which nothing was found, and whatever was found in the driver as it is. */
export async function missed(
  some: Mutation[],
  { seed = 1, ...plan }: Omit<Plan, 'faults'>,
  show: (tried: Tried[]) => void = () => {}
): Promise<{ mutations: string[]; violations: Violation[] }> {
  const violations: Violation[] = []
  let left = some
  for (let i = 0; i < TRIES && left.length > 0; i++) {
    const tried = await tryMutants(left, { ...plan, seed: seed + i })
    show(tried)
    violations.push(...tried.at(-1)!.violations)
    left = left.filter((_, j) => !tried[j]!.ok)
  }
  return { mutations: left.map(({ what }) => what), violations }
}
