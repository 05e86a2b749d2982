import type { Redis } from 'ioredis'
import type { Arg } from './evalsha'

/** JSON texts of attrs that a script which parses, cuts or substitutes them would change. */
export const ATTRS: [what: string, attrs: string][] = [
  ['empty', '{}'],
  ['empty inside', '{"a":{},"b":[],"c":null}'],
  ['spaces', '{ "a" : 1 }'],
  ['attrs inside', '{"a":1,"attrs":{"b":2},"c":{"d":1,"attrs":{}}}'],
  [
    'fields of a record inside',
    '{"id":"x","owner_id":"y","expires_at":5,"ends_at":5,"idle":1,"every":1,"z":{}}'
  ],
  ['graced inside', '{"a":1,"graced":{"key-of-token-1":1},"grace":1}'],
  ['__proto__', '{"__proto__":{"polluted":true}}'],
  ['half a surrogate pair', '{"a":"\\ud800"}'],
  ['signs of Lua patterns', '{"%1":"%%%0","^$()[]*+-?.":"%"}'],
  ['slashes and quotes', '{"a":"/\\/\\"\\\\","b":"\\\\"}'],
  ['a large integer', '{"a":9007199254740993,"b":1e300,"c":-0}'],
  ['characters of four bytes', '{"é":"😀"}'],
  ['an escaped NUL', '{"a":"\\u0000"}'],
  ['900 levels deep', '{"a":'.repeat(900) + '1' + '}'.repeat(900)],
  ['70 kB', `{"a":"${'x'.repeat(70_000)}"}`]
]

/** Owners whose name could collide with another's, or reach into a record or a name in Redis. */
export const OWNERS: [what: string, owner: Arg][] = [
  ['a number', '7'],
  ['colons', 'user:7:tokens:x'],
  ['a prefix of another', 'user:7'],
  ['globs', 'a*b?[c]^'],
  ['a glob alone', '*'],
  ['braces', '{k3F}'],
  ['half a brace', 'a{b'],
  ['NUL', 'nul\0byte'],
  ['NUL, more', 'nul\0byte\0'],
  ['attrs', 'x,"attrs":{}'],
  ['attrs that end', 'x","attrs":{}}'],
  ['a lifetime', '","expires_at":5,"'],
  ['a whole lifetime', 'x","expires_at":5,"ends_at":5,"idle":1,"every":1,"graced":{"k":1},"x":"'],
  ['quotes', '"quoted"'],
  ['one quote', '"'],
  ['a backslash at the end', 'back\\'],
  ['two backslashes at the end', 'back\\\\'],
  ['a backslash and a quote', 'back\\"'],
  ['slashes', 'a/b//'],
  ['signs of Lua patterns', '%d+%1$'],
  ['spaces', ' '],
  ['control characters', '\t\r\n\x7f\x01'],
  ['a score', 'inf'],
  ['an option', 'EXCEPT'],
  ['characters of two bytes', 'é'],
  ['characters of four bytes', '😀'],
  ['bytes that are not UTF-8', Buffer.from([0xff, 0xfe, 0xc3])],
  ['half a surrogate pair in bytes', Buffer.from([0xed, 0xa0, 0x80])],
  ['a cut character', Buffer.from([0x61, 0xe2, 0x82])],
  ['5 kB', 'o'.repeat(5000)],
  ['5 kB, another', 'o'.repeat(4999) + 'p']
]

/** Puts a value of a type that the name never has. */
export const STRAY_TYPES: [type: string, put: (redis: Redis, name: Buffer) => Promise<unknown>][] =
  [
    ['list', (redis, name) => redis.rpush(name, 'x')],
    ['hash', (redis, name) => redis.hset(name, 'owner_id', 'o')],
    ['zset', (redis, name) => redis.zadd(name, 1, 'x')],
    ['set', (redis, name) => redis.sadd(name, 'x')],
    ['stream', (redis, name) => redis.xadd(name, '*', 'x', 'y')],
    ['string', (redis, name) => redis.set(name, 'x')]
  ]

export const strayTypes = (...but: string[]): typeof STRAY_TYPES =>
  STRAY_TYPES.filter(([type]) => !but.includes(type))

