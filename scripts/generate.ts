/**
 * Writes what is derived from lua/*.lua: src/scripts.ts, which embeds them so that bundlers need no file access,
 * and lua/SHA1SUMS. `--check` writes nothing and fails when one of them is out of date.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(__dirname, '..')
const files = readdirSync(join(root, 'lua'))
  .filter((file) => file.endsWith('.lua'))
  .sort()
const scripts = files.map((file) => {
  const lua = readFileSync(join(root, 'lua', file), 'utf8')
  return { name: file.slice(0, -'.lua'.length), sha1: createHash('sha1').update(lua).digest('hex'), lua }
})

const derived: Record<string, string> = {
  'lua/SHA1SUMS': scripts.map(({ name, sha1 }) => `${sha1}  ${name}.lua\n`).join(''),
  'src/scripts.ts': [
    '// Generated from lua/*.lua by `npm run generate`. The texts are those files, byte for byte.',
    'export const scripts = {',
    scripts
      .map(({ name, sha1, lua }) => `  ${name}: {\n    sha1: '${sha1}',\n    lua: ${JSON.stringify(lua)}\n  }`)
      .join(',\n'),
    '} as const',
    '',
    'export type ScriptName = keyof typeof scripts',
    ''
  ].join('\n')
}

const check = process.argv.includes('--check')
for (const [file, text] of Object.entries(derived)) {
  if (!check) {
    writeFileSync(join(root, file), text)
  } else if (readFileSync(join(root, file), 'utf8') !== text) {
    console.error(`${file} is out of date: run "npm run generate" and commit it`)
    process.exitCode = 1
  }
}
