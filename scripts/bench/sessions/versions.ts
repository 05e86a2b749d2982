import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../paths'

const PACKAGES = ['ioredis', 'express', 'express-session']

/** Of what the apps are made of. */
export function appVersions(): Record<string, string> {
  const version = (folder: string): string => {
    const text = readFileSync(join(root, folder, 'package.json'), 'utf8')
    return (JSON.parse(text) as { version: string }).version
  }
  const installed = (name: string): string => version(join('node_modules', name))
  return {
    tokenstore: version(''),
    ...Object.fromEntries(PACKAGES.map((name) => [name, installed(name)])),
    'connect-redis': `${installed('connect-redis')} with redis ${installed('redis')}`
  }
}
