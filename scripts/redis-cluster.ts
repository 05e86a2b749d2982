/**
 * Private topologies of real servers on this machine, for tests: a cluster of three masters with a replica each,
 * a master with two replicas under three Sentinels, and a server behind TLS. All of it ends with this process.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis, type RedisOptions } from 'ioredis'
import { freePort, startRedis, type Place, type RedisServer } from './redis-server'

/** A server with a client for looking at it and ordering it about; the client outlives the server's restarts. */
export interface Node extends RedisServer {
  readonly redis: Redis
  /** Starts it again at the same place, empty. Only after `kill`. */
  restart(args?: string[]): Promise<void>
  /** SIGSTOP: it hangs, with all its connections open. */
  pause(): void
  readonly paused: boolean
  resume(): void
}

const HOST = '127.0.0.1'
const SLOTS = 16384
const MASTERS = 3

/** Starts a server, with a client. */
export async function startNode(args: string[] = [], place: Place = {}): Promise<Node> {
  let server = await startRedis(args, place)
  const { port, dir, url } = server
  // What is asked of a server that dies fails at once.
  const redis = new Redis({ host: HOST, port, retryStrategy: () => 20, maxRetriesPerRequest: 0 })
  redis.on('error', () => {})
  let paused = false
  const connected = (): Promise<void> => until(() => Promise.resolve(redis.status === 'ready'))
  await connected()
  return {
    port,
    dir,
    url,
    redis,
    get pid() {
      return server.pid
    },
    kill: () => server.kill(),
    restart: async (again = args) => {
      server = await startRedis(again, { port, dir })
      await connected()
    },
    get paused() {
      return paused
    },
    pause: () => void (paused = process.kill(server.pid, 'SIGSTOP')),
    resume: () => void (paused = !process.kill(server.pid, 'SIGCONT')),
    stop: async () => {
      redis.disconnect()
      await server.stop()
    }
  }
}

/** Options that let a replica join at once. */
const QUICK = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1']

/** A server that follows another one; returns once it has all of its data. */
export async function startReplica(masterPort: number, args: string[] = []): Promise<Node> {
  const node = await startNode(['--replicaof', `${HOST} ${masterPort}`, ...QUICK, ...args])
  await follows(node)
  return node
}

export const startMaster = (args: string[] = []): Promise<Node> => startNode([...QUICK, ...args])

const follows = (node: Node): Promise<void> =>
  until(async () => (await info(node)).includes('master_link_status:up'))
const info = (node: Node): Promise<string> => node.redis.info('replication')

/** Who is a master now and answers. */
async function mastersOf(nodes: Node[]): Promise<Node[]> {
  const roles = await Promise.all(
    nodes.map(async ({ redis, paused }) =>
      redis.status === 'ready' && !paused ? redis.role().catch(() => []) : []
    )
  )
  return nodes.filter((_, i) => roles[i]![0] === 'master')
}

export interface RedisCluster {
  readonly nodes: Node[]
  readonly startup: { host: string; port: number }[]
  masters(): Promise<Node[]>
  /** The master that owns a slot, in the eyes of all masters. */
  ownerOf(slot: number): Promise<Node>
  /** Moves a slot as redis-cli's reshard does, `batch` names at a time with a pause after each. Answers the ms. */
  moveSlot(slot: number, to: Node, how?: { batch?: number; pause?: number }): Promise<number>
  /** Waits until every slot is served and every master has its replicas. */
  healthy(): Promise<void>
  /** Lets a node be silent for so many ms before the others give it up. PATIENCE, unless said otherwise. */
  patience(ms: number): Promise<void>
  stop(): Promise<void>
}

/** For how many ms a server may be silent before the others give it up: longer than the busiest machine makes it. */
export const PATIENCE = 15_000

