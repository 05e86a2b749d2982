/** Runs the contenders, one process each, on one Redis in one interleaved run: A B C … C B A, several rounds. */
import { fork, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { startRedis } from '../redis-server'
import { NAMES, type Attrs, type Name } from './adapters'
import { topologies, type Topology } from './topologies'
import type { Slice, Step, Task } from './worker'

export interface Settings {
  peers: boolean
  rounds: number
  /** Milliseconds of one slice, of which each round has two per contender and cell. */
  ms: number
  standing: number
  memoryTokens: number
  resets: number[]
  resetRounds: number
  growth: [small: number, large: number]
  growthSteps: number
  topologyTokens: number
}

export const FULL: Settings = {
  peers: true,
  rounds: 9,
  ms: 120,
  standing: 10_000,
  memoryTokens: 50_000,
  resets: [10_000, 100_000],
  resetRounds: 3,
  growth: [1_000, 1_000_000],
  growthSteps: 40,
  topologyTokens: 100_000
}

export const QUICK: Settings = {
  peers: true,
  rounds: 2,
  ms: 25,
  standing: 2_000,
  memoryTokens: 5_000,
  resets: [500, 5_000],
  resetRounds: 2,
  growth: [1_000, 20_000],
  growthSteps: 5,
  topologyTokens: 2_000
}

export const IN_FLIGHT = [1, 16, 64, 256]
export const LISTS = [1, 10, 100, 1000]
export const GROWING = ['plain GET', 'getKey', 'get', 'set', 'add', 'del', 'delKey', 'rotate', 'list of 10', 'count']

/** One operation of one contender with so many calls in flight: medians of the rounds. */
export interface Cell {
  contender: Name
  op: string
  inFlight: number
  throughput: number
  /** To the floor in the same round. */
  ratio: number
  lowest: number
  highest: number
  p50: number
  p99: number
  serverCpu: number
  serverCpuRatio: number
  clientCpu: number
  /** Per call. Round trips are the times that the server read from a socket, which tells only with one in flight. */
  reads: number
  commands: number
  bytesIn: number
  bytesOut: number
}

export interface Reset {
  contender: Name
  tokens: number
  seconds: number
  ratio: number
  /** Milliseconds: the longest PING of a bystander, in the median round and in the worst. */
  ping: number
  worstPing: number
  /** Milliseconds: the longest command in the server, in the median round. */
  longestCommand: number
}

export interface Memory {
  contender: Name
  attrsBytes: number
  perOwner: number
  bytes: number
}

export interface Growth {
  op: string
  inFlight: number
  /** Microseconds per call. */
  small: number
  large: number
  /** The same of the server's CPU. */
  smallCpu: number
  largeCpu: number
  ratio: number
  cpuRatio: number
}

export interface Results {
  cells: Cell[]
  resets: Reset[]
  memory: Memory[]
  growth: Growth[]
  topologies: Topology[]
}

/** What was measured, and how: the versions of Redis, and whether it had a core of its own. */
export interface Measured extends Results {
  redis: string
  pinned: boolean
}

export type Progress = (part: string, done: number, of: number) => void

export const median = (values: number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle) - 1]!) / 2
}
const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0)

/** Keeps a process to some cores, where the system can: else it is chance who shares one with whom. */
function pin(pid: number, those: string): boolean {
  if (cpus().length < 2) return false
  return spawnSync('taskset', ['-a', '-c', '-p', those, String(pid)], { stdio: 'ignore' }).status === 0
}

const SERVER_CORE = '0'
const CLIENT_CORES = `1-${cpus().length - 1}`

class Worker {
  readonly #child: ChildProcess
  #settle: { resolve(result: unknown): void; reject(error: Error): void } | undefined

