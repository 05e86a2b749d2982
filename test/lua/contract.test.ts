import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseHeader } from '../../src/cli/header'
import { errorOf } from '../../src/errors'
import { scripts } from '../../src/scripts'
import { client, closeAfterAll, luaOf, project } from '../support'
import { Root } from '../support/root'
import { checks, CODES, readScript, type Script, TOKEN_OF } from './checks'

closeAfterAll()

const NAMES = 'add getkey get set change del delkey delowner list count rotate refresh'.split(' ')
NAMES.push('makehash', 'gethash', 'takehash', 'delhash', 'makecode', 'trycode')

const dir = join(project, 'lua')
const sha1 = (data: Buffer | string): string => createHash('sha1').update(data).digest('hex')
const text = (name: string): string => luaOf(name).toString()
const all = NAMES.map((name) => readScript(name, text(name)))

test('every script of the contract is there, and no other', () => {
  const files = [...NAMES.map((name) => `${name}.lua`), 'SHA1SUMS', 'README.md']
  expect(readdirSync(dir).sort()).toEqual(files.sort())
  expect(Object.keys(scripts).sort()).toEqual([...NAMES].sort())
})

test('SHA1SUMS holds the digests as sha1sum writes them', () => {
  const lines = [...NAMES].sort().map((name) => `${sha1(luaOf(name))}  ${name}.lua\n`)
  expect(readFileSync(join(dir, 'SHA1SUMS'), 'utf8')).toBe(lines.join(''))
})

test.each(NAMES)(
  'one digest of %s: of the file, of the embedded text, of what Redis loads',
  async (name) => {
    const embedded = scripts[name as keyof typeof scripts]
    expect(Buffer.from(embedded.lua).equals(luaOf(name))).toBe(true)
    expect(embedded.sha1).toBe(sha1(luaOf(name)))
    expect(await client().script('LOAD', luaOf(name))).toBe(embedded.sha1)
  }
)

test.each(Object.entries(checks))('in all scripts: %s', (_, check) => {
  expect(check(all)).toEqual([])
})

test('every code that scripts return is of the contract, and the driver has a class for it', () => {
  const returned = new Set(all.flatMap(({ header }) => header.errors.map(([code]) => code)))
  expect(CODES.filter((code) => returned.has(code))).toEqual(CODES)
  expect(returned.size).toBe(CODES.length)
  const plain = CODES.filter((code) => errorOf(code, '').name === 'TokenstoreError')
  expect(plain).toEqual(['TSBADARG', 'TSRECORD'])
  const own = [
    ...readFileSync(join(project, 'src', 'errors.ts'), 'utf8').matchAll(/^ {2}(TS[A-Z]+): /gm)
  ]
  const ofDriver = own.map(([, code]) => code).filter((code) => !CODES.includes(code!))
  expect(ofDriver).toEqual(['TSUNAVAILABLE', 'TSREPLICATION', 'TSREUSE'])
})

describe.each(all)('$name', ({ name, header: { args, open, options } }) => {
  test('it wants as many arguments as the header lists, and says so in its words', async () => {
    const root = new Root(client())
    const wanted = async (n: number): Promise<string> =>
      root.unchanged(() =>
        root.run(name, ...Array<string>(n).fill('x')).then(String, (error: Error) => error.message)
      )
    // With nothing to change a call of change can only be a mistake.
    const [more, least] = name === 'change' ? [' and an option', 1] : ['', 0]
    const enough = args.length + least
    const expected = open
      ? `^TSBADARG ${name}: expected root`
      : `^TSBADARG ${name}: expected ${['root', ...args].join(' ')}${more}$`
    for (let n = 0; n < enough; n++) expect(await wanted(n)).toMatch(new RegExp(expected))
    if (!open && options.length === 0)
      expect(await wanted(args.length + 1)).toMatch(new RegExp(expected))
    // All there: what is wrong with them now is not their number.
    expect(await wanted(enough)).not.toMatch(open && args.length > 1 ? /^$/ : new RegExp(expected))
  })
})

