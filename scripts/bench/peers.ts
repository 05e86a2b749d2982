/** The other session stores, installed into a folder of their own. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { cache, root } from './paths'

// connect-redis 10 wants Node 22; 9 is its newest on Node 20, and takes the
// same client.
const PEERS = {
  tokenstore: '0.0.4',
  'redis-sessions': '4.0.0',
  'connect-redis': '9.0.0',
  redis: '6.3.1',
  'express-session': '1.19.0'
}

/** False when that does not work, with the reason on stderr. */
export function installPeers(): boolean {
  const list = join(cache, 'package.json')
  const wanted = JSON.stringify({ private: true, dependencies: PEERS }, null, 2)
  const there = existsSync(join(cache, 'node_modules', 'redis'))
  if (there && readFileSync(list, 'utf8') === wanted) return true
  mkdirSync(cache, { recursive: true })
  writeFileSync(list, wanted)
  const quiet = ['--no-audit', '--no-fund', '--silent']
  const args = ['--ignore-scripts', '--no-save', '--no-package-lock', ...quiet]
  try {
    execFileSync('npm', ['install', ...args], {
      cwd: cache,
      stdio: ['ignore', 'ignore', 'inherit']
    })
    return true
  } catch (error) {
    const [reason] = String(error).split('\n')
    console.error(`The other session stores cannot be installed: ${reason}`)
    return false
  }
}

export function peer(name: string): unknown {
  return createRequire(join(cache, 'package.json'))(name)
}

export function versions(peers: boolean): Record<string, string> {
  const version = (path: string): string =>
    (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
  const own = createRequire(join(root, 'package.json'))
  const found: Record<string, string> = {
    tokenstore: version(join(root, 'package.json')),
    ioredis: version(own.resolve('ioredis/package.json'))
  }
  if (!peers) return found
  const of = (...path: string[]): string =>
    version(join(cache, 'node_modules', ...path, 'package.json'))
  const withRedis = (name: string, redis: string): string => `${of(name)} with redis ${redis}`
  const nested = (name: string): string => withRedis(name, of(name, 'node_modules', 'redis'))
  return {
    ...found,
    'tokenstore 0.0.4': nested('tokenstore'),
    'redis-sessions': nested('redis-sessions'),
    'connect-redis': withRedis('connect-redis', of('redis'))
  }
}
