/**
 * A real Redis for tests, demo and bench: found on this machine or fetched, started on a free port with a directory
 * of its own, and stopped whatever becomes of this process. The library itself installs and starts nothing.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import RedisBinary from 'redis-memory-server/lib/util/RedisBinary'
import { onPath, packaged } from './programs'

export interface RedisServer {
  url: string
  port: number
  /** Of the redis-server itself, for tests that stop or kill it. */
  pid: number
  dir: string
  /** Ends it and removes its directory. */
  stop(): Promise<void>
  /** Ends it as a crash does, and leaves its directory for one that is started there again. */
  kill(): Promise<void>
}

/** Where a server is started; by default on a free port, in a new directory. */
export interface Place {
  port?: number
  dir?: string
}

const ways = `No Redis server to be had. Provide one in one of three ways:
  1. install redis-server or valkey-server (7.0 or newer) so that it is on the PATH
  2. name its binary:         REDIS_SERVER=/path/to/redis-server
  3. name a running server:   REDIS_URL=redis://127.0.0.1:6379`

/** The server of REDIS_URL, or a private one. */
export async function useRedis(): Promise<{ url: string; stop(): Promise<void> }> {
  const url = process.env.REDIS_URL
  return url ? { url, stop: async () => {} } : startRedis()
}

/** Starts a private server; `args` are options of redis-server, or a configuration file and options. */
export async function startRedis(args: string[] = [], place: Place = {}): Promise<RedisServer> {
  const binary = await findServer()
  for (let tries = 1; ; tries++) {
    const port = place.port ?? (await freePort())
    const dir = place.dir ?? mkdtempSync(join(tmpdir(), 'tokenstore-redis-'))
    try {
      return await tryStart(binary, port, dir, args)
    } catch (error) {
      if (place.dir === undefined) rmSync(dir, { recursive: true, force: true })
      // Somebody else may have taken the port since it was free.
      if (tries === 5 || !String(error).includes('Address already in use')) throw error
    }
  }
}

/** The binary of a Redis server, fetched when there is none. */
export async function findServer(): Promise<string> {
  const named = process.env.REDIS_SERVER
  if (named) {
    if (!existsSync(named)) throw new Error(`REDIS_SERVER names ${named}, which does not exist`)
    return named
  }
  return (
    onPath('redis-server', 'valkey-server') ?? (await built()) ?? packaged('redis-server') ?? fail()
  )
}

function fail(): never {
  throw new Error(ways)
}

async function built(): Promise<string | undefined> {
  console.error(
    'No redis-server on the PATH: trying to download and build one (redis-memory-server) ...'
  )
  try {
    return await RedisBinary.getPath()
  } catch (error) {
    console.error(`  that does not work here: ${String(error).split('\n')[0]}`)
    return undefined
  }
}

/** A port that is free now: the wanted one, or any. */
export function freePort(wanted = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(wanted, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => resolve(port))
    })
  })
}

async function tryStart(
  binary: string,
  port: number,
  dir: string,
  args: string[]
): Promise<RedisServer> {
  const log = join(dir, 'redis.log')
  rmSync(log, { force: true })
  const file = args[0]?.startsWith('-') === false ? args.slice(0, 1) : []
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--logfile', log]
  const memoryOnly = ['--save', '', '--appendonly', 'no']
  // The shell waits on our end of its stdin, which closes even when this process is killed, and then ends the server.
  // Its own stdout is closed, so that ours ends with the server. One that is stopped is killed as it is: it answers no more.
  const guard =
    '"$@" 2>&1 & server=$!; exec >&-; read -r keep; kill -KILL $server; wait $server; [ "$keep" ] || rm -rf "$DIR"'
  const command = [binary, ...file, ...options, ...memoryOnly, ...args.slice(file.length)]
  const shell = spawn('sh', ['-c', guard, 'sh', ...command], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, DIR: dir },
    detached: true // A Ctrl-C is for this process; the server ends with it.
  })
  const gone = new Promise<void>((resolve) => shell.once('exit', () => resolve()))
  shell.stdin.on('error', () => {})
  shell.unref()
  // What a server says here, and not in its log, is why it cannot start.
  let said = ''
  let exited = false
  shell.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  shell.stdout.once('close', () => (exited = true))
  ;(shell.stdout as Socket).unref()
  const ended = (): Promise<void> => {
    shell.ref()
    return gone
  }
  const stop = async (): Promise<void> => {
    shell.stdin.destroy()
    await ended()
    rmSync(dir, { recursive: true, force: true })
  }
  const kill = (): Promise<void> => {
    shell.stdin.end('keep\n')
    return ended()
  }
  const client = new Redis({
    port,
    host: '127.0.0.1',
    lazyConnect: true,
    retryStrategy: () => 20,
    maxRetriesPerRequest: null
  })
  client.on('error', () => {})
  try {
    for (const deadline = Date.now() + 30_000; ; await sleep(20)) {
      const text = existsSync(log) ? readFileSync(log, 'utf8') : ''
      if (exited || Date.now() > deadline) {
        const lines = (text + said).trim().split('\n').slice(-10).join('\n')
        throw new Error(
          `${binary} ${exited ? 'does not start' : 'is not ready after 30 s'}:\n${lines}`
        )
      }
      if (!/eady to accept connections|Sentinel ID is/.test(text)) continue
      const info = await client.info('server')
      const pid = Number(/process_id:(\d+)/.exec(info)?.[1])
      return { url: `redis://127.0.0.1:${port}`, port, pid, dir, stop, kill }
    }
  } catch (error) {
    await kill()
    throw error
  } finally {
    client.disconnect()
  }
}