/** Starts a cluster of three masters, which share the slots evenly, and three replicas. */
export async function startCluster(): Promise<RedisCluster> {
  // At first a short time, with which the nodes get to know each other sooner.
  const args = [...QUICK, '--cluster-enabled', 'yes', '--cluster-node-timeout', '2000']
  const nodes: Node[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()))
  }
  try {
    nodes.push(
      ...(await Promise.all(Array.from({ length: 2 * MASTERS }, () => startClusterNode(args))))
    )
    const ids = await Promise.all(nodes.map(({ redis }) => redis.cluster('MYID')))
    const idOf = (node: Node): string => ids[nodes.indexOf(node)]!

    const views = (): Promise<string[]> =>
      Promise.all(nodes.map(({ redis }) => redis.cluster('NODES') as Promise<string>))
    await Promise.all(nodes.map(({ redis }, i) => redis.cluster('SET-CONFIG-EPOCH', i + 1)))
    await until(async () => {
      const all = await views()
      // Again while it is not there: a node that does not answer in time is forgotten.
      for (const [i, { port }] of nodes.entries()) {
        if (!all[0]!.includes(ids[i]!)) await nodes[0]!.redis.cluster('MEET', HOST, port)
      }
      return all.every((view) => ids.every((id) => view.includes(id)))
    })
    for (let i = 0; i < MASTERS; i++) {
      const slots = Array.from({ length: SLOTS }, (_, slot) => slot)
      const [from, to] = [
        Math.round((SLOTS * i) / MASTERS),
        Math.round((SLOTS * (i + 1)) / MASTERS)
      ]
      await nodes[i]!.redis.cluster('ADDSLOTS', ...slots.slice(from, to))
      await nodes[i + MASTERS]!.redis.cluster('REPLICATE', ids[i]!)
    }

    const masters = async (): Promise<Node[]> => {
      const found = await mastersOf(nodes)
      const slots = await Promise.all(
        found.map(({ redis }) => redis.cluster('NODES') as Promise<string>)
      )
      // One that comes back after a failover calls itself a master until it hears of its successor.
      return found.filter((_, i) => /myself,master - \S+ \S+ \S+ \S+ \d/.test(slots[i]!))
    }
    const ownerOf = async (slot: number): Promise<Node> => {
      let owner: Node | undefined
      await until(async () => {
        const all = await masters()
        const ports = await Promise.all(all.map(({ redis }) => ownerPort(redis, slot)))
        owner = ports.every((port) => port === ports[0])
          ? nodes.find(({ port }) => port === ports[0])
          : undefined
        return owner !== undefined && all.length === MASTERS
      })
      return owner!
    }
    const moveSlot: RedisCluster['moveSlot'] = async (slot, to, { batch = 10, pause = 0 } = {}) => {
      const from = await ownerOf(slot)
      const begun = Date.now()
      await to.redis.cluster('SETSLOT', slot, 'IMPORTING', idOf(from))
      await from.redis.cluster('SETSLOT', slot, 'MIGRATING', idOf(to))
      for (;;) {
        const names = await from.redis.cluster('GETKEYSINSLOT', slot, batch)
        if (names.length === 0) break
        await from.redis.call('MIGRATE', HOST, to.port, '', 0, 30_000, 'KEYS', ...names)
        await sleep(pause)
      }
      const others = (await masters()).filter((node) => node !== to && node !== from)
      for (const { redis } of [to, from, ...others])
        await redis.cluster('SETSLOT', slot, 'NODE', idOf(to))
      return Date.now() - begun
    }
    const patience = async (ms: number): Promise<void> => {
      const there = nodes.filter(({ redis, paused }) => redis.status === 'ready' && !paused)
      await Promise.all(there.map(({ redis }) => redis.config('SET', 'cluster-node-timeout', ms)))
    }
    const healthy = async (): Promise<void> => {
      await until(async () => {
        const states = await Promise.all(nodes.map(({ redis }) => redis.cluster('INFO')))
        if (!states.every((state) => state.includes('cluster_state:ok'))) return false
        // In the eyes of each: one that has not heard of a replica's master yet takes it for a master itself.
        const sound = (view: string): boolean =>
          !/fail|handshake|noaddr/.test(view) && view.match(/\bmaster\b/g)?.length === MASTERS
        if (!(await views()).every(sound)) return false
        const all = await masters()
        const replicas = await Promise.all(nodes.filter((node) => !all.includes(node)).map(info))
        return (
          all.length === MASTERS &&
          replicas.length === MASTERS &&
          replicas.every((replica) => replica.includes('master_link_status:up'))
        )
      })
      await patience(PATIENCE)
    }
    await healthy()
    return {
      nodes,
      startup: nodes.map(({ port }) => ({ host: HOST, port })),
      masters,
      ownerOf,
      moveSlot,
      healthy,
      patience,
      stop
    }
  } catch (error) {
    await stop()
    throw error
  }
}

