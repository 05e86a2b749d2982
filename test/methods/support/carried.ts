/**
 * Objects that JSON carries in a way of its own, and texts that a careless
 * script would trip over.
 */
export const attrsToCarry: Record<string, object> = {
  'an empty object': {},
  'empty things': {
    array: [],
    object: {},
    text: '',
    nested: [[], [{}], { a: [] }]
  },
  'words and numbers': {
    a: null,
    b: true,
    c: false,
    d: 0,
    e: -1.5e-7,
    f: 2 ** 53,
    g: 1e300,
    h: 0.1
  },
  'what JSON leaves out or changes': {
    a: undefined,
    b: new Date(0),
    c: -0
  },
  'instances of classes': {
    a: new (class A {
      readonly b = 1
    })(),
    c: new (class C {
      readonly #d = 1
      toJSON(): object {
        return { d: this.#d }
      }
    })(),
    e: Object(7) as object,
    f: Object('') as object,
    g: Buffer.from('a'),
    h: new URL('https://example.com/'),
    i: Object.create(null) as object
  },
  'a __proto__ of its own': JSON.parse(
    '{"__proto__":{"admin":true},"constructor":1,"a":{"__proto__":null}}'
  ) as object,
  'lone surrogates': { '\ud800': '\udfff', a: ['\ud83d', 'x\ud800y'] },
  'text from elsewhere': {
    a: 'Grüße, 日本 😀',
    b: '\0\b\n\u2028\u007f',
    '': 'no name',
    c: '</script>'
  },
  'text of a record': {
    a: ',"attrs":{',
    b: '}}',
    ',"expires_at":1': ',"graced":{}',
    c: '","owner_id":"x"',
    d: '\\'
  },
  'patterns and formats': { a: '%d %s %% %1 ^$()[]*+-?.', b: '$& $1' },
  '70 kB of text': { a: '"\\'.repeat(17_500), b: 'x'.repeat(70_000) },
  '900 levels': JSON.parse(
    '{"a":'.repeat(450) + '[{"a":['.repeat(150) + '"deep"' + ']}]'.repeat(150) + '}'.repeat(450)
  ),
  '2,000 names': Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`name ${i}`, [i]]))
}

/** What JSON makes of a value. */
export const carried = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/**
 * Compares as texts as well: toEqual does not see everything, e.g. a
 * `__proto__` of its own.
 */
export function expectCarried(answer: unknown, given: unknown): void {
  expect(JSON.stringify(answer)).toBe(JSON.stringify(given))
}

/** Any JSON value can be kept under a hash. */
export const valuesToCarry: Record<string, unknown> = {
  ...attrsToCarry,
  'a text': 'foo',
  'an empty text': '',
  'text that is JSON': '{"a":1}',
  'a lone surrogate': '\ud800',
  'a number': 42,
  zero: 0,
  'a negative one': -1,
  'a fraction': -0.25,
  'a huge one': 1.7976931348623157e308,
  'a tiny one': 5e-324,
  'a large integer': Number.MAX_SAFE_INTEGER,
  true: true,
  false: false,
  null: null,
  'an empty array': [],
  'an array': [1, 'a', null, [], {}],
  'a list of lone surrogates': ['\udfff'],
  'a Date, which JSON makes text': new Date(0),
  '900 arrays deep': JSON.parse('['.repeat(900) + ']'.repeat(900))
}
