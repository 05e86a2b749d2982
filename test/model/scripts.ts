import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The scripts by name, byte for byte. */
export function scriptsIn(dir = join(__dirname, '..', '..', 'lua')): Map<string, string> {
  const files = readdirSync(dir).filter((file) => file.endsWith('.lua'))
  return new Map(files.map((file) => [file.slice(0, -4), readFileSync(join(dir, file), 'latin1')]))
}