// The nodes talk to each other on the port that is higher by this.
const BUS = 10_000

async function startClusterNode(args: string[]): Promise<Node> {
  for (let tries = 1; ; tries++) {
    const port = await freePort()
    if (port + BUS > 65_535) continue
    try {
      await freePort(port + BUS)
      return await startNode(args, { port })
    } catch (error) {
      // Another process was faster, on this port or the other.
      if (tries >= 5) throw error
    }
  }
}

async function ownerPort(redis: Redis, slot: number): Promise<number | undefined> {
  const ranges = (await redis.cluster('SLOTS')) as unknown as [number, number, [string, number]][]
  return ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1]
}

export interface SentinelGroup {
  readonly servers: Node[]
  /** What ioredis, and so a store, is given. */
  readonly options: RedisOptions
  /** The master, in the eyes of all Sentinels and its own. */
  master(): Promise<Node>
  /** Starts a killed server again, as a replica of the new master, and waits until the Sentinels know all. */
  rejoin(server: Node): Promise<void>
  /** Lets a server be silent for so many ms before the Sentinels give it up. PATIENCE, unless said otherwise. */
  patience(ms: number): Promise<void>
  stop(): Promise<void>
}

/** Sentinels that stood still for 2 s, with their machine, leave everything as it is for the next 30 s. */
const SENTINELS_MS = 60_000

