import { runInNewContext } from 'node:vm'

/** What it holds JSON does not see. */
class Hidden {
  readonly #a = 1
  get a(): number {
    return this.#a
  }
}

/** What JSON would lose, or cannot carry. */
const lost = (): unknown[] => [
  NaN,
  Infinity,
  -Infinity,
  1n,
  Symbol('a'),
  () => 1,
  class {},
  new Date(NaN),
  new Map(),
  new Map([['a', 1]]),
  Object.assign(new Map([['a', 1]]), { b: 1 }),
  new (class extends Set {
    readonly b = 1
  })(['a']),
  new WeakMap(),
  new Error('a'),
  Object.assign(new TypeError('a'), { code: 'b' }),
  runInNewContext('new Error("a")'),
  runInNewContext('new Set([1])'),
  /a/,
  Promise.resolve(1),
  new Uint8Array([1]),
  new Float64Array(0),
  new DataView(new ArrayBuffer(1)),
  new ArrayBuffer(1),
  new URLSearchParams('a=1'),
  new Hidden(),
  Object(NaN),
  Object(Symbol('a')),
  // What a toJSON makes of it counts.
  { toJSON: () => NaN },
  { toJSON: () => undefined },
  { toJSON: () => null },
  { toJSON: () => new Map() },
  Object.assign(() => 1, { toJSON: () => 2n })
]

// The same a first time is no cycle.
const cycle: Record<string, unknown> = { first: { a: 1 } }
cycle['b'] = { c: [cycle['first'], cycle] }

const within: [path: string, value: unknown][] = [
  ['[1]', [1, undefined]],
  ['[1]', Object.assign([1], { length: 3 })],
  ['[0][1]', [[1, NaN]]],
  ['.b[2].price', { b: [{ price: 1 }, { price: null }, { price: Infinity }] }],
  ['.$_é1["a b"]["1"][""]["\\n\\""]', { $_é1: { 'a b': { 1: { '': { '\n"': 1n } } } } }],
  ['["a.b"].__proto__.c', { 'a.b': withOwnProto({ c: NaN }) }],
  ['[Symbol(name)]', { a: 1, [Symbol('name')]: 1 }],
  ['.b[0][Symbol()]', { b: [{ [Symbol()]: undefined }] }],
  ['.b.d', { b: { toJSON: () => ({ c: 1, d: /a/ }) } }],
  ['.b.c[1]', cycle]
]
function withOwnProto(value: unknown): object {
  return Object.defineProperty({}, '__proto__', { value, enumerable: true })
}

// Of these only the argument is named: what they throw may tell what it likes.
const throwing = (): unknown[] => [
  {
    get a() {
      throw new Error('a getter that throws')
    }
  },
  {
    toJSON() {
      throw new Error('a toJSON that throws')
    }
  },
  JSON.parse('['.repeat(100_000) + ']'.repeat(100_000))
]

/** Values, each with what is said of it when it is this part of that argument. */
export function notCarried(argument: string, part = ''): [says: string, value: unknown][] {
  const says = (path: string): string => `${argument}${path} must be a value that JSON can carry: `
  return [
    ...lost().map((value): [string, unknown] => [says(part), value]),
    ...within.map(([path, value]): [string, unknown] => [says(part + path), value]),
    ...throwing().map((value): [string, unknown] => [says(''), value])
  ]
}