// What each check must see: a change to one script, made on a copy.
const BROKEN: Record<keyof typeof checks, [script: string, change: (lua: string) => string][]> = {
  'what scripts share has one spelling': [
    [
      'get',
      (lua) => lua.replace("redis.call('EXISTS', root, root .. ':')", "redis.call('EXISTS', root)")
    ],
    ['get', (lua) => lua.replace('while a cluster moves the slot', 'while the slot moves')],
    ['set', (lua) => lua.replace("'TSBADARG set: '", "'TSBADARG  set: '")],
    ['set', (lua) => lua.replace('function bad', 'function refuse')],
    ['del', (lua) => lua.replace('57, true)', '56, true)')],
    ['change', (lua) => lua.replace('and not token[name] and', 'and')],
    ['change', (lua) => lua.replace('"ends_at":%.0f', '"ends_at":%.14g')],
    ['change', (lua) => lua.replace('"every":%.0f', '"every":%.1f')],
    ['change', (lua) => lua.replace("victim)[1] or ''", 'victim)[1]')],
    ['change', (lua) => lua.replace("its_key)[1] or ''", 'its_key)[1]')],
    ['change', (lua) => lua.replace('\'","owner_id":\' .. cj', '\'","owner_id": \' .. cj')],
    ['refresh', (lua) => lua.replace('#record < 57', '#record < 56')],
    ['list', (lua) => lua.replace('record:sub(1, 43 + #owner)', 'record:sub(1, 42 + #owner)')],
    ['list', (lua) => lua.replace("cjson.encode(owner_id) .. ','", 'cjson.encode(owner_id)')],
    ['delkey', (lua) => lua.replace("'^([%x-]+) (%d+)$'", "'^([%x-]+) '")],
    ['count', (lua) => lua.replace('math.floor(time[2] / 1000)', 'time[2] / 1000')],
    ['getkey', (lua) => lua.replace('math.floor(time[2] / 1000)', 'math.floor(time[2]/1000)')],
    ['del', (lua) => lua.replace("-1, -1, 'WITHSCORES')[2]", "'-1', '-1', 'WITHSCORES')[2]")],
    ['del', (lua) => lua.replace("if not last:find('%D') then", 'if tonumber(last) then')],
    ['get', (lua) => lua.replace('math.max(0, redis', 'math.max(1, redis')],
    ['del', (lua) => lua.replace('"owner_id":', '"owner":')],
    ['rotate', (lua) => lua.replace("'^[1-9]%d*$'", "'^[1-9][0-9]*$'")]
  ],
  'functions of one name have one spelling': [
    [
      'get',
      (lua) => lua.replace('\n\n--', '\nlocal function precedes(a, b) return a < b end\n\n--')
    ],
    ['get', (lua) => lua.replace('57, true)', '57)')]
  ],
  'each guards against a slot that moves before it reads': [
    ['get', (lua) => lua.replace("redis.call('EXISTS', root, root .. ':')\n", '')],
    ['getkey', (lua) => lua.replace('names[#ARGV] = root', 'names[#ARGV] = nil')],
    [
      'count',
      (lua) => {
        const guard = "redis.call('EXISTS', root, root .. ':')\n"
        return lua.replace(guard, '').replace(/(local time = .*\n)/, `$1${guard}`)
      }
    ]
  ],
  'no file is long': [
    ['get', (lua) => lua + 'return nil\n'.repeat(90)],
    ['change', (lua) => lua + 'return nil\n'.repeat(5)],
    ['getkey', (lua) => lua.replace(TOKEN_OF, '$&$&')]
  ],
  'all code together is short': [
    ['get', (lua) => lua + 'return nil\n'.repeat(20)],
    // What is spelt in two ways is read twice.
    ['get', (lua) => lua.replace('57, true)', '57)')]
  ],
  'no line is wide': [['get', (lua) => lua.replace('\nif ', `\n-- ${'x'.repeat(98)}\nif `)]],
  'few lines of code are wider than usual': [
    ['get', (lua) => lua + `local x = ${' '.repeat(80)}1\n`.repeat(10)]
  ],
  'one statement a line': [
    ['get', (lua) => lua.replace('\nlocal key = ', '\nlocal a = 1 local key = ')],
    ['get', (lua) => lua.replace('\nlocal key = ', '\nlocal a = 1; local key = ')],
    ['del', (lua) => lua.replace(/\n(redis\.call\('ZREM'.*)\n/, '\n$1 $1\n')],
    ['add', (lua) => lua.replace('then policy, at =', 'then policy = nil policy, at =')],
    [
      'add',
      (lua) =>
        lua.replace(
          '    reply[#reply + 1] = victim\n  end',
          '    reply[#reply + 1] = victim at = 1 end'
        )
    ],
    [
      'get',
      (lua) =>
        lua.replace(
          'if not record then return nil end',
          'if not record then key = 1 return nil end'
        )
    ],
    [
      'get',
      (lua) =>
        lua.replace(
          'if not record then return nil end',
          'if not record then return nil else return 1 end'
        )
    ]
  ],
  'plain text: ASCII, LF only, no tabs, one end of line at the end': [
    ['get', (lua) => lua.replace('-- No', '-- Nö')],
    ['get', (lua) => lua.replace('  return', '\treturn')],
    ['get', (lua) => lua + '\n'],
    ['get', (lua) => lua.trimEnd()]
  ],
  'the header says what the file is called, what it answers, and that errors write nothing': [
    ['get', (lua) => lua.replace('  get -- ', '  got -- ')],
    ['get', (lua) => lua.replace('; nothing written\n]]', '\n]]')]
  ],
  'the first line names KEYS and ARGV as the header does, and no line after it needs them': [
    ['get', (lua) => lua.replace(/^local root, id = .*$/m, 'local id, root = ARGV[1], KEYS[1]')],
    ['get', (lua) => lua.replace('local root, id =', 'local root, handle =')],
    ['get', (lua) => lua.replace('ARGV[1]  id ', 'ARGV[1]  handle ')],
    ['get', (lua) => lua.replace('= KEYS[1], ARGV[1]', '= KEYS[1], ARGV[2]')],
    [
      'get',
      (lua) =>
        lua.replace(
          'local root, id = KEYS[1], ARGV[1]',
          'local root, id, x = KEYS[1], ARGV[1], ARGV[2]'
        )
    ],
    ['get', (lua) => lua + "redis.call('GET', KEYS[1])\n"],
    ['get', (lua) => lua + "redis.call('GET', ARGV[1])\n"]
  ],
  'the options of the header are the words that it knows': [
    ['list', (lua) => lua.replace('Option   COUNT n ', 'Option   LIMIT n ')],
    ['list', (lua) => lua.replace('{ AFTER = false, ', '{ AFTER = false, MORE = false, ')],
    ['set', (lua) => lua.replace("word ~= 'IF'", "word ~= 'WHEN'")],
    ['add', (lua) => lua.replace('EVICT = true', 'DROP = true')],
    ['change', (lua) => lua.replace('option.TTL, ', '').replace('= false, ', '= ')],
    ['change', (lua) => lua.replace("TTL = 'NEVER', IDLE = 'NEVER'", "TTL = 'NONE'")],
    ['change', (lua) => lua.replaceAll(/\|NEVER( +)/g, '$1')],
    ['delowner', (lua) => lua.replace('Option   HASHES ', 'Option   ALL    ')],
    ['refresh', (lua) => lua.replace('{ GRACE = false, ', '{ ')]
  ],
  'the codes of the header are those that it returns, in one order': [
    ['get', (lua) => lua.replaceAll("'TSRECORD get", "'TSCONFLICT get")],
    ['get', (lua) => lua.replace(/\n {11}TSRECORD.*/, '')],
    ['rotate', (lua) => lua.replace(/( {11}TSKEYTAKEN.*\n)( {11}TSCONFLICT.*\n)/, '$2$1')]
  ],
  'errors say the code, the script and a text': [
    ['get', (lua) => lua.replace("'TSRECORD get: ", "'TSRECORD set: ")],
    ['get', (lua) => lua.replace("'TSRECORD get: ", "'TSRECORD ")]
  ],
  'the names of the header, and those it makes, are of the seven families': [
    ['set', (lua) => lua.replaceAll("':key:'", "':keys:'")],
    ['set', (lua) => lua.replace('<root>:key:<key>', '<root>:keys:<key>')],
    ['set', (lua) => lua.replace('<root>:key:<key>', '<root>:hash:<key>')],
    ['trycode', (lua) => lua.replace("':code:'", "':codes:'")],
    ['makehash', (lua) => lua.replace('<root>:hashes:<', '<root>:made:<')]
  ],
  'it calls only known commands, and writes only if the header says what': [
    ['get', (lua) => lua.replace("'GET', root", "'HGET', root")],
    ['get', (lua) => lua.replace("redis.call('GET', root", 'redis.call(verb, root')],
    ['get', (lua) => lua.replace("'GET', root", "'GETDEL', root")],
    ['set', (lua) => lua.replace(/ {2}Writes .*/, '  Writes   nothing')],
    ['trycode', (lua) => lua.replace("'HDEL'", "'HGETDEL'")],
    ['trycode', (lua) => lua.replace(/ {2}Writes .*/, '  Writes   nothing')],
    ['get', (lua) => lua.replace("'GET', root", "'HSET', root")]
  ],
  'it throws nothing, loads nothing and knows no clock but that of Redis': [
    ['get', (lua) => lua + "error('x')\n"],
    ['get', (lua) => lua.replace('local key = ', 'local key = assert(nil) or ')],
    ['get', (lua) => lua + 'return os.time()\n'],
    ['get', (lua) => lua + 'return pcall(x)\n']
  ],
  'it has no globals': [
    ['get', (lua) => lua.replace('local key = ', 'key = ')],
    ['get', (lua) => lua.replace('not record then', 'not records then')],
    ['add', (lua) => lua.replace('for _, victim in', 'for _, other_one in')]
  ]
}

test('every check is seen to fail', () => {
  expect(Object.keys(BROKEN)).toEqual(Object.keys(checks))
})

describe.each(Object.entries(BROKEN))(
  'a copy in which this is not so is seen: %s',
  (title, copies) => {
    test.each(copies.map(([script, change], i) => ({ n: i + 1, script, change })))(
      '$n: $script',
      ({ script, change }) => {
        const lua = change(text(script))
        expect(lua).not.toBe(text(script))
        const copy: Script = readScript(script, lua)
        expect(checks[title]!(all.map((one) => (one.name === script ? copy : one)))).not.toEqual([])
      }
    )
  }
)

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
  const lua = text('get')
  expect(change(lua)).not.toBe(lua)
  expect(() => parseHeader(change(lua))).toThrow('not the shape of a header')
})
