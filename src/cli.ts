#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { load } from './cli/load'
import { migrate } from './cli/migrate'
import { migrateSessions, NOT_ON_A_CLUSTER } from './cli/migrate-sessions'

const usage = `Usage: tokenstore load    [connection] [--json]
       tokenstore migrate [connection] [--prefix token] [--apply] [--no-hashes]
       tokenstore migrate --from connect-redis [connection] [--prefix sess:] [--to token]
                          [--owner path] [--idle seconds] [--ttl seconds] [--apply]

load     loads the scripts and prints the name, SHA1 and arguments of each;
         --json prints the same as JSON
migrate  brings the data of tokenstore 0.0.4 over, in place; it only says what it
         would do unless --apply is given
         --no-hashes leaves hashes as they are: for a store in which programs of
         this version made some already
migrate --from connect-redis
         moves sessions to tokens, so that nobody is logged out; likewise
         --prefix and --to are the prefixes of the old store and of the new one
         --owner user.id: where a session has the id of its owner; else it is nobody's
         --idle is that of the new store, for cookies without an age; 86400 if not given
         --ttl is that of the new store, if it has one, from now on

connection  --url redis://user:password@host:port/db (or rediss://), or the options of redis-cli:
            -h host, -p port, -s socket, --user name, -a password (or REDISCLI_AUTH), -n db,
            --tls, --cacert file, --cert file, --key file, --sni host
            -c, --cluster: the server is one of a cluster (load)`

const { values, positionals } = parse()

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        url: { type: 'string' },
        host: { type: 'string', short: 'h' },
        port: { type: 'string', short: 'p' },
        socket: { type: 'string', short: 's' },
        user: { type: 'string' },
        pass: { type: 'string', short: 'a' },
        db: { type: 'string', short: 'n' },
        tls: { type: 'boolean' },
        cacert: { type: 'string' },
        cert: { type: 'string' },
        key: { type: 'string' },
        sni: { type: 'string' },
        cluster: { type: 'boolean', short: 'c' },
        json: { type: 'boolean' },
        from: { type: 'string' },
        prefix: { type: 'string' },
        to: { type: 'string' },
        owner: { type: 'string' },
        idle: { type: 'string' },
        ttl: { type: 'string' },
        apply: { type: 'boolean' },
        'no-hashes': { type: 'boolean' },
        help: { type: 'boolean' }
      }
    })
  } catch (error) {
    return fail(`${(error as Error).message}\n${usage}`)
  }
}

function fail(message: string): never {
  console.error(`tokenstore: ${message}`)
  process.exit(1)
}

/** One attempt to connect: a program that was called by hand fails at once. */
function open(): { redis: Redis | Cluster; db: string } {
  const { url = 'redis://127.0.0.1:6379', cacert, cert, key, sni } = values
  if (!/^rediss?:\/\//.test(url)) fail('--url must begin with redis:// or rediss://')
  const { hostname, port, username, password, pathname, protocol } = new URL(url)
  const db = values.db ?? pathname.slice(1)
  const tls =
    values.tls ||
    protocol === 'rediss:' ||
    [cacert, cert, key, sni].some((value) => value !== undefined)
  const read = (file: string | undefined): Buffer | undefined =>
    file === undefined ? file : readFileSync(file)
  const options: RedisOptions = {
    host: values.host ?? (hostname.replace(/^\[|\]$/g, '') || '127.0.0.1'),
    port: Number(values.port ?? (port || 6379)),
    username: values.user ?? (decodeURIComponent(username) || undefined),
    password: values.pass ?? (decodeURIComponent(password) || process.env.REDISCLI_AUTH),
    path: values.socket,
    ...(tls
      ? {
          tls: {
            ca: read(cacert),
            cert: read(cert),
            key: read(key),
            servername: sni
          }
        }
      : {}),
    lazyConnect: true,
    enableReadyCheck: false, // it would ask for INFO
    maxRetriesPerRequest: 0,
    retryStrategy: () => null
  }
  if (!values.cluster) return { redis: new Redis(options), db }
  const startup = [{ host: options.host, port: options.port }]
  const redis = new Cluster(startup, {
    redisOptions: options,
    lazyConnect: true,
    clusterRetryStrategy: () => null,
    // As long as ioredis gives a connection; by itself it waits 1 s here, once.
    slotsRefreshTimeout: 10_000
  })
  return { redis, db }
}

/** What to do once there is a connection: answers the lines to print. */
function readCommand(): (redis: Redis | Cluster) => Promise<string[]> {
  const [command, ...rest] = positionals
  if ((command !== 'load' && command !== 'migrate') || rest.length > 0)
    fail(`load or migrate?\n${usage}`)
  if (command === 'load') return (redis) => load(redis, values.json === true)
  const { from, apply = false, cluster } = values
  if (from === undefined) {
    const foreign = (['to', 'owner', 'idle', 'ttl'] as const).find((name) => name in values)
    if (foreign) fail(`--${foreign} goes with --from connect-redis`)
    if (cluster) fail('0.0.4 never ran on a cluster: there is nothing to migrate')
    const { prefix = 'token', 'no-hashes': noHashes = false } = values
    return (redis) => migrate(redis as Redis, { prefix, apply, hashes: !noHashes })
  }
  if (from !== 'connect-redis') fail('--from connect-redis, or nothing for tokenstore 0.0.4')
  if ('no-hashes' in values) fail('--no-hashes is for tokenstore 0.0.4')
  if (cluster) fail(NOT_ON_A_CLUSTER)
  const { prefix = 'sess:', to = 'token', owner, idle = '86400', ttl } = values
  const options = {
    prefix,
    to,
    owner,
    idle: Number(idle),
    ttl: ttl === undefined ? null : Number(ttl),
    apply
  }
  return (redis) => migrateSessions(redis as Redis, options)
}

async function main(): Promise<void> {
  if (values.help) return console.log(usage)
  const command = readCommand()
  const { redis, db } = open()
  let problem: Error | undefined
  redis.on('error', (error: Error) => (problem = error))
  try {
    await redis.connect()
    // By itself: of the option db ioredis reports a failure as an event, and goes on in database 0.
    if (Number(db) !== 0) await redis.select(db)
    console.log((await command(redis)).join('\n'))
  } catch (error) {
    // Of a connection that fails ioredis rejects with its end, and reports the cause as an
    // event, or further in.
    const cause = problem ?? (error as Error)
    fail((cause as { lastNodeError?: Error }).lastNodeError?.message ?? cause.message)
  } finally {
    redis.disconnect()
  }
}

main().catch((error: Error) => fail(error.message))