  constructor(name: Name, ...urls: string[]) {
    this.#child = fork(join(__dirname, 'worker.ts'), [name, ...urls])
    this.#child.on('message', ({ result, error }: { result?: unknown; error?: string }) => {
      if (error) this.#settle?.reject(new Error(error))
      else this.#settle?.resolve(result)
    })
    this.#child.on('exit', (code) => this.#settle?.reject(new Error(`${name} ended with code ${code}`)))
  }

  /** One at a time. */
  ask(task?: Task): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      if (task) this.#child.send(task)
    })
  }

  pin(cores: string): boolean {
    return pin(this.#child.pid!, cores)
  }

  /** Before its Redis stops, about which it would complain. */
  async end(): Promise<void> {
    this.#settle = undefined
    if (this.#child.kill('SIGKILL')) await once(this.#child, 'exit')
  }
}

type Counters = Record<'cpu' | 'reads' | 'commands' | 'bytesIn' | 'bytesOut', number>
type Timed = Slice & { server: Counters }

/** What the server has spent and counted so far; the asking itself counts too. */
async function counters(redis: Redis): Promise<Counters> {
  const info = await redis.info()
  const number = (field: string): number => Number(new RegExp(`^${field}:(.*)`, 'm').exec(info)?.[1])
  return {
    cpu: 1e6 * (number('used_cpu_user') + number('used_cpu_sys')),
    reads: number('total_reads_processed'),
    commands: number('total_commands_processed'),
    bytesIn: number('total_net_input_bytes'),
    bytesOut: number('total_net_output_bytes')
  }
}

function minus(a: Counters, b: Counters): Counters {
  return Object.fromEntries(Object.entries(a).map(([name, value]) => [name, value - b[name as 'cpu']])) as Counters
}

async function timed(redis: Redis, worker: Worker, task: Task): Promise<Timed> {
  const first = await counters(redis)
  const before = await counters(redis)
  const slice = (await worker.ask(task)) as Slice
  const after = await counters(redis)
  return { ...slice, server: minus(minus(after, before), minus(before, first)) }
}

export async function measure(settings: Settings, progress: Progress): Promise<Measured> {
  const server = await startRedis()
  const redis = new Redis(server.url)
  const names = NAMES.slice(0, settings.peers ? undefined : 3)
  const workers = new Map<Name, Worker>()
  try {
    let pinned = pin(server.pid, SERVER_CORE)
    for (const name of names) {
      const worker = new Worker(name, server.url)
      workers.set(name, worker)
      await worker.ask()
      pinned = worker.pin(CLIENT_CORES) && pinned
      await worker.ask({ do: 'prove' })
    }
    const info = await redis.info('server')
    return {
      redis: /(?:redis|valkey)_version:(\S+)/.exec(info)![1]!,
      pinned,
      cells: await speed(settings, progress, redis, workers),
      memory: await memory(settings, progress, redis, workers),
      resets: await resets(settings, progress, redis, workers),
      growth: await growth(settings, progress),
      topologies: await topologies(settings, progress)
    }
  } finally {
    for (const worker of workers.values()) await worker.end()
    redis.disconnect()
    await server.stop()
  }
}

const ATTRS: Attrs = { name: 'Ada', role: 'admin', device: 'phone', ip: '192.0.2.7' }

async function speed(
  { rounds, ms, standing }: Settings,
  progress: Progress,
  redis: Redis,
  workers: Map<Name, Worker>
): Promise<Cell[]> {
  const there = [...workers.keys()]
  // What is added in one slice is what del ends in the next.
  const visits = [
    ...IN_FLIGHT.flatMap((inFlight) => [['getKey'], ['set'], ['add', 'del']].map((ops) => ({ ops, inFlight }))),
    ...LISTS.map((size) => ({ ops: [`list ${size}`], inFlight: 1 }))
  ]
  for (const worker of workers.values()) {
    for (const size of LISTS) {
      const owners = { 1: 50, 10: 50, 100: 10, 1000: 3 }[size]!
      await worker.ask({ do: 'fill', tokens: owners * size, perOwner: size, attrs: ATTRS, owner: `list ${size}` })
    }
    await worker.ask({ do: 'fill', tokens: standing, perOwner: 10, attrs: ATTRS, owner: 'owner' })
  }
  const seen = new Map<string, Timed[][]>()
  // Round 0 warms up and counts for nothing.
  for (let round = 0; round <= rounds; round++) {
    for (const [v, { ops, inFlight }] of visits.entries()) {
      progress('speed', round * visits.length + v, (rounds + 1) * visits.length)
      for (const name of [...there, ...there.toReversed()]) {
        if (name === 'connect-redis' && ops[0]!.startsWith('list')) continue
        for (const op of ops) {
          const slice = await timed(redis, workers.get(name)!, { do: 'time', op, inFlight, ms })
          if (round === 0) continue
          const at = `${name}/${op}/${inFlight}`
          if (!seen.has(at)) seen.set(at, [])
          ;(seen.get(at)![round - 1] ??= []).push(slice)
        }
      }
    }
  }
  return visits.flatMap(({ ops, inFlight }) =>
    ops.flatMap((op) =>
      there.flatMap((contender) => {
        const own = seen.get(`${contender}/${op}/${inFlight}`)
        return own ? [cell(contender, op, inFlight, own, seen.get(`floor/${op}/${inFlight}`)!)] : []
      })
    )
  )
}

function cell(contender: Name, op: string, inFlight: number, own: Timed[][], floor: Timed[][]): Cell {
  const per = (slices: Timed[], of: (slice: Timed) => number): number =>
    sum(slices.map(of)) / sum(slices.map(({ calls }) => calls))
  const perCall = (of: (slice: Timed) => number): number => median(own.map((slices) => per(slices, of)))
  const ratios = (of: (slice: Timed) => number): number[] =>
    own.map((slices, round) => per(slices, of) / per(floor[round]!, of))
  const speeds = ratios(({ seconds }) => seconds).map((ratio) => 1 / ratio)
  return {
    contender,
    op,
    inFlight,
    throughput: 1 / perCall(({ seconds }) => seconds),
    ratio: median(speeds),
    lowest: Math.min(...speeds),
    highest: Math.max(...speeds),
    p50: median(own.flat().map(({ p50 }) => p50)),
    p99: median(own.flat().map(({ p99 }) => p99)),
    serverCpu: perCall(({ server }) => server.cpu),
    serverCpuRatio: median(ratios(({ server }) => server.cpu)),
    clientCpu: perCall(({ cpu }) => cpu),
    reads: perCall(({ server }) => server.reads),
    commands: perCall(({ server }) => server.commands),
    bytesIn: perCall(({ server }) => server.bytesIn),
    bytesOut: perCall(({ server }) => server.bytesOut)
  }
}

async function memory(
  { memoryTokens }: Settings,
  progress: Progress,
  redis: Redis,
  workers: Map<Name, Worker>
): Promise<Memory[]> {
  // JSON text of exactly so many bytes.
  const kinds = [13, 200].flatMap((bytes) => [1, 10].map((perOwner) => ({ bytes, perOwner })))
  const used = async (): Promise<number> => {
    const info = await redis.info('memory')
    const field = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1])
    return field('used_memory') - field('mem_clients_normal')
  }
  const found: Memory[] = []
  const names = [...workers.keys()].filter((name) => name !== 'autopipelining')
  for (const { bytes, perOwner } of kinds) {
    const attrs = { foo: 'x'.repeat(bytes - '{"foo":""}'.length) }
    for (const contender of names) {
      progress('memory', found.length, kinds.length * names.length)
      await redis.flushall('SYNC')
      const before = await used()
      await workers.get(contender)!.ask({ do: 'fill', tokens: memoryTokens, perOwner, attrs, owner: 'o', padded: true })
      found.push({ contender, attrsBytes: bytes, perOwner, bytes: ((await used()) - before) / memoryTokens })
    }
  }
  return found
}

