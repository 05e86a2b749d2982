/** In the order of Redis: by score, then by the bytes of the member. Never changed. */
export type ZSet = readonly (readonly [member: string, score: number])[]

/** A range of scores; `above` and `below` leave its ends out. */
export interface Limits {
  from: number
  to: number
  above: boolean
  below: boolean
}

export function limits(from: string, to: string): Limits {
  const [above, below] = [from.startsWith('('), to.startsWith('(')]
  return {
    from: scoreOf(above ? from.slice(1) : from),
    to: scoreOf(below ? to.slice(1) : to),
    above,
    below
  }
}

function scoreOf(text: string): number {
  const infinite = /^([+-]?)inf$/i.exec(text)
  if (infinite) return infinite[1] === '-' ? -Infinity : Infinity
  if (!/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) throw new Error(`not a score: ${text}`)
  return Number(text)
}

export function add(set: ZSet, member: string, score: number): ZSet {
  const rest = set.filter((each) => each[0] !== member)
  const at = rest.findIndex((each) => each[1] > score || (each[1] === score && each[0] > member))
  return rest.toSpliced(at < 0 ? rest.length : at, 0, [member, score])
}

/** Whether a member lies within a range. */
export const within =
  ({ from, to, above, below }: Limits) =>
  ([, score]: ZSet[number]): boolean =>
    (above ? score > from : score >= from) && (below ? score < to : score <= to)

/** Both ends belong to the range; negative ones count from the end. */
export function rangeByRank(set: ZSet, first: number, last: number): ZSet {
  const from = Math.max(0, first < 0 ? set.length + first : first)
  const to = last < 0 ? set.length + last : last
  return to < from ? [] : set.slice(from, to + 1)
}
