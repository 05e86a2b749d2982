/** The numbers in the README of this folder: those of the last full run. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { home } from './paths'

const file = join(home, 'README.md')

/** Between the comments that name the part. */
export function writeNumbers(part: string, text: string): void {
  const place = new RegExp(`(<!-- ${part} -->\\n)[^]*?(<!-- end of ${part} -->)`)
  const before = readFileSync(file, 'utf8')
  const block = `\`\`\`\n${text}\n\`\`\`\n`
  const after = before.replace(place, (_, start: string, end: string) => start + block + end)
  if (!after.includes(block)) throw new Error(`${file} has no place for numbers of ${part}`)
  writeFileSync(file, after)
}