async function resets(
  { resets, resetRounds }: Settings,
  progress: Progress,
  redis: Redis,
  workers: Map<Name, Worker>
): Promise<Reset[]> {
  await redis.config('SET', 'slowlog-log-slower-than', '200', 'slowlog-max-len', '10000')
  interface One {
    seconds: number
    ping: number
    command: number
  }
  const once = async (worker: Worker, tokens: number): Promise<One> => {
    await redis.flushall('SYNC')
    await worker.ask({ do: 'fill', tokens, perOwner: 10, attrs: ATTRS, owner: 'owner' })
    await redis.slowlog('RESET')
    let ping = 0
    let over = false
    // This process does nothing else meanwhile, so what it waits for is the server.
    const bystander = async (): Promise<void> => {
      while (!over) {
        const start = performance.now()
        await redis.ping()
        ping = Math.max(ping, performance.now() - start)
        await sleep(1)
      }
    }
    const watching = bystander()
    const seconds = (await worker.ask({ do: 'reset' })) as number
    over = true
    await watching
    if ((await redis.dbsize()) > 0) throw new Error('a reset left something behind')
    const slow = (await redis.slowlog('GET', 10000)) as [number, number, number][]
    return { seconds, ping, command: Math.max(0, ...slow.map(([, , us]) => us)) / 1000 }
  }
  const names = [...workers.keys()].filter((name) => name !== 'autopipelining')
  const seen = new Map<string, One[]>()
  let done = 0
  for (const tokens of resets) {
    for (let round = 0; round < resetRounds; round++) {
      for (const name of [...names, ...names.toReversed()]) {
        progress('reset', done++, resets.length * resetRounds * names.length * 2)
        const at = `${name}/${tokens}`
        // A peer that walks token by token takes half a minute: once will do.
        if ((seen.get(at)?.[0]?.seconds ?? 0) > 5) continue
        seen.set(at, [...(seen.get(at) ?? []), await once(workers.get(name)!, tokens)])
      }
    }
  }
  return resets.flatMap((tokens) =>
    names.map((contender) => {
      const own = seen.get(`${contender}/${tokens}`)!
      const floor = seen.get(`floor/${tokens}`)!
      const ratios = own.map(({ seconds }, i) => seconds / floor[i]!.seconds)
      return {
        contender,
        tokens,
        seconds: median(own.map(({ seconds }) => seconds)),
        ratio: median(ratios),
        ping: median(own.map(({ ping }) => ping)),
        worstPing: Math.max(...own.map(({ ping }) => ping)),
        longestCommand: median(own.map(({ command }) => command))
      }
    })
  )
}