/** Starts a master with two replicas, and three Sentinels. */
export async function startSentinels(): Promise<SentinelGroup> {
  const name = 'tokens'
  const servers: Node[] = []
  const sentinels: Node[] = []
  const stop = async (): Promise<void> => {
    await Promise.all([...sentinels, ...servers].map((server) => server.stop()))
  }
  try {
    servers.push(await startMaster())
    servers.push(...(await Promise.all([1, 2].map(() => startReplica(servers[0]!.port)))))
    const config = [
      `sentinel monitor ${name} ${HOST} ${servers[0]!.port} 2`,
      `sentinel down-after-milliseconds ${name} ${PATIENCE}`,
      `sentinel failover-timeout ${name} 5000`,
      `sentinel parallel-syncs ${name} 2`
    ]
    for (let i = 0; i < 3; i++) sentinels.push(await startSentinel(config))

    const known = async (field: string): Promise<unknown[]> =>
      Promise.all(
        sentinels.map(async ({ redis }) => {
          const flat = (await redis.call('SENTINEL', 'MASTER', name)) as string[]
          return flat[flat.indexOf(field) + 1]
        })
      )
    const master: SentinelGroup['master'] = async () => {
      let found: Node | undefined
      await until(async () => {
        const ports = await known('port')
        const all = await mastersOf(servers)
        found = all.find(({ port }) => ports.every((seen) => seen === String(port)))
        return found !== undefined
      }, SENTINELS_MS)
      return found!
    }
    const complete = (): Promise<void> =>
      until(async () => {
        const [others, replicas, flags] = await Promise.all(
          ['num-other-sentinels', 'num-slaves', 'flags'].map(known)
        )
        const all = await Promise.all(
          sentinels.map(({ redis }) => redis.call('SENTINEL', 'REPLICAS', name))
        )
        return (
          others!.every((n) => n === '2') &&
          replicas!.every((n) => n === '2') &&
          flags!.every((flag) => flag === 'master') &&
          (all as string[][][]).every((list) =>
            list.every(
              (replica) => replica[replica.indexOf('flags') + 1] === 'slave' && linkOk(replica)
            )
          )
        )
      }, SENTINELS_MS)
    await complete()
    const patience = async (ms: number): Promise<void> => {
      await Promise.all(
        sentinels.map(({ redis }) =>
          redis.call('SENTINEL', 'SET', name, 'down-after-milliseconds', ms)
        )
      )
    }
    const rejoin = async (server: Node): Promise<void> => {
      const { port } = await master()
      await server.restart(['--replicaof', `${HOST} ${port}`, ...QUICK])
      await follows(server)
      await complete()
      await patience(PATIENCE)
    }
    const options: RedisOptions = {
      name,
      sentinels: sentinels.map(({ port }) => ({ host: HOST, port }))
    }
    return { servers, options, master, rejoin, patience, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const linkOk = (replica: string[]): boolean =>
  replica[replica.indexOf('master-link-status') + 1] === 'ok'

async function startSentinel(config: string[]): Promise<Node> {
  const dir = mkdtempSync(join(tmpdir(), 'tokenstore-sentinel-'))
  const file = join(dir, 'sentinel.conf')
  writeFileSync(file, config.join('\n') + '\n')
  return startNode([file, '--sentinel'], { dir })
}

export interface TlsServer {
  /** `rediss://`, without a user. */
  url: string
  port: number
  /** The certificate of the private CA, for `tls: { ca }`. */
  ca: string
  /** The server with its plain port, for whoever sets it up. */
  node: Node
  stop(): Promise<void>
}

/** Starts a server that speaks TLS, with a certificate of a new private CA. */
export async function startTls(args: string[] = []): Promise<TlsServer> {
  const dir = mkdtempSync(join(tmpdir(), 'tokenstore-tls-'))
  const at = (name: string): string => join(dir, name)
  const openssl = (...command: string[]): void => {
    execFileSync('openssl', command, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] })
  }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  try {
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      'ca.key',
      '-out',
      'ca.crt',
      '-subj',
      '/CN=private CA',
      '-days',
      '2'
    )
    openssl('req', ...newKey, '-keyout', 'redis.key', '-out', 'redis.csr', '-subj', '/CN=localhost')
    writeFileSync(at('san'), `subjectAltName=DNS:localhost,IP:${HOST}\n`)
    const signed = [
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-extfile',
      'san',
      '-days',
      '2'
    ]
    openssl('x509', '-req', '-in', 'redis.csr', ...signed, '-out', 'redis.crt')
    const tls = [
      '--tls-cert-file',
      at('redis.crt'),
      '--tls-key-file',
      at('redis.key'),
      '--tls-ca-cert-file',
      at('ca.crt')
    ]
    const port = await freePort()
    const node = await startNode([
      '--tls-port',
      String(port),
      ...tls,
      '--tls-auth-clients',
      'no',
      ...args
    ])
    const stop = async (): Promise<void> => {
      await node.stop()
      rmSync(dir, { recursive: true, force: true })
    }
    return {
      url: `rediss://localhost:${port}`,
      port,
      ca: readFileSync(at('ca.crt'), 'utf8'),
      node,
      stop
    }
  } catch (error) {
    rmSync(dir, { recursive: true, force: true })
    throw error
  }
}

async function until(condition: () => Promise<boolean>, ms = 20_000): Promise<void> {
  for (const deadline = Date.now() + ms; Date.now() < deadline; await sleep(20)) {
    if (await condition().catch(() => false)) return
  }
  throw new Error(`the servers are still not in the state wanted after ${ms} ms`)
}
