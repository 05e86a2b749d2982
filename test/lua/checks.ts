import { parseHeader, type Header } from '../../src/cli/header'

/** A script, and its text as a reader sees it. */
export interface Script {
  name: string
  lua: string
  header: Header
  /**
   * Its lines that are neither blank, nor header, nor comment alone; without the comment behind
   * them.
   */
  code: string[]
}

export function readScript(name: string, lua: string): Script {
  const header = parseHeader(lua)
  return { name, lua, header, code: codeOf(header.body) }
}

const codeOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.replace(/(^|\s)-- .*$/, '').trimEnd())
    .filter((line) => line.trim() !== '')

/** What a check finds wrong in all scripts together. */
export type Check = (scripts: Script[]) => string[]

const each =
  (check: (script: Script) => string[]): Check =>
  (scripts) =>
    scripts.flatMap((script) => check(script).map((fault) => `${script.name}: ${fault}`))

export const all = (text: string, pattern: RegExp): string[] => [
  ...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? match[0]))
]

// The options of change are those of add and of set together.
const LINES = { file: 90, change: 120, code: 650 }
const WIDTH = { max: 100, usual: 80, wide: 0.12 }

// What scripts share word for word is read once: it counts once in all, and in no file.
export const TOKEN_OF = /^(?:--.*\n)*local function token_of\b[^]*?\nend\n/m
const own = (text: string): string => text.replace(TOKEN_OF, '')
const readOnce = (scripts: Script[]): string[] => [
  ...new Set(scripts.flatMap(({ header }) => TOKEN_OF.exec(header.body)?.[0] ?? [])),
  ...scripts.map(({ header }) => own(header.body))
]

// What several scripts need, and no include gives them: by what any way to write it must contain.
const SHARED: Record<string, RegExp> = {
  'the guard against a slot that moves': /^(?:--.*\n)*redis\.call\('EXISTS', root\b.*$/gm,
  'how an argument is refused': /^.*\bfunction (?:bad|refuse|fail|stray)\b[^]*?\bend$/gm,
  'where a record is told from others': new RegExp(TOKEN_OF, 'gm'),
  'an owner as a record has it': /^.*'","owner_id":' \.\..*$/gm,
  'how the record of an owner begins': /record:sub\(1, \d+ \+.*?(?= then$|$)/gm,
  'an end as a record has it': /'"ends_at":%\.[^']*'/g,
  'idle as a record has it': /'"idle":%\.[^']*'/g,
  'the key of one that is evicted': /^.*\bits_key = .*$/gm,
  'the record of one that is evicted': /^.*\bits_record = .*$/gm,
  'an old key': /^.*#record <.*$|^.*:match\('\^\(\[%x.*$/gm,
  'the clock': /\bredis\.p?call\('TIME'.*?\)/g,
  'the time now': /\btime\[\d\].*$/gm,
  'which token of an owner expires last': /^.*'ZRANGE', [\w.]+, '?-1.*$/gm,
  'the TTL of an owner set': /^.*'PEXPIREAT', owner_set.*$/gm,
  'the end of a token':
    /(?<=[= ])[^=]{0,12}redis\.call\('PEXPIRETIME', (?=(?:key_)?name\)(?! ==))/g,
  'a whole number': /'\^\[1-9\][^']*'/g
}

