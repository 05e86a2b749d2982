/**
 * The checks of what callers give. Each throws a TypeError that names the argument and what
 * was expected, and never repeats the value: it may be a secret.
 */
const MAX_MS = 9_999_999_999_999

export function fail(name: string, expected: string): never {
  throw new TypeError(`${name} must be ${expected}`)
}

export function text(name: string, value: unknown): string {
  if (typeof value !== 'string' || value === '' || !value.isWellFormed())
    fail(name, 'a non-empty well-formed string')
  return value
}

export function integer(name: string, value: unknown, min: number, max: number): number {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    fail(name, `a whole number from ${min} to ${max}`)
  }
  return value as number
}

/** Seconds, as milliseconds. */
export function seconds(name: string, value: unknown): number {
  const ms = typeof value === 'number' ? Math.round(value * 1000) : NaN
  if (!(ms >= 1 && ms <= MAX_MS)) fail(name, `a number of seconds, from 0.001 to ${MAX_MS / 1000}`)
  return ms
}

/** Seconds as milliseconds, or the given default when absent; null says never. */
export function lifetime(name: string, value: unknown, whenAbsent: number | null): number | null {
  if (value === undefined) return whenAbsent
  return value === null ? null : seconds(name, value)
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

/**
 * A key or hash that a client presents: any text, since a stale or mangled one is not an
 * error but finds nothing.
 */
export function secret(name: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') fail(name, 'a non-empty string')
  return value
}

/** JSON text of a value, refusing what JSON would drop in silence. */
export function json(name: string, value: unknown): string {
  let result: string | undefined
  try {
    // Most attrs are flat, and there is nothing in them to refuse: without a look at each
    // part JSON.stringify is twice as fast.
    result = JSON.stringify(value, isFlat(value) ? undefined : refuseLost)
  } catch {
    // The text of the original names properties of the value.
  }
  if (result === undefined) {
    fail(
      name,
      'a value that JSON can carry: no functions, symbols, BigInts, cycles, or Maps and the like'
    )
  }
  return result
}

const FLAT = new Set(['string', 'number', 'boolean', 'undefined'])

function isFlat(value: unknown): boolean {
  return (
    isPlain(value) && Object.values(value).every((part) => part === null || FLAT.has(typeof part))
  )
}

function refuseLost(_key: string, part: unknown): unknown {
  if (typeof part === 'function' || typeof part === 'symbol' || isLost(part)) throw new TypeError()
  return part
}

/**
 * Whether JSON takes an object for empty that is not: a Map, a Set, an Error, an instance
 * with nothing but `#private` fields.
 */
function isLost(part: unknown): boolean {
  if (part === null || typeof part !== 'object' || Array.isArray(part) || isPlain(part))
    return false
  return Object.keys(part).length === 0 && JSON.stringify(part) === '{}'
}

export function attrs(name: string, value: unknown): string {
  const result =
    value !== null && typeof value === 'object' && !Array.isArray(value) ? json(name, value) : ''
  if (!result.startsWith('{')) fail(name, 'a plain object')
  return result
}
