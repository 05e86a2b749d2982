import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { audit, freshPrefix, root as project, timeOf } from '../support'

export type Arg = string | number | Buffer

export interface Entry {
  type: string
  value: unknown
  /** When it expires, Unix ms; null for never. */
  end: number | null
}
export type State = Record<string, Entry>

/** Bytes, each as one character: replies and states are read so, since not all of them are UTF-8. */
export const bytes = (text: string | Buffer): string => Buffer.from(text as string).toString('latin1')

export const id = (n: number): string => `0190a000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`
export const key = (n: number): string => `key-of-token-${n}`

const shas = new WeakMap<Redis, Map<string, Promise<string>>>()

/** Runs lua/<script>.lua by EVALSHA with any number of KEYS. */
export async function evalsha(redis: Redis, script: string, keys: Arg[], args: Arg[]): Promise<unknown> {
  if (!shas.has(redis)) shas.set(redis, new Map())
  const loaded = shas.get(redis)!
  if (!loaded.has(script)) {
    const lua = readFileSync(join(project, 'lua', `${script}.lua`))
    loaded.set(
      script,
      redis.script('LOAD', lua).then(() => createHash('sha1').update(lua).digest('hex'))
    )
  }
  const all = [...keys, ...args].map((arg) => (Buffer.isBuffer(arg) ? arg : String(arg)))
  return decoded(await redis.callBuffer('EVALSHA', (await loaded.get(script))!, String(keys.length), ...all))
}

function decoded(reply: unknown): unknown {
  return Array.isArray(reply) ? reply.map(decoded) : Buffer.isBuffer(reply) ? bytes(reply) : reply
}

export interface Token {
  key: string
  id: string
  owner: Arg
  record: string
  expires_at: number
  evicted: string[]
}

/** A root that no other test has: its scripts, and everything that Redis holds under it or under a longer prefix. */
export class Root {
  constructor(
    readonly redis: Redis,
    readonly name = freshPrefix()
  ) {}

  at(family: string, rest: Arg): Buffer {
    return Buffer.concat([Buffer.from(`${this.name}:${family}:`), Buffer.from(rest as string)])
  }

  run(script: string, ...args: Arg[]): Promise<unknown> {
    return evalsha(this.redis, script, [this.name], args)
  }

  /** Runs add for token number n. */
  async issue(n: number, owner: Arg = 'o', attrs = '{}', ...options: Arg[]): Promise<Token> {
    const reply = await this.run('add', key(n), id(n), owner, attrs, ...options)
    const [, record, expires_at, ...evicted] = reply as [string, string, number, ...string[]]
    return { key: key(n), id: id(n), owner, record, expires_at, evicted }
  }

  /** Writes never-ending tokens first..last, or ones that end together, without add: for many, and for ties. */
  async seed(first: number, last: number, owner = 'o', expires_at?: number): Promise<void> {
    const pipe = this.redis.pipeline()
    const end = expires_at === undefined ? '' : `,"expires_at":${expires_at}`
    const until = expires_at === undefined ? [] : ['PXAT', String(expires_at)]
    const members: string[] = []
    for (let n = first; n <= last; n++) {
      const record = `{"id":"${id(n)}","owner_id":"${owner}"${end},"attrs":{"n":{}}}`
      pipe.call('SET', this.at('key', key(n)), record, ...until)
      pipe.call('SET', this.at('id', id(n)), key(n), ...until)
      members.push(String(expires_at ?? '+inf'), id(n))
    }
    pipe.call('ZADD', this.at('tokens', owner), ...members)
    const failed = (await pipe.exec())!.find(([error]) => error)
    if (failed) throw failed[0]!
    const top = (await this.redis.zrange(this.at('tokens', owner), '-1', '-1', 'WITHSCORES'))[1]!
    if (top !== 'inf') await this.redis.pexpireat(this.at('tokens', owner), top)
  }

  now(): Promise<number> {
    return timeOf(this.redis)
  }

