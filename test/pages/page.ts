import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { project } from '../support'

/** Every page of the project. */
function pages(folder = project): string[] {
  const entries = readdirSync(folder, { withFileTypes: true })
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name)
    if (!entry.isDirectory()) return entry.name.endsWith('.md') ? [path] : []
    return /^(\..*|node_modules|dist|coverage)$/.test(entry.name) ? [] : pages(path)
  })
}

/** The one place in the pages that a pattern finds, whichever page it is. */
function find(what: string, pattern: RegExp): string {
  const found = pages().flatMap((page) => [...readFileSync(page, 'utf8').matchAll(pattern)])
  if (found.length !== 1) {
    throw new Error(`${what} must be once in the pages, is ${found.length}`)
  }
  return found[0]![1]!
}

/** The code between the fences that follow `<!-- name -->`. */
export const block = (name: string): string =>
  find(
    `<!-- ${name} --> with a fenced block behind it`,
    new RegExp(`<!-- ${name} -->\\n+\`\`\`\\w*\\n(.*?)\`\`\`\\n`, 'gs')
  )

/** The rows of the table between `<!-- name -->` and `<!-- /name -->`. */
export function table(name: string): string[][] {
  const pattern = new RegExp(`<!-- ${name} -->\\n(.*?)<!-- /${name} -->`, 'gs')
  const text = find(`<!-- ${name} --> with <!-- /${name} -->`, pattern)
  const rows = text.trim().split('\n').slice(2)
  return rows.map((row) => row.split(/ (?<!\\)\| |^\| | \|$/).slice(1, -1))
}

/** The text under a heading of README.md, up to the next one like it. */
export function section(heading: string): string {
  const readme = readFileSync(join(project, 'README.md'), 'utf8')
  const found = new RegExp(`^## ${heading}\n(.*?)^## `, 'ms').exec(readme)
  if (!found) throw new Error(`README.md has no ## ${heading}`)
  return found[1]!
}
