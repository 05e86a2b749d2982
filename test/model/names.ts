/** The root of all names in a search; every call gives it. */
export const ROOT = 'token'

/** A name in Redis, of one of the layout's families. */
export const nameOf = (family: string, rest: string): string => `${ROOT}:${family}:${rest}`

/** Its family and the rest of it. */
export function partsOf(name: string): [family: string, rest: string] {
  const [, family, rest] = /^\w+:(\w+):(.*)$/s.exec(name)!
  return [family!, rest!]
}
