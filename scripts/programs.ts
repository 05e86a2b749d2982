/** Programs that are there, or that Debian has. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The first of these programs that is on the PATH. */
export function onPath(...names: string[]): string | undefined {
  const dirs = (process.env.PATH ?? '').split(delimiter).filter((dir) => dir !== '')
  return names.flatMap((name) => dirs.map((dir) => join(dir, name))).find(existsSync)
}

/** The program of Debian's package of that name, installed if this is Debian and we are root. */
export function packaged(name: string): string | undefined {
  if (process.getuid?.() !== 0 || spawnSync('apt-get', ['--version']).error) return undefined
  console.error(`Installing Debian's ${name} (apt-get install, as root) ...`)
  // RUNLEVEL=1 keeps the package from starting a service of its own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const apt = (...args: string[]): void => {
    execFileSync('apt-get', ['-q', '-y', ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  }
  try {
    apt('update')
    apt('install', '--no-install-recommends', name)
  } catch (error) {
    console.error(`  that does not work here: ${String(error).split('\n')[0]}`)
  }
  return [`/usr/bin/${name}`].find(existsSync)
}