export const checks: Record<string, Check> = {
  'what scripts share has one spelling': (scripts) =>
    Object.entries(SHARED).flatMap(([what, pattern]) => {
      const rest = pattern.source === TOKEN_OF.source ? String : own
      const spellings = spelt(scripts, ({ header }) => rest(header.body).match(pattern) ?? [])
      if (spellings.size === 1) return []
      return [`${what}: ${spellings.size} spellings ${JSON.stringify([...spellings])}`]
    }),

  'functions of one name have one spelling': (scripts) => {
    const functions = /^local function (\w+)(?:.* end$|[^]*?\nend$)/gm
    const names = scripts.flatMap(({ header }) => all(header.body, functions))
    return [...new Set(names)].filter(
      (name) =>
        spelt(scripts, ({ header }) =>
          (header.body.match(functions) ?? []).filter((text) =>
            text.startsWith(`local function ${name}(`)
          )
        ).size !== 1
    )
  },

  'each guards against a slot that moves before it reads': each(({ name, code }) => {
    // Two are fast by reading the root along with names of their own.
    const along: Record<string, RegExp> = {
      add: /'EXISTS', key_name, id_name, root, root/,
      getkey: /= root$/
    }
    const guard = code.findIndex((line) =>
      (along[name] ?? /^redis\.call\('EXISTS', root, root /).test(line)
    )
    const first = code.findIndex((line) => /redis\.p?call\((?!'TSBADARG)/.test(line))
    return guard < 0 || guard > first ? ['reads without a guard, or before it'] : []
  }),

  'no file is long': each(({ name, lua }) => {
    const lines = own(lua).trimEnd().split('\n').length
    return lines > (name === 'change' ? LINES.change : LINES.file) ? [`${lines} lines`] : []
  }),

  'all code together is short': (scripts) => {
    const lines = readOnce(scripts).flatMap(codeOf).length
    return lines > LINES.code ? [`${lines} lines of code`] : []
  },

  'no line is wide': each(({ lua }) => lua.split('\n').filter((line) => line.length > WIDTH.max)),

  'few lines of code are wider than usual': (scripts) => {
    const code = readOnce(scripts)
      .flatMap((text) => text.split('\n'))
      .filter((line) => /^\s*(?!--)\S/.test(line))
    const wide = code.filter((line) => line.length > WIDTH.usual).length
    return wide > WIDTH.wide * code.length ? [`${wide} of ${code.length}`] : []
  },

  'one statement a line': each(({ code }) => code.filter((line) => statements(line) > 1)),

  'plain text: ASCII, LF only, no tabs, one end of line at the end': each(({ lua }) =>
    /^(?:[\x20-\x7e]*\n)*[\x20-\x7e]+\n$/.test(lua) ? [] : ['not so']
  ),

  'the header says what the file is called, what it answers, and that errors write nothing': each(
    ({ name, header }) => [
      ...(header.name === name ? [] : [`is called ${header.name}`]),
      ...(header.returns.length > 0 ? [] : ['answers nothing']),
      ...header.errors
        .filter(([, text]) => !text.endsWith('; nothing written'))
        .map(([code]) => code)
    ]
  ),

  'the first line names KEYS and ARGV as the header does, and no line after it needs them':
    each(firstLine),

  'the options of the header are the words that it knows': each(({ header, code }) => {
    const text = code.join('\n')
    const words = header.options
      .flatMap((option) => option.split(/[ |]/))
      .filter((word) => /^[A-Z]+$/.test(word))
    const known = [
      ...all(text, /\b([A-Z]{2,}) = (?:false|true)/g),
      ...all(text, /\boption\.([A-Z]+)(?=[^=]*=(?: false,?)+$)/gm),
      ...all(text, /\b[A-Z]+ = '([A-Z]+)'/g),
      ...all(text, /word ~= '([A-Z]+)'/g)
    ]
    return sameSet(known, words) ? [] : [`${known.join()}, not ${words.join()}`]
  }),

  'the codes of the header are those that it returns, in one order': each(({ header, code }) => {
    const codes = header.errors.map(([code]) => code)
    const returned = all(code.join('\n'), /\b(TS[A-Z]+)\b/g)
    const inOrder = CODES.filter((one) => codes.includes(one))
    return sameSet(returned, codes) && inOrder.join() === codes.join()
      ? []
      : [`${returned.join()}, not ${codes.join()}`]
  }),

  'errors say the code, the script and a text': each(({ name, code }) =>
    all(code.join('\n'), /error_reply\(.*/g).filter(
      (call) => !/^error_reply\('TS[A-Z]+ \w+: /.test(call) || !call.includes(` ${name}: `)
    )
  ),

  'the names of the header, and those it makes, are of the seven families': each(
    ({ header, code }) => {
      const written = header.writes
        .map(([name]) => name)
        .filter((name) => name.startsWith('<root>'))
      const made = all(code.join('\n'), /':(\w+):?'/g)
      return [
        ...written.filter(
          (name) => !new RegExp(`^<root>:(${FAMILIES.join('|')}):<\\w+>$`).test(name)
        ),
        ...made.filter((family) => !FAMILIES.includes(family)),
        ...written.filter((name) => !made.includes(name.split(':')[1]!))
      ]
    }
  ),

  'it calls only known commands, and writes only if the header says what': each(
    ({ header, code }) => {
      const calls = all(code.join('\n'), /redis\.p?call\(([^,)]*)/g)
      const verbs = calls.map((call) => /^'([A-Z]+)'$/.exec(call)?.[1] ?? call)
      const writes = verbs.some((verb) => WRITING.includes(verb))
      return [
        ...verbs.filter((verb) => !READING.includes(verb) && !WRITING.includes(verb)),
        ...(writes === (header.writes[0]![0] !== 'nothing') ? [] : ['the header does not say so'])
      ]
    }
  ),

  'it throws nothing, loads nothing and knows no clock but that of Redis': each(({ code }) =>
    code
      .map(withoutStrings)
      .filter(
        (line) =>
          /(?<![.\w])(?:error|assert|loadstring|dofile|require|pcall(?!\(cjson\.decode)|print)\s*\(/.test(
            line
          ) || /\b(?:os|io|debug|math\.random)\b/.test(line)
      )
  ),

  'it has no globals': each(({ code }) => {
    const text = withoutStrings(code.join('\n'))
    const locals = [
      ...all(text, /\blocal (?:function )?([\w, ]+)/g),
      ...all(text, /\bfor ([\w, ]+?) (?:in|=)/g),
      ...all(text, /\bfunction \w*\(([\w, ]*)\)/g)
    ].flatMap((names) => names.split(/, ?/).map((name) => name.trim()))
    const used = all(text.replace(/[.:]\w+|\b[A-Z]+ = /g, ''), /\b[A-Za-z_]\w*\b/g)
    return used.filter((name) => !locals.includes(name) && !KNOWN.includes(name))
  })
}

/** In the order in which headers tell them. */
export const CODES = ['TSBADARG', 'TSKEYTAKEN', 'TSLIMIT', 'TSCONFLICT', 'TSRECORD']
const FAMILIES = ['key', 'id', 'tokens', 'hash', 'latest', 'hashes', 'code']
const READING = 'EXISTS GET HMGET MGET PEXPIRETIME TIME ZCARD ZCOUNT ZRANGE'.split(' ')
READING.push('ZRANGEBYSCORE', 'ZSCORE')
const WRITING = 'DEL GETDEL HDEL HSET PERSIST PEXPIREAT RENAME SET ZADD'.split(' ')
WRITING.push('ZREM', 'ZREMRANGEBYSCORE')
const KEYWORDS =
  'and break do else elseif end false for function if in local nil not or repeat ' +
  'return then true until while'
const BUILT_IN = 'KEYS ARGV redis cjson pcall ipairs pairs math tonumber type unpack string'
const KNOWN = `${KEYWORDS} ${BUILT_IN}`.split(' ')

const sameSet = (a: string[], b: string[]): boolean =>
  [...new Set(a)].sort().join() === [...new Set(b)].sort().join()

const withoutStrings = (line: string): string => line.replace(/'[^']*'/g, "''")

/**
 * The spellings of something in several scripts, as if all, and what they call an id, had one
 * name.
 */
function spelt(scripts: Script[], find: (script: Script) => string[]): Set<string> {
  return new Set(
    scripts.flatMap((script) =>
      find(script).map((text) =>
        text
          .trim()
          .replace(new RegExp(`\\b${script.name}\\b`, 'g'), 'SCRIPT')
          .replace(/\b(?:victim|uuid)\b/g, 'id')
      )
    )
  )
}

/** How many statements a line has, a condition or loop around one of them not counted. */
function statements(line: string): number {
  let text = withoutStrings(line)
  if (text.includes(';')) return 2
  for (let before = ''; before !== text;) {
    before = text
    text = text.replace(/\([^()]*\)|\[[^[\]]*\]|\{[^{}]*\}/g, '_')
  }
  const parts = text
    .split(/\b(?:then|do|else|end|function\s*\w*_)(?!\w)/)
    .map((part) => part.trim())
  const simple = parts.filter(
    (part) => part !== '' && !/^(?:if|elseif|for|while|until|local$)/.test(part)
  )
  // A part that begins another statement: an assignment more, a word that only begins one, or a
  // call behind a call.
  return simple.reduce(
    (sum, part) =>
      sum +
      Math.max(1, part.match(/(?<![=~<>])=(?!=)/g)?.length ?? 0) +
      (part.match(/\S\s+(?:local|return|break)\b/g)?.length ?? 0) +
      (part.match(/_\s+(?!and\b|or\b|not\b)[a-z]\w*/g)?.length ?? 0),
    0
  )
}

function firstLine({ header, code }: Script): string[] {
  const { args, open, options } = header
  const heads = code.findIndex(
    (line) => !/^local [\w, ]+ = (?:(?:KEYS|ARGV)\[\d\](?: or '')?(?:, )?)+$/.test(line)
  )
  const [lefts, rights] = [[], []] as [string[], string[]]
  for (const line of code.slice(0, heads)) {
    const [, left, right] = /^local (.*) = (.*)$/.exec(line)!
    lefts.push(...left!.split(', '))
    rights.push(...right!.replaceAll(" or ''", '').split(', '))
  }
  const rest = code.slice(heads).join('\n')
  const words = options.flatMap((option) => option.split(' '))
  const fixed = args.slice(0, open ? -1 : undefined)
  const faults: string[] = []
  const expect = (right: boolean, fault: string): void => void (right || faults.push(fault))
  expect(lefts[0] === 'root' && rights[0] === 'KEYS[1]', 'the first is not the root')
  expect(
    rights.slice(1).every((right, i) => right === `ARGV[${i + 1}]`),
    `it takes ${rights.join()}`
  )
  // An argument that is one of some words has no name in the header, and a script may tell what
  // is given from what it finds.
  const named = fixed.every(
    (arg, i) => arg.includes('|') || lefts[i + 1] === arg || lefts[i + 1] === 'given'
  )
  expect(
    named && lefts.length > fixed.length,
    `it names ${lefts.join()}, the header ${fixed.join()}`
  )
  expect(
    lefts.length - 1 - fixed.length <= (open ? 0 : words.length),
    'it takes more than the header lists'
  )
  expect(!/\bKEYS\b/.test(rest.replaceAll('#KEYS', '')), 'KEYS again')
  if (!open && words.length === 0)
    expect(!/\bARGV\b/.test(rest.replaceAll('#ARGV', '')), 'ARGV again')
  return faults
}
