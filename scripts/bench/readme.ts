/** The numbers in the README of this folder: those of the last full run. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { home } from './paths'

const file = join(home, 'README.md')
const BLOCK = /(<!-- numbers -->\n)[^]*?(<!-- end of numbers -->)/

export function writeNumbers(text: string): void {
  const before = readFileSync(file, 'utf8')
  const block = `\`\`\`\n${text.trim()}\n\`\`\`\n`
  const after = before.replace(BLOCK, (_, start: string, end: string) => start + block + end)
  if (!after.includes(block)) throw new Error(`${file} has no place for numbers`)
  writeFileSync(file, after)
}
