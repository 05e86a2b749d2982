import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseHeader } from '../../src/cli/header'
import { scripts } from '../../src/scripts'
import { client, closeAfterAll, root as project } from '../support'
import { Root } from './root'

closeAfterAll()

const NAMES = ['add', 'getkey', 'get', 'set', 'del', 'delkey', 'delowner', 'list', 'count', 'rotate']
NAMES.push('makehash', 'gethash', 'takehash', 'delhash', 'reset')
const CODES = ['TSBADARG', 'TSKEYTAKEN', 'TSLIMIT', 'TSCONFLICT', 'TSRECORD']
const FAMILIES = ['key', 'id', 'tokens', 'hash', 'latest']
const READING = ['EXISTS', 'MGET', 'TIME', 'TYPE', 'ZCARD', 'ZCOUNT', 'ZRANGE', 'ZRANGEBYSCORE', 'ZSCORE']
const WRITING = ['DEL', 'PERSIST', 'PEXPIREAT', 'SET', 'ZADD', 'ZREM', 'ZREMRANGEBYRANK', 'ZREMRANGEBYSCORE']

/** How many lines a script may have, and those that may have more: a list to shorten. */
const LINES = 80
const LONGER: Record<string, number> = { add: 114, list: 111, reset: 110, getkey: 87 }

const dir = join(project, 'lua')
const bytesOf = (name: string): Buffer => readFileSync(join(dir, `${name}.lua`))
const sha1 = (data: Buffer | string): string => createHash('sha1').update(data).digest('hex')
const all = (text: string, pattern: RegExp): string[] => [
  ...new Set([...text.matchAll(pattern)].map(([, found]) => found!))
]

test('every script of the contract is there, and no other file', () => {
  const files = [...NAMES.map((name) => `${name}.lua`), 'SHA1SUMS']
  expect(readdirSync(dir).sort()).toEqual(files.sort())
  expect(Object.keys(scripts).sort()).toEqual([...NAMES].sort())
})

test('SHA1SUMS holds the digests as sha1sum writes them', () => {
  const lines = [...NAMES].sort().map((name) => `${sha1(bytesOf(name))}  ${name}.lua\n`)
  expect(readFileSync(join(dir, 'SHA1SUMS'), 'utf8')).toBe(lines.join(''))
})

