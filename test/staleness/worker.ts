/**
 * A process that issues, reads, changes, rotates and revokes tokens, which it shares with
 * others by way of its parent, and writes down what it was answered. Its argument: `Job`.
 */
import { openSync, writeSync } from 'node:fs'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import type { ReuseError as ReuseErrorType, Token, Tokenstore } from '../../src/main'
import type { Config } from '../../src/types'
import { random } from '../support/random'
import type { Write } from './history'

export interface Job {
  /** The module of the driver. */
  driver: string
  process: number
  seed: number
  /** Where a line is written for each call. */
  log: string
  config: Config
  /** Of the server, or else startup nodes of a cluster. */
  port?: number
  cluster?: { host: string; port: number }[]
}

/** What processes tell each other of a token. */
export interface Known {
  id: string
  owner: string
  /** Who alone writes it, or none where all do, each by `update`. */
  writer: number | null
  /** The newest last. */
  keys: string[]
}

interface Mine extends Known {
  n: number
  /** Which of its keys this process reads most, counted from the end. */
  back: number
  /** A write of it is under way, or may be: the order of its writes would not be known. */
  busy: boolean
}

type Attrs = { n: number; owner: string }

// Few, so that much happens to each.
const POOL = 40
const WRITERS = 3
const WRITE_MS = 15
const BURST = 24
const FOCUS = 8
const FOCUS_MS = 40
/** So many answers may be missing while Redis is away. */
const UNDER_WAY = 3000
const LIFETIMES = [{}, {}, {}, { ttl: 0.4 }, { ttl: 1.5 }, { idle: 0.3 }, { idle: 0.3, ttl: 0.8 }]

const job = JSON.parse(process.argv[2]!) as Job
const rng = random(job.seed)
const below = (n: number): number => Math.floor(rng() * n)
const oneOf = <T>(list: readonly T[]): T => list[below(list.length)]!
const now = (): number => Number(process.hrtime.bigint()) / 1e6

const file = openSync(job.log, 'w')
let lines = ''
function log(line: unknown): void {
  lines += `${JSON.stringify(line)}\n`
  if (lines.length > 1 << 16) flush()
}
function flush(): void {
  writeSync(file, lines)
  lines = ''
}

