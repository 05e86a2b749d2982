/**
 * What a token costs on each topology of the README: memory of the masters, and
 * calls per second.
 */
import { Cluster, Redis } from 'ioredis'
import { startCluster } from '../redis-cluster'
import { startRedis } from '../redis-server'
import { ATTRS, type Attrs } from './attrs'
import { library } from './library'
import type { Progress } from './progress'
import { runCalls } from './run-calls'
import type { Settings } from './settings'
import { usedMemory } from './used-memory'

export interface Topology {
  topology: string
  /** Of the masters, per token. */
  bytes: number
  /** Calls per second. */
  add: number
  getKey: number
  /** Tokens per second of a walk. */
  all: number
}

interface Place {
  /** What a store is given. */
  redis: string | Cluster
  masters: Redis[]
  stop(): Promise<void>
}

const IN_FLIGHT = 256
const PER_OWNER = 10

const KINDS = [
  { topology: 'one server', place: oneServer, config: { prefix: 'token' } },
  {
    topology: 'one server, partitioned',
    place: oneServer,
    config: { prefix: 'token', partitioned: true }
  },
  {
    topology: 'cluster, one slot',
    place: cluster,
    config: { prefix: '{token}' }
  },
  {
    topology: 'cluster, all slots',
    place: cluster,
    config: { prefix: 'token' }
  }
]

async function oneServer(): Promise<Place> {
  const server = await startRedis()
  const redis = new Redis(server.url)
  return {
    redis: server.url,
    masters: [redis],
    stop: async () => {
      redis.disconnect()
      await server.stop()
    }
  }
}

async function cluster(): Promise<Place> {
  const started = await startCluster()
  const redis = new Cluster(started.startup)
  return {
    redis,
    masters: (await started.masters()).map((node) => node.redis),
    stop: async () => {
      redis.disconnect()
      await started.stop()
    }
  }
}

export async function topologies(
  { topologyTokens }: Settings,
  progress: Progress
): Promise<Topology[]> {
  const found: Topology[] = []
  for (const { topology, place, config } of KINDS) {
    progress('topology', found.length, KINDS.length)
    const { redis, masters, stop } = await place()
    const tokens = library().Tokenstore<Attrs>({
      ...config,
      redis,
      timeout: 60_000
    })
    try {
      const keys: string[] = []
      await tokens.count('nobody')
      const before = await used(masters)
      const add = await perSecond(topologyTokens, async (n) => {
        const { key } = await tokens.add({
          owner_id: `owner-${Math.floor(n / PER_OWNER)}`,
          attrs: ATTRS
        })
        keys.push(key)
      })
      const bytes = ((await used(masters)) - before) / topologyTokens
      const getKey = await perSecond(topologyTokens, (n) => tokens.getKey(keys[n]!))
      const all = await walked(tokens.all(), topologyTokens)
      found.push({ topology, bytes, add, getKey, all })
    } finally {
      await tokens.quit()
      await stop()
    }
  }
  return found
}

/** Tokens per second of a walk that has to yield so many. */
async function walked(tokens: AsyncIterable<{ id: string }>, wanted: number): Promise<number> {
  const start = performance.now()
  const seen = new Set<string>()
  for await (const { id } of tokens) seen.add(id)
  if (seen.size !== wanted) throw new Error(`all() yields ${seen.size} of ${wanted} tokens`)
  return (1000 * seen.size) / (performance.now() - start)
}

async function used(masters: Redis[]): Promise<number> {
  let sum = 0
  for (const master of masters) sum += await usedMemory(master)
  return sum
}

async function perSecond(calls: number, call: (n: number) => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await runCalls(calls, IN_FLIGHT, call)
  return (1000 * calls) / (performance.now() - start)
}
