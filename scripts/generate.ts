/**
 * Writes what is derived from lua/*.lua: src/scripts.ts, which embeds them so that bundlers need no file access,
 * lua/SHA1SUMS, and the tables and digests of lua/README.md. src/cli/*.lua are embedded in the same way.
 * `--check` writes nothing and fails when one of them is out of date.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseHeader, usage, type Row } from '../src/cli/header'
import { errorOf } from '../src/errors'

const root = join(__dirname, '..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const files = readdirSync(join(root, 'lua'))
  .filter((file) => file.endsWith('.lua'))
  .sort()
const scripts = files.map((file) => {
  const lua = read(join('lua', file))
  const sha1 = createHash('sha1').update(lua).digest('hex')
  return { name: file.slice(0, -'.lua'.length), sha1, lua, header: parseHeader(lua) }
})

const derived: Record<string, string> = {
  'lua/SHA1SUMS': scripts.map(({ name, sha1 }) => `${sha1}  ${name}.lua\n`).join(''),
  'src/scripts.ts': [
    '// Generated from lua/*.lua by `npm run generate`. The texts are those files, byte for byte.',
    'export const scripts = {',
    scripts
      .map(
        ({ name, sha1, lua }) =>
          `  ${name}: {\n    sha1: '${sha1}',\n    lua: ${JSON.stringify(lua)}\n  }`
      )
      .join(',\n'),
    '} as const',
    '',
    'export type ScriptName = keyof typeof scripts',
    ''
  ].join('\n'),
  'src/cli/migrate-lua.ts': [
    '// Generated from migrate.lua by `npm run generate`.',
    `export const migrateLua =\n  ${JSON.stringify(read('src/cli/migrate.lua'))}`,
    ''
  ].join('\n'),
  'src/cli/move-session-lua.ts': [
    '// Generated from move-session.lua by `npm run generate`.',
    `export const moveSessionLua =\n  ${JSON.stringify(read('src/cli/move-session.lua'))}`,
    ''
  ].join('\n')
}
derived['lua/README.md'] = page(read('lua/README.md'))

/** Fills in what stands between `<!-- name -->` and `<!-- /name -->`, and every digest that follows its script's name. */
function page(text: string): string {
  const tables = { scripts: scriptTable(), errors: errorTable() }
  for (const [name, table] of Object.entries(tables)) {
    const between = new RegExp(`(<!-- ${name} -->\n).*?(<!-- /${name} -->)`, 's')
    text = text.replace(
      between,
      (_all, open: string, close: string) => `${open}\n${table}\n${close}`
    )
  }
  for (const { name, sha1 } of scripts) {
    text = text.replace(new RegExp(`^(${name} +)[0-9a-f]{40}\\b`, 'gm'), `$1${sha1}`)
  }
  return text
}

function scriptTable(): string {
  const replies = (rows: Row[]): string =>
    rows.map(([thing, said]) => `\`${thing}\` ${said}`.trim()).join('<br>')
  return table(
    ['script', 'ARGV, after KEYS[1] = root', 'replies', 'errors'],
    scripts.map(({ name, header }) => [
      `\`${name}\``,
      `\`${usage(header)}\``,
      replies(header.returns),
      header.errors.map(([code]) => `\`${code}\``).join(' ')
    ])
  )
}

/** Each code once, with what every script says of it: scripts that say the same share a line. */
function errorTable(): string {
  const meanings = new Map<string, Map<string, string[]>>()
  for (const { name, header } of scripts) {
    for (const [code, said] of header.errors) {
      const meaning = said.replace(/; nothing written$/, '')
      const by = meanings.get(code) ?? new Map<string, string[]>()
      by.set(meaning, [...(by.get(meaning) ?? []), `\`${name}\``])
      meanings.set(code, by)
    }
  }
  return table(
    ['code', 'class in the driver', 'when; nothing has been written'],
    [...meanings].map(([code, by]) => [
      `\`${code}\``,
      `\`${errorOf(code, '').name}\``,
      [...by].map(([meaning, names]) => `${meaning}: ${names.join(' ')}`).join('<br>')
    ])
  )
}

function table(head: string[], rows: string[][]): string {
  const cells = [
    head,
    head.map(() => '---'),
    ...rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|')))
  ]
  return cells.map((row) => `| ${row.join(' | ')} |\n`).join('')
}

const check = process.argv.includes('--check')
for (const [file, text] of Object.entries(derived)) {
  if (!check) {
    writeFileSync(join(root, file), text)
  } else if (!existsSync(join(root, file)) || read(file) !== text) {
    console.error(`${file} is out of date: run "npm run generate" and commit it`)
    process.exitCode = 1
  }
}