async function work(): Promise<void> {
  const { Tokenstore, ReuseError } = (await import(job.driver)) as {
    Tokenstore: new (config: Config) => Tokenstore<Attrs>
    ReuseError: typeof ReuseErrorType
  }
  const client = job.cluster && new Cluster(job.cluster)
  client?.on('error', () => {})
  // Often so soon that nothing else notices.
  const retryStrategy = (): number => oneOf([1, 1, 100])
  const redis = client ?? { port: job.port, retryStrategy }
  const tokens = new Tokenstore({ ...job.config, redis })
  const pool = new Map<string, Mine>()
  /** What is read again and again for a while: in between much may happen to it. */
  let focus: Mine[] = []
  let underWay = 0
  let running = true

  const know = (known: Known): Mine => {
    const token = pool.get(known.id) ?? {
      ...known,
      keys: [],
      n: 0,
      back: oneOf([1, 1, 2]),
      busy: false
    }
    token.keys.push(...known.keys.filter((key) => !token.keys.includes(key)))
    token.keys.splice(0, token.keys.length - 4)
    pool.set(known.id, token)
    return token
  }
  /** A token that was forgotten meanwhile is left to the others. */
  const tell = ({ id, owner, writer, keys }: Mine, key: string): void => {
    keys.push(key)
    process.send!({ id, owner, writer, keys: [key] })
  }

  const read = async (key: string, id: string): Promise<void> => {
    const options = { fresh: below(300) === 0, touch: below(3) > 0 }
    let fromMemory = true
    setImmediate(() => (fromMemory = false))
    underWay++
    const sent = now()
    try {
      const token = await tokens.getKey(key, options)
      const answered = now()
      const n = token ? token.attrs.n : -1
      const flags = (options.fresh ? 1 : 0) + (fromMemory ? 2 : 0)
      log([sent, answered, key, n, token?.expires_at ?? 0, flags])
      if (token) check(token, key, id)
      else if (pool.get(id)?.keys.at(-1) === key) forget(id)
      if (options.fresh) void read(key, id)
    } catch {
      // Redis was away.
    } finally {
      underWay--
    }
  }
  /** What was written must be seen from here on. */
  const readAll = (token?: Known): void => token?.keys.forEach((key) => void read(key, token.id))
  const check = (token: Token<Attrs>, key: string, id: string): void => {
    const { owner } = token.attrs
    if (token.key === key && token.id === id && token.owner_id === owner) return
    const text = `${token.id} of ${token.owner_id}, but ${id} of ${owner}`
    log({ op: 'torn', process: job.process, sent: 0, answered: 0, text })
  }
  const forget = (id: string): void => {
    pool.delete(id)
    focus = focus.filter((token) => token.id !== id)
  }

  /** Sends a write and writes down what it did, from its reply; undefined when none came. */
  const write = async <T>(
    send: () => Promise<T>,
    did: (reply: T | undefined) => Bare[]
  ): Promise<T | undefined> => {
    const sent = now()
    let reply: T | undefined
    let answered: number | null = null
    try {
      reply = await send()
      answered = now()
    } catch {
      // It may have happened.
    }
    for (const each of did(reply)) log({ ...each, process: job.process, sent, answered })
    return reply
  }
  const written = (token: Token<Attrs>): Bare => {
    const { id, owner_id: owner, attrs, expires_at = 0 } = token
    return { op: 'write', id, owner, n: attrs.n, expires_at }
  }
  const gone = (id: string): Bare => ({ op: 'end', id })

  /** Of a token that only this process writes, one write at a time, until one is in doubt. */
  const alone = async <T>(token: Mine, send: () => Promise<T | undefined>): Promise<void> => {
    token.busy = true
    if ((await send()) !== undefined) token.busy = false
  }

  const add = async (group: string): Promise<void> => {
    const owner = `${group}-${below(4)}`
    const more = group === 'full' ? ({ limit: 8, onLimit: 'evict' } as const) : {}
    const attrs = { n: 0, owner }
    const added = await write(
      () => tokens.add({ owner_id: owner, attrs, ...oneOf(LIFETIMES), ...more }),
      (token) => {
        if (!token) return group === 'full' ? [{ op: 'endOwner', owner }] : []
        const evicted = token.evicted?.map(gone) ?? []
        return [...evicted, written(token), { op: 'key', id: token.id, key: token.key }]
      }
    )
    if (!added) return
    for (const id of added.evicted ?? []) readAll(pool.get(id))
    const writer = below(3) > 0 ? job.process : null
    tell(know({ id: added.id, owner, writer, keys: [] }), added.key)
  }
  const set = async (token: Mine): Promise<void> => {
    const { id, owner } = token
    const attrs = { n: ++token.n, owner }
    const doubt: Bare = { op: 'write', id, owner, n: attrs.n, expires_at: 0 }
    await alone(token, () =>
      write(
        () => tokens.set(id, attrs),
        (reply) => (reply ? [written(reply)] : isDoubt(reply) ? [doubt] : [])
      )
    )
  }
  const change = async (token: Mine): Promise<void> => {
    const { id } = token
    const moves = token.owner.startsWith('move') && !job.cluster
    const owner = moves ? `move-${below(4)}` : token.owner
    const attrs = { n: ++token.n, owner }
    const doubt: Bare = { op: 'write', id, owner, n: attrs.n, expires_at: 1 }
    const life = oneOf([{}, {}, { ttl: 0.3 }, { idle: 0.4 }, { ttl: null, idle: null }])
    await alone(token, () =>
      write(
        () => tokens.change(id, { attrs, ...(moves && { owner_id: owner }), ...life }),
        (reply) => (reply ? [written(reply)] : isDoubt(reply) ? [doubt] : [])
      )
    )
    token.owner = owner
  }
  const update = async (token: Mine): Promise<void> => {
    let tried: Attrs | undefined
    const doubt = (): Bare[] =>
      tried ? [{ op: 'write', id: token.id, ...tried, expires_at: 0 }] : []
    await write(
      () => tokens.update(token.id, ({ n, owner }) => (tried = { n: n + 1, owner })),
      (reply) => (reply ? [written(reply)] : isDoubt(reply) ? doubt() : [])
    )
  }
  const rotate = async (token: Mine): Promise<void> => {
    const [id, key] = [token.id, token.keys.at(-1)!]
    const grace = oneOf([undefined, 0.05, 2, 2])
    const out: Bare = { op: 'out', id, key, grace: (grace ?? 0) * 1000 }
    await alone(token, () =>
      write(
        () => tokens.rotate(id, { grace }),
        (reply) => (reply ? [out, { op: 'key', id, key: reply.key }] : isDoubt(reply) ? [out] : [])
      ).then((reply) => {
        if (reply) tell(token, reply.key)
        return reply
      })
    )
  }
  const refresh = async (token: Mine): Promise<void> => {
    const { id, keys } = token
    const [key, presented] = [keys.at(-1)!, below(3) > 0 ? keys.at(-1)! : keys[0]!]
    const grace = oneOf([null, 0.05, 0.4])
    const detect = oneOf([null, 60])
    const out: Bare = { op: 'out', id, key, grace: (grace ?? 0) * 1000 }
    await alone(token, () =>
      write(
        async () => {
          try {
            return await tokens.refresh(presented, { grace, detect })
          } catch (error) {
            if (error instanceof ReuseError) return 'reuse'
            throw error
          }
        },
        (reply) => {
          if (reply === 'reuse') return [gone(id)]
          if (reply) return [out, { op: 'key', id, key: reply.key }]
          return isDoubt(reply) ? [out, gone(id)] : []
        }
      ).then((reply) => {
        if (reply && reply !== 'reuse') tell(token, reply.key)
        return reply
      })
    )
  }
  const del = async ({ id }: Known): Promise<void> => {
    await write(
      () => tokens.del(id),
      (reply) => (reply === false ? [] : [gone(id)])
    )
  }
  const delKey = async ({ id, keys }: Known): Promise<void> => {
    await write(
      () => tokens.delKey(oneOf(keys)),
      (reply) => (reply === false ? [] : [gone(id)])
    )
  }
  const delOwner = async ({ id, owner }: Known): Promise<void> => {
    if (!owner.startsWith('end')) return
    const except = below(2) > 0 ? id : undefined
    await write(
      () => tokens.delOwner(owner, { except }),
      () => [{ op: 'endOwner', owner, except }]
    )
    for (const token of pool.values()) if (token.owner === owner) readAll(token)
  }

  const writeOne = async (): Promise<void> => {
    if (below(10) === 0) return add('full')
    if (pool.size < POOL) return add(oneOf(['end', 'move']))
    const all = [...pool.values()]
    // In two of three seconds none of those that make a process doubt all it remembers.
    const doubts = Math.floor(now() / 1000) % 3 === 0
    if (below(12) === 0) return writeTo(oneOf(all), del)
    if (doubts && below(5) === 0) return writeTo(oneOf(all), oneOf([delKey, delOwner]))
    const shared = all.filter(({ writer }) => writer === null)
    const mine = all.filter(({ writer, busy }) => writer === job.process && !busy)
    if (mine.length === 0 || (shared.length > 0 && below(3) === 0))
      return shared.length > 0 ? writeTo(oneOf(shared), update) : undefined
    const how = doubts && below(5) === 0 ? refresh : oneOf([set, set, set, change, rotate])
    const token = oneOf(mine)
    token.busy = true
    return writeTo(token, how)
  }
  const writeTo = async (token: Mine, how: (token: Mine) => Promise<void>): Promise<void> => {
    // So that it is in memory.
    await Promise.all(token.keys.map((key) => read(key, token.id)))
    await how(token)
    readAll(token)
  }

  process.on('message', (message: Known | 'stop') => {
    if (message === 'stop') running = false
    else know(message)
  })
  const writing = Array.from({ length: WRITERS }, async () => {
    while (running) {
      await writeOne()
      await sleep(below(2 * WRITE_MS))
    }
  })
  process.send!('ready')
  let until = 0
  while (running) {
    if (now() > until) {
      const all = [...pool.values()]
      focus = all.length > 0 ? Array.from({ length: FOCUS }, () => oneOf(all)) : []
      until = now() + FOCUS_MS
    }
    for (let i = 0; i < BURST && focus.length > 0 && underWay < UNDER_WAY; i++) {
      const { id, keys, back } = oneOf(focus)
      void read((below(500) > 0 && keys.at(-back)) || oneOf(keys), id)
    }
    await turn()
    await sleep(1)
  }
  await Promise.all(writing)
  while (underWay > 0) await sleep(5)
  await tokens.quit()
  client?.disconnect()
  flush()
  process.disconnect()
}

/** A write without who sent it and when. */
type Bare = Write extends infer W
  ? W extends Write
    ? Omit<W, 'process' | 'sent' | 'answered'>
    : never
  : never

/** Whether a write was not answered and may have happened, unlike one that found nothing. */
const isDoubt = (reply: unknown): boolean => reply === undefined

void work()
