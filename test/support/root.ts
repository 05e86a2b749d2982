import type { Redis } from 'ioredis'
import { audit } from './audit'
import { decoded } from './decoded'
import { evalshaBuffer, luaOf, type Arg } from './evalsha'
import { freshPrefix } from './fresh-prefix'
import { snapshot, type Entry } from './keyspace'
import { msOf, timeOf } from './time-of'

/** Names and values in latin1, since not all of them are UTF-8. */
export type State = Record<string, Entry>

export const id = (n: number): string =>
  `0190a000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`
export const key = (n: number): string => `key-of-token-${n}`

export interface Token {
  key: string
  id: string
  owner: Arg
  record: string
  expires_at: number
  evicted: string[]
}

/**
 * A root that no other test has: its scripts, and everything that Redis holds under it or under a
 * longer prefix.
 */
export class Root {
  constructor(
    readonly redis: Redis,
    readonly name = freshPrefix()
  ) {}

  at(family: string, rest: Arg): Buffer {
    return Buffer.concat([Buffer.from(`${this.name}:${family}:`), Buffer.from(rest as string)])
  }

  run(script: string, ...args: Arg[]): Promise<unknown> {
    return run(this.redis, script, [this.name], args)
  }

  /** Runs add for token number n. */
  async issue(n: number, owner: Arg = 'o', attrs = '{}', ...options: Arg[]): Promise<Token> {
    const reply = await this.run('add', key(n), id(n), owner, attrs, ...options)
    const [, record, expires_at, ...evicted] = reply as [string, string, number, ...string[]]
    return { key: key(n), id: id(n), owner, record, expires_at, evicted }
  }

  /**
   * Writes never-ending tokens first..last, or ones that end together, without add: for many, and
   * for ties.
   */
  async seed(first: number, last: number, owner = 'o', expires_at?: number): Promise<void> {
    const pipe = this.redis.pipeline()
    const end = expires_at === undefined ? '' : `,"ends_at":${expires_at}`
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
    return (await snapshot(this.redis, this.name, 'latin1')).entries
  }

  /** What contradicts itself among the names. */
  faults(): Promise<string[]> {
    return audit(this.redis, this.name)
  }

  /**
   * As if time had passed: every point in time under the root moves back, and what has ended is
   * gone.
   */
  async later(ms: number): Promise<void> {
    // A key that was rotated out without a grace has 0 for the end of that.
    const back = (_: string, before: string, time: string): string =>
      before + (time === '0' ? time : Number(time) - ms)
    const multi = this.redis.multi()
    for (const [name, { type, value, end }] of Object.entries(await this.state())) {
      const at = Buffer.from(name, 'latin1')
      if (type === 'zset') {
        const set = value as string[]
        for (let i = 0; i < set.length; i += 2) {
          if (set[i + 1] !== 'inf')
            multi.zadd(at, Number(set[i + 1]) - ms, Buffer.from(set[i]!, 'latin1'))
        }
      } else if (name.startsWith(`${this.name}:code:`)) {
        multi.hset(at, 'made', Number((value as Record<string, string>).made) - ms)
      } else if (name.startsWith(`${this.name}:key:`)) {
        const text = value as string
        const head = text.includes(',"attrs":{') ? text.indexOf(',"attrs":{') : text.length
        const moved = text.slice(0, head).replace(/^([\da-f-]{36} |.*,"ends_at":)(\d+)/s, back)
        multi.set(at, Buffer.from(moved + text.slice(head), 'latin1'), 'KEEPTTL')
      }
      if (end !== null) multi.pexpireat(at, end - ms)
    }
    for (const [error] of (await multi.exec())!) if (error) throw error
  }

  /**
   * Expects what `work` answers and leaves to be that of the millisecond in which it ran,
   * whichever that was.
   */
  async becomes(
    work: () => Promise<unknown>,
    expected: (now: number) => [reply: unknown, state: State]
  ): Promise<void> {
    const earliest = await this.now()
    const reply = await work()
    const latest = await this.now()
    const state = await this.state()
    const moments = Array.from({ length: latest - earliest + 1 }, (_, i) => earliest + i)
    expect(moments.map(expected)).toContainEqual([reply, state])
  }

  /**
   * What a script answers, or its error, in the very millisecond for which all was prepared. It
   * may have run earlier or later as well.
   */
  async inMs(
    prepare: (ms: number) => Promise<unknown>,
    script: string,
    ...args: Arg[]
  ): Promise<unknown> {
    for (;;) {
      const ms = (await this.now()) + 5
      await prepare(ms)
      while ((await this.now()) < ms - 1);
      const multi = this.redis.multi().time()
      multi.call('EVAL', luaOf(script), 1, this.name, ...args)
      const [before, ran, after] = (await multi.time().exec())!
      const times = [before, after].map((time) => msOf(time![1] as string[]))
      if (times.every((time) => time === ms)) return ran![0] ?? ran![1]
    }
  }

  /** Removes everything: a test of many names would slow down every SCAN of those after it. */
  async drop(): Promise<void> {
    const names = Object.keys(await this.state()).map((name) => Buffer.from(name, 'latin1'))
    for (let i = 0; i < names.length; i += 1000)
      await this.redis.unlink(...names.slice(i, i + 1000))
  }

  /** Runs `work` and expects that it changed nothing at all. */
  async unchanged<T>(work: () => Promise<T>): Promise<T> {
    const before = await this.state()
    const result = await work()
    expect(await this.state()).toEqual(before)
    return result
  }

  /** Expects an error of that code, which repeats no argument, and nothing written. */
  refuses(code: string, script: string, ...args: Arg[]): Promise<void> {
    return this.refusesKeys(code, script, [this.name], args)
  }

  async refusesKeys(code: string, script: string, keys: Arg[], args: Arg[]): Promise<void> {
    const before = await this.state()
    const message = await run(this.redis, script, keys, args).then(
      (reply) => `no error but ${JSON.stringify(reply)?.slice(0, 200)}`,
      (error: Error) => error.message
    )
    expect(await this.state()).toEqual(before)
    // What Redis itself refuses tells of no script.
    expect(message).toMatch(
      new RegExp(code === 'WRONGTYPE' ? '^WRONGTYPE ' : `^${code} ${script}: .`)
    )
    for (const arg of args.map(String)) {
      if (arg.length > 7 && arg !== 'REPLACES') expect(message).not.toContain(arg)
    }
  }

  /**
   * Expects TSBADARG with no KEYS, with two, with every smaller number of arguments, and with one
   * too many.
   */
  async refusesOtherCounts(
    script: string,
    args: Arg[],
    surplus: Arg[] = ['surplus']
  ): Promise<void> {
    await this.refusesKeys('TSBADARG', script, [], args)
    await this.refusesKeys('TSBADARG', script, [], [this.name, ...args])
    await this.refusesKeys('TSBADARG', script, [this.name, `${this.name}2`], args)
    for (let n = 0; n < args.length; n++)
      await this.refuses('TSBADARG', script, ...args.slice(0, n))
    if (surplus.length > 0) await this.refuses('TSBADARG', script, ...args, ...surplus)
  }
}

/** Runs a script with any number of KEYS; the reply in latin1, as a state is. */
const run = async (redis: Redis, script: string, keys: Arg[], args: Arg[]): Promise<unknown> =>
  decoded(await evalshaBuffer(redis, script, keys, args), 'latin1')