/** Behind the id of what would be a record otherwise. */
const HEADS: [what: string, owned: string][] = [
  ['no JSON', '"OWNER",'],
  ['no JSON in the owner', '"\\q"'],
  ['an owner that is a number', '5'],
  ['an owner that is null', 'null'],
  ['an owner that is an object', '{}'],
  ['an owner without a character', '""'],
  ['an owner in another spelling', '"\\u006fOWNER"'],
  ['an owner with a space before it', ' "OWNER"'],
  ['two owners', '"OWNER","owner_id":"eve"'],
  ['two owners, one in another spelling', '"OWNER","owner\\u005fid":"eve"'],
  ['two ids', '"OWNER","id":"eve"'],
  ['two ids that are alike', '"OWNER","id":5'],
  ['idle twice', '"OWNER","idle":5000,"every":5,"idle":5000'],
  ['an unknown field twice', '"OWNER","x":1,"x":1'],
  ['idle that is a text', '"OWNER","idle":"5000","every":5'],
  ['idle that is null', '"OWNER","idle":null,"every":5'],
  ['idle that is an object', '"OWNER","idle":{},"every":5'],
  ['idle that is no number', '"OWNER","idle":nan,"every":5'],
  ['every that is true', '"OWNER","idle":5000,"every":true'],
  ['ends_at that is an array', '"OWNER","ends_at":[]'],
  ['ends_at with a fraction', '"OWNER","ends_at":1.5'],
  ['ends_at with an exponent', '"OWNER","ends_at":1e300'],
  ['ends_at below zero', '"OWNER","ends_at":-1']
]

/**
 * Texts under a key's name that are foreign records: of 0.0.4, whose fields have no fixed order,
 * and others.
 */
export const strayRecords = (
  id: string,
  key: string,
  owner = 'o'
): [what: string, text: string][] => [
  ['0.0.4', `{"owner_id":"${owner}","attrs":{"a":1},"key":"${key}","id":"${id}"}`],
  ['0.0.4, id first', `{"id":"${id}","owner_id":"${owner}","attrs":{"a":1},"key":"${key}"}`],
  [
    '0.0.4, id and key first',
    `{"id":"${id}","key":"${key}","owner_id":"${owner}","attrs":{"a":1}}`
  ],
  ['0.0.4, attrs first', `{"attrs":{"a":{}},"id":"${id}","owner_id":"${owner}","key":"${key}"}`],
  ['0.0.4, attrs last', `{"key":"${key}","id":"${id}","owner_id":"${owner}","attrs":{"a":{}}}`],
  ['0.0.4, without attrs', `{"id":"${id}","owner_id":"${owner}","key":"${key}"}`],
  ['spaces', `{ "id": "${id}", "owner_id": "${owner}", "attrs": {} }`],
  ['no attrs but another object', `{"id":"${id}","owner_id":"${owner}","data":{}}`],
  ['attrs that are no object', `{"id":"${id}","owner_id":"${owner}","attrs":[{}]}`],
  ['a short id', `{"id":"5","owner_id":"${owner}","attrs":{"a":{}}}`],
  ...HEADS.map(([what, owned]): [string, string] => [
    what,
    `{"id":"${id}","owner_id":${owned.replaceAll('OWNER', owner)},"attrs":{}}`
  ]),
  ['an object', '{}'],
  ['a list', '[1]'],
  ['a text', 'x'],
  ['an empty text', ''],
  ['70 kB', 'x'.repeat(70_000)]
]

/**
 * Those of them that do not even begin as the record of that id, for scripts that look no
 * further.
 */
export const strayBeginnings = (id: string, key: string): [what: string, text: string][] =>
  strayRecords(id, key).filter(([, text]) => !text.startsWith(`{"id":"${id}","owner_id":"`))

/** Values of hashes: any JSON text, and what is none, which the scripts do not judge. */
export const VALUES: [what: string, value: string][] = [
  ...ATTRS,
  ['an empty list', '[]'],
  ['a list', '[1,"a",null,{}]'],
  ['900 lists deep', '['.repeat(900) + ']'.repeat(900)],
  ['a text', '"text"'],
  ['an empty text', '""'],
  ['a text of quotes', '"\\"\\\\"'],
  ['true', 'true'],
  ['false', 'false'],
  ['null', 'null'],
  ['zero', '0'],
  ['a number', '-12.5e+300'],
  ['a large number', '9007199254740993'],
  ['a small number', '1E-7'],
  ['no JSON', "{a: 'b']"],
  ['a space', ' '],
  ['a NUL', '\0']
]

/** Hashes of any bytes. */
export const HASHES: [what: string, hash: Arg][] = [
  ['one byte', 'h'],
  ['256 bytes', 'h'.repeat(256)],
  ['colons', 'a:hash:b'],
  ['globs', '*'],
  ['braces', '{a}'],
  ['bytes that are not UTF-8', Buffer.from([0, 0xff, 0xfe])],
  ['signs of Lua patterns', '%1%']
]
