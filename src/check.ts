import { types } from 'node:util'

/**
 * The checks of what callers give. Each throws a TypeError that names the argument and what
 * was expected, and never repeats the value: it may be a secret.
 */
const MAX_MS = 9_999_999_999_999

export function fail(name: string, expected: string): never {
  throw new TypeError(`${name} must be ${expected}`)
}

export function text(name: string, value: unknown): string {
  if (!isText(value)) fail(name, 'a non-empty well-formed string')
  return value
}

/** Whether a value can be part of a name in Redis. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.isWellFormed()
}

export function integer(name: string, value: unknown, min: number, max: number): number {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    fail(name, `a whole number from ${min} to ${max}`)
  }
  return value as number
}

/** Seconds, as milliseconds. */
export function seconds(name: string, value: unknown, or = ''): number {
  const ms = typeof value === 'number' ? Math.round(value * 1000) : NaN
  const expected = `a number of seconds, from 0.001 to ${MAX_MS / 1000}${or}`
  if (!(ms >= 1 && ms <= MAX_MS)) fail(name, expected)
  return ms
}

/** Seconds as milliseconds, or the given default when absent; null says never. */
export function lifetime<T>(name: string, value: unknown, whenAbsent: T): number | null | T {
  if (value === undefined) return whenAbsent
  return value === null ? null : seconds(name, value, ', or null')
}

export function boolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') fail(name, 'true or false')
  return value
}

/** Whether a value is an object as literals make them, in whatever realm. */
export function isPlain(value: unknown): value is object {
  if (value === null || typeof value !== 'object') return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/**
 * A plain object: what a Map, a URL or a client of another library has to say would be
 * found under no name of ours.
 */
export function plain(name: string, value: unknown): asserts value is object {
  if (!isPlain(value)) fail(name, 'a plain object')
}

/**
 * A plain object none of whose names is unknown: a misspelt `ttl` must not make a token
 * that never expires.
 */
export function object(name: string, value: unknown, known: readonly string[]): void {
  plain(name, value)
  if (Object.keys(value).some((key) => !known.includes(key)))
    fail(name, `a plain object with nothing but ${known.join(', ')}`)
}

/** An object of options, which may be absent. */
export function options<T extends object>(
  name: string,
  value: unknown,
  known: readonly (keyof T & string)[]
): T {
  if (value === undefined) return {} as T
  object(name, value, known)
  return value as T
}

export function uuid(name: string, value: unknown): string {
  if (typeof value !== 'string' || !/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(value))
    fail(name, 'a UUID in lower case')
  return value
}

export function cursor(name: string, value: unknown): string {
  if (typeof value !== 'string' || !/^(inf|\d+):[\da-f-]+$/.test(value))
    fail(name, 'a cursor from an earlier page, or null')
  return value
}

/** JSON text of a value, refusing what JSON would lose. */
export function json(name: string, value: unknown): string {
  let lost: string | null = ''
  let result: string | undefined
  try {
    // Most attrs are flat, and take no walk.
    lost = isFlat(value) ? null : lossIn(value, '', [])
    if (lost === null) result = JSON.stringify(value)
  } catch {
    // A getter or a toJSON threw, or it is too deep. What they say may repeat the value.
  }
  if (result === undefined) fail(name + (lost ?? ''), 'a value that JSON can carry: ' + NOT_CARRIED)
  return result
}

const NOT_CARRIED =
  'no functions, symbols, BigInts, cycles, NaN, Infinity, invalid dates, or Maps and the like'

/**
 * The path to the first part of a value that JSON would lose, null when it carries all of
 * it. Properties that are undefined count as absent, and -0 as 0.
 */
function lossIn(given: unknown, key: string | number, around: object[]): string | null {
  if (isLeaf(given)) return null
  const part = carried(given, key)
  // What its toJSON calls null is lost: a date that is invalid.
  if (part === null) return ''
  if (isLeaf(part)) return null
  if (typeof part !== 'object' || around.includes(part) || isLost(part)) return ''
  const symbol = Object.getOwnPropertySymbols(part).find((own) => isEnumerable(part, own))
  if (symbol) return `[${String(symbol)}]`
  around.push(part)
  const list = Array.isArray(part)
  for (const name of list ? part.keys() : Object.keys(part)) {
    const value: unknown = part[name as keyof typeof part]
    const path = value === undefined && !list ? null : lossIn(value, name, around)
    if (path !== null) return step(name) + path
  }
  around.pop()
  return null
}

/** Whether a value is a plain object of nothing but texts, numbers, booleans and null. */
export function isFlat(value: unknown): boolean {
  return (
    isPlain(value) &&
    Object.getOwnPropertySymbols(value).length === 0 &&
    Object.values(value).every((part) => part === undefined || isLeaf(part))
  )
}

function isLeaf(part: unknown): boolean {
  if (typeof part === 'number') return Number.isFinite(part)
  return typeof part === 'string' || typeof part === 'boolean' || part === null
}

/** What JSON carries of a value. */
function carried(given: unknown, key: string | number): unknown {
  if (given === undefined) return given
  const { toJSON } = given as { toJSON?: unknown }
  return typeof toJSON === 'function' ? toJSON.call(given, String(key)) : given
}

/** Whether JSON takes an object for empty, or for a list of properties, that is not. */
function isLost(part: object): boolean {
  if (Array.isArray(part) || isPlain(part)) return false
  if (types.isMap(part) || types.isSet(part)) return true
  if (types.isNativeError(part) || ArrayBuffer.isView(part)) return true
  // A RegExp, a Promise, an instance with nothing but `#private` fields; a Number that is NaN.
  return Object.keys(part).length === 0 && /^(\{\}|null)$/.test(JSON.stringify(part))
}

const isEnumerable = (part: object, name: symbol): boolean =>
  Object.prototype.propertyIsEnumerable.call(part, name)

/** How a property is written behind the object or array that has it. */
function step(name: string | number): string {
  return /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(String(name)) ? `.${name}` : `[${JSON.stringify(name)}]`
}

export function attrs(name: string, value: unknown): string {
  const result =
    value !== null && typeof value === 'object' && !Array.isArray(value) ? json(name, value) : ''
  if (!result.startsWith('{')) fail(name, 'a plain object')
  return result
}