  /** Types, values and ends of all names. */
  async state(): Promise<State> {
    const found = new Set<string>()
    for (let cursor = '0'; ;) {
      const [next, page] = await this.redis.scanBuffer(cursor, 'MATCH', `${this.name}*`, 'COUNT', 10_000)
      for (const name of page) found.add(bytes(name))
      if ((cursor = next.toString()) === '0') break
    }
    const names = [...found].sort().map((name) => Buffer.from(name, 'latin1'))
    const types = await this.#each(names, (name) => ['TYPE', name])
    const values = await this.#each(names, (name, i) =>
      types[i] === 'string'
        ? ['GET', name]
        : types[i] === 'zset'
          ? ['ZRANGE', name, '0', '-1', 'WITHSCORES']
          : ['DUMP', name]
    )
    const ends = await this.#each(names, await endCommand(this.redis))
    const state: State = {}
    names.forEach((name, i) => {
      if (types[i] === 'none' || ends[i] === -2) return
      // In RESP3 members and scores come in pairs.
      const [type, held] = [types[i] as string, values[i]]
      const value = Array.isArray(held)
        ? held.flat()
        : type === 'string'
          ? held
          : Buffer.from(held as string).toString('hex')
      state[bytes(name)] = { type, value, end: ends[i] === -1 ? null : Number(ends[i]) }
    })
    return state
  }

  async #each(names: Buffer[], command: (name: Buffer, i: number) => (string | Buffer)[]): Promise<unknown[]> {
    const pipe = this.redis.pipeline()
    names.forEach((name, i) => {
      const [verb, ...args] = command(name, i)
      pipe.callBuffer(verb as string, ...args)
    })
    return (await pipe.exec())!.map(([error, reply]) => {
      if (error) throw error
      return decoded(reply)
    })
  }

  /** What contradicts itself among the names. */
  faults(): Promise<string[]> {
    return audit(this.redis, this.name)
  }

  /** As if time had passed: every point in time under the root moves back, and what has ended is gone. */
  async later(ms: number): Promise<void> {
    const back = (_: string, before: string, time: string): string => before + (Number(time) - ms)
    const multi = this.redis.multi()
    for (const [name, { type, value, end }] of Object.entries(await this.state())) {
      const at = Buffer.from(name, 'latin1')
      if (type === 'zset') {
        const set = value as string[]
        for (let i = 0; i < set.length; i += 2) {
          if (set[i + 1] !== 'inf') multi.zadd(at, Number(set[i + 1]) - ms, Buffer.from(set[i]!, 'latin1'))
        }
      } else if (name.startsWith(`${this.name}:key:`)) {
        const text = value as string
        const head = text.indexOf(',"attrs":{') < 0 ? text.length : text.indexOf(',"attrs":{')
        const moved = text
          .slice(0, head)
          .replace(/(,"(?:expires_at|ends_at|grace)":)(\d+)/g, back)
          .replace(/,"graced":\{.*\}$/, (graced) => graced.replace(/(":)(\d+)/g, back))
        multi.set(at, Buffer.from(moved + text.slice(head), 'latin1'), 'KEEPTTL')
      }
      if (end !== null) multi.pexpireat(at, end - ms)
    }
    for (const [error] of (await multi.exec())!) if (error) throw error
  }

  /** Removes everything: a test of many names would slow down every SCAN of those after it. */
  async drop(): Promise<void> {
    const names = Object.keys(await this.state()).map((name) => Buffer.from(name, 'latin1'))
    for (let i = 0; i < names.length; i += 1000) await this.redis.unlink(...names.slice(i, i + 1000))
  }

  /** Runs `work` and expects that it changed nothing at all. */
  async unchanged<T>(work: () => Promise<T>): Promise<T> {
    const before = await this.state()
    const result = await work()
    expectState(await this.state(), before)
    return result
  }

  /** Expects an error of that code, which repeats no argument, and nothing written. */
  refuses(code: string, script: string, ...args: Arg[]): Promise<void> {
    return this.refusesKeys(code, script, [this.name], args)
  }

  async refusesKeys(code: string, script: string, keys: Arg[], args: Arg[]): Promise<void> {
    const before = await this.state()
    const message = await evalsha(this.redis, script, keys, args).then(
      (reply) => `no error but ${JSON.stringify(reply)?.slice(0, 200)}`,
      (error: Error) => error.message
    )
    expectState(await this.state(), before)
    expect(message).toMatch(new RegExp(`^${code} ${script}: .`))
    for (const arg of args.map(String)) {
      if (arg.length > 7 && arg !== 'REPLACES') expect(message).not.toContain(arg)
    }
  }

  /** Expects TSBADARG with no KEYS, with two, with every smaller number of arguments, and with one too many. */
  async refusesOtherCounts(script: string, args: Arg[], surplus: Arg[] = ['surplus']): Promise<void> {
    await this.refusesKeys('TSBADARG', script, [], args)
    await this.refusesKeys('TSBADARG', script, [], [this.name, ...args])
    await this.refusesKeys('TSBADARG', script, [this.name, `${this.name}2`], args)
    for (let n = 0; n < args.length; n++) await this.refuses('TSBADARG', script, ...args.slice(0, n))
    if (surplus.length > 0) await this.refuses('TSBADARG', script, ...args, ...surplus)
  }
}

// Redis 6.2 has no PEXPIRETIME: there an end is known to some ms only.
const END_BEFORE_7 = `local ttl, time = redis.call('PTTL', KEYS[1]), redis.call('TIME')
if ttl < 0 then return ttl end
return time[1] * 1000 + math.floor(time[2] / 1000) + ttl`
let slack: 0 | 20 | undefined

async function endCommand(redis: Redis): Promise<(name: Buffer) => (string | Buffer)[]> {
  slack ??= await redis.call('PEXPIRETIME', 'none').then(
    () => 0 as const,
    () => 20 as const
  )
  return slack === 0 ? (name) => ['PEXPIRETIME', name] : (name) => ['EVAL', END_BEFORE_7, '1', name]
}

/** Expects the state to be this; an end of some Redis that does not tell it exactly may be near. */
export function expectState(state: State, expected: State): void {
  for (const [name, entry] of Object.entries(state)) {
    const wanted = expected[name]?.end
    if (wanted && entry.end && Math.abs(wanted - entry.end) <= slack!) entry.end = wanted
  }
  expect(state).toEqual(expected)
}
