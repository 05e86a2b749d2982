import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { monitor, type Monitor } from './monitor'

// What would show a key: every command and what its script calls (MONITOR), the
// slow log with all commands in it, the names and values, and the files,
// uncompressed.
const showsAll = [
  ...['--appendonly', 'yes', '--appendfsync', 'no', '--auto-aof-rewrite-percentage', '0'],
  ...['--slowlog-log-slower-than', '0', '--slowlog-max-len', '100000'],
  ...['--dbfilename', 'dump.rdb', '--rdbcompression', 'no', '--save', '']
]

export interface Watched {
  server: RedisServer
  watch: Monitor
  redis: Redis
  stop(): Promise<void>
}

/** A Redis of its own that keeps what it was told, and one who looks on. */
export async function watched(): Promise<Watched> {
  const server = await startRedis(showsAll)
  const watch = await monitor(server.url)
  const redis = new Redis(server.url)
  const stop = async (): Promise<void> => {
    watch.close()
    redis.disconnect()
    await server.stop()
  }
  return { server, watch, redis, stop }
}

/** Everything Redis shows, by place. */
export async function placesOf({ server, watch, redis }: Watched): Promise<Record<string, string>> {
  await redis.save()
  const file = (path: string): string =>
    statSync(path).isDirectory()
      ? readdirSync(path)
          .map((name) => file(join(path, name)))
          .join('\n')
      : readFileSync(path, 'latin1')
  const files = readdirSync(server.dir).filter((name) => !name.endsWith('.log'))
  expect(files).toContain('dump.rdb')
  const places: Record<string, string> = {
    MONITOR: (await watch.everything()).join('\n'),
    SLOWLOG: JSON.stringify(await redis.slowlog('GET', 100000)),
    // What lies under them is in the RDB.
    names: (await redis.keys('*')).join('\n'),
    RDB: file(join(server.dir, 'dump.rdb')),
    log: readFileSync(join(server.dir, 'redis.log'), 'latin1')
  }
  places['AOF'] = files
    .filter((name) => name !== 'dump.rdb')
    .map((name) => file(join(server.dir, name)))
    .join('\n')
  return places
}

/**
 * Which of the secrets a text holds. Both are many, so most places are ruled
 * out by their first four characters.
 */
export function foundIn(text: string, secrets: Set<string>): string[] {
  const bytes = Buffer.from(text, 'latin1')
  const startAt = (from: Buffer, at: number): number =>
    (from[at]! & 63) |
    ((from[at + 1]! & 63) << 6) |
    ((from[at + 2]! & 63) << 12) |
    ((from[at + 3]! & 63) << 18)
  const starts = new Uint8Array(2 ** 24)
  for (const secret of secrets) starts[startAt(Buffer.from(secret), 0)] = 1
  const lengths = [...new Set([...secrets].map((secret) => secret.length))]
  const found = new Set<string>()
  for (let at = 0; at + 4 <= bytes.length; at++) {
    if (starts[startAt(bytes, at)] === 0) continue
    for (const length of lengths) {
      const part = bytes.toString('latin1', at, at + length)
      if (secrets.has(part)) found.add(part)
    }
  }
  return [...found]
}
