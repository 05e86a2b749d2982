/** A space to search: its calls, how time passes, and what else may happen. */
import { nameOf, partsOf } from './names'
import { type Keyspace, membersOf } from './redis-model'
import type { Step } from './world'
import type { ZSet } from './zset'

export interface Space {
  name: string
  /** What is in it, as README.md says. */
  what: string
  /** `script argument …`: #1 is the first id, @ a cursor at any member of a set. */
  calls: string[]
  /** The ms that may pass between two calls. */
  ticks: number[]
  /**
   * How far Redis' clock may step back, so that what has expired is not gone before Redis
   * deletes it, name by name.
   */
  back?: number
  /** Whether Redis may evict any one name. */
  evicts?: boolean
  /** What others may write: a name without its root, and what it then holds. */
  puts?: [name: string, value: string | ZSet][]
  /** The most steps in the search of `npm test`. */
  depth: number
}

/**
 * Torn is a space in which Redis evicts or others write; stepping one whose clock may step
 * back.
 */
export type Kind = 'whole' | 'torn' | 'stepping'

export function kindOf({ evicts, puts, back }: Space): Kind {
  if (back !== undefined) return 'stepping'
  return evicts === true || puts !== undefined ? 'torn' : 'whole'
}

/** UUIDs that differ in letters, whose order is that of bytes and of nothing else. */
export const idOf = (n: string | number): string =>
  `0190f000-0000-7000-8000-00000000000${' ace'[Number(n)]}`

const withIds = (text: string): string => text.replace(/#(\d)/g, (_, n: string) => idOf(n))

/** The steps from a keyspace, without those in which a script's clock goes on. */
export function stepsOf(space: Space): (names: Keyspace, clock?: number) => Step[] {
  const { calls, ticks, back, evicts, puts = [] } = space
  const words = calls.map((call) => withIds(call).split(' '))
  const always: Step[] = [
    ...ticks.map((ms): Step => ({ kind: 'tick', ms })),
    ...(back ? [{ kind: 'tick', ms: -back } as const] : []),
    ...puts.map(([name, value]): Step => {
      const parts = partsOf(`root:${withIds(name)}`)
      return { kind: 'put', name: nameOf(...parts), value }
    }),
    ...words.filter((call) => !call.includes('@')).map(stepOf)
  ]
  const paging = words.filter((call) => call.includes('@'))
  const goes = (clock: number, end: number): boolean => evicts === true || (!!back && end < clock)
  return (names, clock = 0) => [
    ...always,
    ...[...names]
      .filter(([, { end }]) => goes(clock, end))
      .map(([name]): Step => ({ kind: 'evict', name })),
    ...paging.flatMap((call) =>
      cursorsOf(names, call[1]!).map((cursor) =>
        stepOf(call.map((word) => (word === '@' ? cursor : word)))
      )
    )
  ]
}

const stepOf = ([script, ...args]: string[]): Step => ({
  kind: 'call',
  call: { script: script!, args },
  lag: []
})

function cursorsOf(names: Keyspace, owner_id: string): string[] {
  const set = membersOf(names.get(nameOf('tokens', owner_id)))
  return set.map(([id, score]) => `${score === Infinity ? 'inf' : score}:${id}`)
}
