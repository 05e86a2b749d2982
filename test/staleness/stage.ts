import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { freshPrefix, project, random } from '../support'
import { setClock, type SetClock } from './clock'
import type { Fault } from './faults'
import { History, type ClockSet, type Read, type Violation, type Write } from './history'
import { Proxy } from './proxy'
import type { Job, Known } from './worker'

export const DRIVER = join(project, 'src', 'main.ts')

// Long enough for a busy machine to prove something within it.
const SILENCE = 300

/** What faults act upon. */
export interface Stage {
  readonly silence: number
  /** Between each process and its server. */
  readonly proxies: Proxy[]
  readonly pids: number[]
  /** The server in use, and one that is empty. */
  readonly server: RedisServer
  readonly other: RedisServer
  readonly redis: Redis
  /** Ends all tokens that were issued before, by an act that all of them are lost by. */
  endAll(act: () => Promise<unknown>): Promise<void>
  setClock(ms: number): void
  /** From here on the other server is in use; the old one is emptied. */
  swap(old: RedisServer): Promise<void>
}

export interface Plan {
  faults: Fault[]
  /** Ms for each of them. */
  ms: number
  seed?: number
  silence?: number
  /** One for each process. */
  drivers?: string[]
}

/** What was found under one fault. */
export interface Found {
  what: string
  reads: number
  fromMemory: number
  nulls: number
  inDoubt: number
  writes: number
  violations: Violation[]
}

export const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** How far the machine's clock is ahead of the monotonic one. */
export function machineClock(): number {
  // Of whole ms, the one read soonest after its turn.
  return Math.max(...Array.from({ length: 2000 }, () => Date.now() - now()))
}

/** Has processes work while one fault after the other happens, and judges their answers. */
export async function stage(plan: Plan): Promise<Found[]> {
  const {
    faults,
    ms,
    seed = 1,
    silence = SILENCE,
    drivers = Array(3).fill(DRIVER) as string[]
  } = plan
  const clock = setClock()
  const ahead = machineClock()
  const sets: ClockSet[] = [{ from: 0, to: 0, ahead }]
  const ends: Write[] = []
  const servers = await startServers(clock)
  const admins = servers.map(({ url }) => new Redis(url))
  // As beside many tokens: an end is told only when somebody asks.
  for (const admin of admins) await admin.call('DEBUG', 'SET-ACTIVE-EXPIRE', 0)
  const proxies = drivers.map(() => new Proxy(servers[0]!.port))
  const ports = await Promise.all(proxies.map((proxy) => proxy.listen()))
  const prefix = freshPrefix()
  const crew = await startCrew(
    ports.map((port, i) => ({
      driver: drivers[i]!,
      process: i,
      seed: 100 * seed + i,
      port,
      config: { prefix, ...settings(silence) }
    }))
  )
  let used = 0
  const at: Stage = {
    silence,
    proxies,
    pids: crew.pids,
    get server() {
      return servers[used]!
    },
    get other() {
      return servers[1 - used]!
    },
    get redis() {
      return admins[used]!
    },
    endAll: async (act) => {
      const sent = now()
      await act()
      ends.push({ op: 'endAll', process: -1, sent, answered: now() })
    },
    setClock: (ms) => {
      const from = now()
      clock?.set(ms)
      sets.push({ from, to: now(), ahead: ahead + ms })
    },
    swap: async (old) => {
      used = 1 - used
      await admins[servers.indexOf(old)]!.flushall()
    }
  }
  const phases: [from: number, what: string][] = []
  const rng = random(seed)
  try {
    await sleep(300)
    for (const { what, once: happen } of faults) {
      phases.push([now(), what])
      for (const end = now() + ms; now() < end;) await happen(at, rng)
    }
    await crew.stop()
    return await judge(crew.logs, new History(silence, sets), ends, phases)
  } finally {
    crew.close()
    for (const proxy of proxies) proxy.close()
    for (const admin of admins) admin.disconnect()
    await Promise.all(servers.map((server) => server.stop()))
    clock?.remove()
  }
}

