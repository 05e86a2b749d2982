/** A session as JSON carries it, field by field. */
export type Fields = Record<string, unknown>

/** What JSON carries of a session at this moment, whatever becomes of it. */
export function fieldsOf(session: object): Fields {
  return JSON.parse(JSON.stringify(session)) as Fields
}

/** The names of the fields that were added, changed or removed. */
export function changedFields(before: Fields, after: Fields): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names].filter((name) => !isSame(before, after, name))
}

/** One version of a session with some fields of another. */
export function laidOver(below: Fields, above: Fields, names: string[]): Fields {
  const kept = Object.entries(below).filter(([name]) => !names.includes(name))
  const laid = Object.entries(above).filter(([name]) => names.includes(name))
  return Object.fromEntries([...kept, ...laid])
}

function isSame(one: Fields, other: Fields, name: string): boolean {
  if (Object.hasOwn(one, name) !== Object.hasOwn(other, name)) return false
  return one[name] === other[name] || JSON.stringify(one[name]) === JSON.stringify(other[name])
}