describe.each(NAMES)('%s.lua', (name) => {
  const lua = bytesOf(name).toString()
  const header = parseHeader(lua)
  const { args, open, body } = header
  const words = header.options.flatMap((option) => option.split(' '))
  const [locals, ...lines] = body.split('\n')
  const code = lines.join('\n').replace(/ -- .*$/gm, '')

  test('one digest: of the file, of the embedded text, of what Redis loads', async () => {
    const embedded = scripts[name as keyof typeof scripts]
    expect(Buffer.from(embedded.lua).equals(bytesOf(name))).toBe(true)
    expect(embedded.sha1).toBe(sha1(bytesOf(name)))
    expect(await client().script('LOAD', bytesOf(name))).toBe(embedded.sha1)
  })

  test('plain text: ASCII, LF only, no tabs, no line over 120 columns, one end of line at the end', () => {
    expect(lua).toMatch(/^[\n\x20-\x7e]*[^\n]\n$/)
    expect(Math.max(...lua.split('\n').map((line) => line.length))).toBeLessThanOrEqual(120)
  })

  test('it is short enough to be read at one sitting', () => {
    expect(lua.trimEnd().split('\n').length).toBeLessThanOrEqual(LONGER[name] ?? LINES)
  })

  test('the header says what the file is called, what it answers, and that errors write nothing', () => {
    expect(header.name).toBe(name)
    expect(header.returns.length).toBeGreaterThan(0)
    for (const [, text] of header.errors) expect(text).toMatch(/; nothing written$/)
  })

  test('the first line names KEYS and ARGV as the header does, and no line after it needs them', () => {
    const [, left, right] = /^local ([\w, ]+) = ([\w[\], ]+)$/.exec(locals!)!
    const [names, values] = [left!.split(', '), right!.split(', ')]
    expect(names[0]).toBe('root')
    expect(values).toEqual(['KEYS[1]', ...names.slice(1).map((_, i) => `ARGV[${i + 1}]`)])
    const fixed = args.slice(0, open ? -1 : undefined)
    // An argument that is one of some words has no name in the header.
    expect(names.slice(1, 1 + fixed.length)).toEqual(fixed.map((arg, i) => (arg.includes('|') ? names[i + 1] : arg)))
    expect(names.length - 1 - fixed.length).toBeLessThanOrEqual(open ? 0 : words.length)
    expect(code.replaceAll('#KEYS', '')).not.toMatch(/\bKEYS\b/)
    if (!open && words.length === 0) expect(code.replaceAll('#ARGV', '')).not.toMatch(/\bARGV\b/)
  })

  test('it wants as many arguments as the header lists, and says so in its words', async () => {
    const root = new Root(client())
    const wanted = async (n: number): Promise<string> =>
      root.unchanged(() => root.run(name, ...Array<string>(n).fill('x')).then(String, (error: Error) => error.message))
    const expected = open
      ? `^TSBADARG ${name}: expected root`
      : `^TSBADARG ${name}: expected ${['root', ...args].join(' ')}$`
    for (let n = 0; n < args.length; n++) expect(await wanted(n)).toMatch(new RegExp(expected))
    if (!open && words.length === 0) expect(await wanted(args.length + 1)).toMatch(new RegExp(expected))
    // All there: what is wrong with them now is not their number.
    expect(await wanted(args.length)).not.toMatch(open && args.length > 1 ? /^$/ : new RegExp(expected))
  })

  test('the options of the header are the words that it knows', () => {
    const upper = words.flatMap((word) => word.split('|')).filter((word) => /^[A-Z]+$/.test(word))
    const known = [...all(code, /\b([A-Z]{2,}) = false/g), ...all(code, /(?:word|policy) [~=]= '([A-Z]+)'/g)]
    expect([...new Set(known)].sort()).toEqual([...new Set(upper)].sort())
  })

  test('the codes of the header are those that it returns, and those of the contract', () => {
    const codes = header.errors.map(([code]) => code)
    expect(all(code, /'(TS[A-Z]+)\b/g).sort()).toEqual([...codes].sort())
    expect(CODES).toEqual(expect.arrayContaining(codes))
    expect(CODES.filter((one) => codes.includes(one))).toEqual(codes) // always in one order
  })

  test('the names of the header, and those it makes, are of the five families', () => {
    const written = header.writes.map(([name]) => name).filter((name) => name.startsWith('<root>'))
    for (const one of written) expect(one).toMatch(new RegExp(`^<root>:(${FAMILIES.join('|')}):<\\w+>$`))
    const made = all(code, /':(\w*):?'/g).filter((family) => family !== '')
    expect(FAMILIES).toEqual(expect.arrayContaining(made))
    expect(made).toEqual(expect.arrayContaining(written.map((one) => one.split(':')[1])))
  })

  test('it calls only known commands, and writes only if the header says what', () => {
    const calls = all(code, /redis\.p?call\(([^,)]*)/g)
    const verbs = calls.map((call) => /^'([A-Z]+)'$/.exec(call)?.[1] ?? call)
    expect([...READING, ...WRITING]).toEqual(expect.arrayContaining(verbs))
    expect(verbs.some((verb) => WRITING.includes(verb))).toBe(header.writes[0]![0] !== 'nothing')
  })

  test('it throws nothing, loads nothing and knows no clock but that of Redis', () => {
    expect(code).not.toMatch(/(?<![.\w])(?:error|assert|loadstring|dofile|require|pcall|print)\s*\(/)
    expect(code).not.toMatch(/\b(?:os|io|debug|math\.random)\b/)
  })
})

test.each<[string, (lua: string) => string]>([
  ['another first line', (lua) => `-- get\n${lua}`],
  ['a shebang line', (lua) => `#!lua\n${lua}`],
  ['CRLF', (lua) => lua.replaceAll('\n', '\r\n')],
  ['no summary', (lua) => lua.replace(/ -- .*/, '')],
  ['another number of ARGV', (lua) => lua.replace('  ARGV[1]', '  ARGV[2]')],
  ['no KEYS', (lua) => lua.replace(/ {2}KEYS.*\n/, '')],
  ['sections in another order', (lua) => lua.replace('Writes ', 'Errors ')],
  ['no Returns', (lua) => lua.replace(/ {2}Returns(.*\n)+? {2}Errors/, '  Errors')],
  ['two sections of one name', (lua) => lua.replace('Returns ', 'Writes  ')],
  ['a section without a name', (lua) => lua.replace('Writes ', '       ')],
  ['an error without a code', (lua) => lua.replace('  TSRECORD', '  RECORD')]
])('parseHeader refuses %s', (_, change) => {
  const lua = bytesOf('get').toString()
  expect(change(lua)).not.toBe(lua)
  expect(() => parseHeader(change(lua))).toThrow('not the shape of a header')
})