export const settings = (silence: number): object => ({
  cache: { silence },
  timeout: 1000,
  touchEvery: 0.03
})

/** Servers whose clock is set, if one is given. */
async function startServers(clock?: SetClock): Promise<RedisServer[]> {
  Object.assign(process.env, clock?.env)
  try {
    return await Promise.all([1, 2].map(() => startRedis(['--enable-debug-command', 'yes'])))
  } finally {
    for (const name of Object.keys(clock?.env ?? {})) delete process.env[name]
  }
}

export interface Crew {
  pids: number[]
  logs: string[]
  /** Lets all finish what they have under way. */
  stop(): Promise<void>
  close(): void
}

/** Starts processes that tell each other of their tokens. */
export async function startCrew(jobs: Omit<Job, 'log'>[]): Promise<Crew> {
  const dir = mkdtempSync(join(tmpdir(), 'tokenstore-staleness-'))
  const logs = jobs.map((_, i) => join(dir, `${i}.log`))
  const children: ChildProcess[] = jobs.map((job, i) =>
    fork(join(__dirname, 'worker.ts'), [JSON.stringify({ ...job, log: logs[i]! })], {
      cwd: project,
      execArgv: ['--no-warnings', '--import', 'tsx']
    })
  )
  const close = (): void => {
    for (const child of children) child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
  for (const child of children) {
    child.on('message', (message: Known | 'ready') => {
      if (message === 'ready') return
      // One that has ended already need not know.
      for (const other of children) if (other !== child) other.send(message, () => {})
    })
  }
  await Promise.all(children.map((child) => once(child, 'message')))
  const stop = async (): Promise<void> => {
    const gone = Promise.all(children.map((child) => once(child, 'exit')))
    for (const child of children) child.send('stop')
    const codes = (await gone) as [number | null][]
    if (codes.some(([code]) => code !== 0)) throw new Error(`processes ended with ${codes.join()}`)
  }
  return { pids: children.map(({ pid }) => pid!), logs, stop, close }
}

/** Judges what was read, by when the call began. */
export async function judge(
  logs: string[],
  history: History,
  ends: Write[],
  phases: [from: number, what: string][]
): Promise<Found[]> {
  const found: Found[] = phases.map(([, what]) => ({
    what,
    reads: 0,
    fromMemory: 0,
    nulls: 0,
    inDoubt: 0,
    writes: 0,
    violations: []
  }))
  const phaseOf = (time: number): Found =>
    found[
      Math.max(
        0,
        phases.findLastIndex(([from]) => from <= time)
      )
    ]!
  for (const end of ends) history.write(end)
  for (const [process, log] of logs.entries()) {
    for await (const line of linesOf(log)) {
      if (line.startsWith('[')) {
        const read = readOf(process, line)
        if (read.fresh) history.learn(read)
        continue
      }
      const write = JSON.parse(line) as Write
      phaseOf(write.sent).writes++
      history.write(write)
    }
  }
  history.seal()
  for (const [process, log] of logs.entries()) {
    for await (const line of linesOf(log)) {
      if (!line.startsWith('[')) continue
      const read = readOf(process, line)
      const phase = phaseOf(read.sent)
      const verdict = history.judge(read)
      phase.reads++
      if (read.fromMemory) phase.fromMemory++
      if (read.n < 0) phase.nulls++
      if (verdict === 'in doubt') phase.inDoubt++
      else if (verdict) phase.violations.push(verdict)
    }
  }
  found[0]!.violations.push(...history.torn)
  return found
}

const linesOf = (log: string): AsyncIterable<string> =>
  createInterface({ input: createReadStream(log) })

function readOf(process: number, line: string): Read {
  const [sent, answered, key, n, expires_at, flags] = JSON.parse(line) as [
    number,
    number,
    string,
    number,
    number,
    number
  ]
  const [fresh, fromMemory] = [(flags & 1) > 0, (flags & 2) > 0]
  return { process, sent, answered, key, n, expires_at, fresh, fromMemory }
}