/** What an operation costs in a large store beside a small one: the same process, each store on a server of its own. */
async function growth({ growth: sizes, growthSteps }: Settings, progress: Progress): Promise<Growth[]> {
  const servers = [await startRedis(), await startRedis()] as const
  const clients = servers.map(({ url }) => new Redis(url))
  const worker = new Worker('tokenstore', ...servers.map(({ url }) => url))
  // Few calls a step, since the smaller store has not many tokens to end and issue.
  const kinds = [1, 64].flatMap((inFlight) =>
    GROWING.map((op) => ({ op, inFlight, calls: inFlight === 1 ? 100 : 250 }))
  )
  const seen = new Map<string, Timed[]>()
  try {
    await worker.ask()
    worker.pin(CLIENT_CORES)
    for (const { pid } of servers) pin(pid, SERVER_CORE)
    progress('growth', 0, growthSteps)
    for (const size of sizes) await worker.ask({ do: 'grow', size })
    for (let round = 0; round < growthSteps; round++) {
      progress('growth', round, growthSteps)
      for (const { op, inFlight, calls } of kinds) {
        for (const store of [0, 1, 1, 0] as const) {
          const ask = (part: Step['part']): Step => ({ do: 'step', part, op, size: sizes[store], calls, inFlight })
          const at = `${op}/${inFlight}/${store}`
          await worker.ask(ask('before'))
          seen.set(at, [...(seen.get(at) ?? []), await timed(clients[store]!, worker, ask('run'))])
          await worker.ask(ask('after'))
        }
      }
    }
  } finally {
    await worker.end()
    for (const client of clients) client.disconnect()
    for (const server of servers) await server.stop()
  }
  return kinds.map(({ op, inFlight }) => {
    const cost = (store: 0 | 1, of: (slice: Timed) => number): number =>
      median(seen.get(`${op}/${inFlight}/${store}`)!.map((slice) => of(slice) / slice.calls))
    const [small, large] = [cost(0, ({ seconds }) => seconds * 1e6), cost(1, ({ seconds }) => seconds * 1e6)]
    const [smallCpu, largeCpu] = [cost(0, ({ server }) => server.cpu), cost(1, ({ server }) => server.cpu)]
    return { op, inFlight, small, large, smallCpu, largeCpu, ratio: large / small, cpuRatio: largeCpu / smallCpu }
  })
}
