/**
 * The Redis commands that lua/*.lua call, on a clock of its own. Strings are bytes
 * (latin1), times Unix ms.
 *
 * As in Redis 7.0 a script judges expiry by the moment at which it started, while the
 * clock that TIME, SET PX and PEXPIREAT look at goes on. `lag` says by how much: its
 * first number of ms passes before a script's first look, its second before the next.
 * A name can be read through the ms of its end.
 */
import { add, limits, type Limits, rangeByRank, within, type ZSet } from './zset'

export type Reply = null | number | string | { err: string } | { ok: string } | Reply[]

/** Never changed once it is in a keyspace, so that a copy of the map is a copy of everything. */
export interface Entry {
  readonly value: string | ZSet
  /** Infinity for never. */
  readonly end: number
}

export type Keyspace = Map<string, Entry>

/** A command or an option of which this model knows nothing; never an answer. */
export class NotModelled extends Error {}

const WRONGTYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value'

/** An error reply of Redis. */
class ErrorReply extends Error {}

export class RedisModel {
  names: Keyspace = new Map()
  clock: number
  lag: number[] = []
  /** How often the clock was looked at. */
  looks = 0
  #began: number | undefined

  constructor(clock: number) {
    this.clock = clock
  }

  /** Runs what a script does; a script started now. */
  script<T>(lag: readonly number[], body: () => T): T {
    this.#began = this.clock
    this.looks = 0
    this.lag = [...lag]
    try {
      return body()
    } finally {
      this.#began = undefined
      this.lag = []
    }
  }

  /** One command and its arguments. */
  call(command: string, ...args: string[]): Reply {
    const run = COMMANDS[command.toUpperCase()]
    if (!run) throw new NotModelled(`the command ${command}`)
    try {
      return run(this, args)
    } catch (error) {
      if (error instanceof ErrorReply) return { err: error.message }
      throw error
    }
  }

  /** Forgets what has expired by now. */
  prune(): void {
    for (const [name, { end }] of this.names) if (this.clock > end) this.names.delete(name)
  }

  /** The clock as TIME tells it. */
  look(): number {
    this.looks += 1
    this.clock += this.lag.shift() ?? 0
    return this.clock
  }

  entry(name: string): Entry | undefined {
    const entry = this.names.get(name)
    if (entry === undefined || (this.#began ?? this.clock) <= entry.end) return entry
    this.names.delete(name)
    return undefined
  }

  string(name: string): string | null {
    const value = this.entry(name)?.value ?? null
    if (value !== null && typeof value !== 'string') throw new ErrorReply(WRONGTYPE)
    return value
  }

  zset(name: string): ZSet {
    const value = this.entry(name)?.value ?? []
    if (typeof value === 'string') throw new ErrorReply(WRONGTYPE)
    return value
  }

  /** A zset without members is no name. */
  keep(name: string, value: ZSet): void {
    const end = this.entry(name)?.end ?? Infinity
    if (value.length > 0) this.names.set(name, { value, end })
    else this.names.delete(name)
  }

  remove(name: string): number {
    return this.entry(name) !== undefined && this.names.delete(name) ? 1 : 0
  }
}

type Command = (redis: RedisModel, args: string[]) => Reply

const COMMANDS: Record<string, Command | undefined> = {
  TIME(redis) {
    const now = redis.look()
    return [String(Math.floor(now / 1000)), String((now % 1000) * 1000)]
  },
  EXISTS: (redis, names) => sum(names, (name) => (redis.entry(name) ? 1 : 0)),
  DEL: (redis, names) => sum(names, (name) => redis.remove(name)),
  GET: (redis, [name]) => redis.string(name!),
  MGET: (redis, names) => names.map((name) => textOf(redis.entry(name))),
  GETDEL(redis, [name]) {
    const value = redis.string(name!)
    if (value !== null) redis.remove(name!)
    return value
  },
  SET(redis, [name, value, ...options]) {
    let end = Infinity
    while (options.length > 0) {
      const option = options.shift()!.toUpperCase()
      if (option === 'NX') {
        if (redis.entry(name!)) return null
      } else if (option === 'KEEPTTL') end = redis.entry(name!)?.end ?? Infinity
      else if (option === 'PXAT') end = integer(options.shift())
      else if (option === 'PX') end = redis.look() + integer(options.shift())
      else throw new NotModelled(`SET with ${option}`)
    }
    redis.names.set(name!, { value: value!, end })
    return { ok: 'OK' }
  },
  RENAME(redis, [from, to]) {
    const entry = redis.entry(from!)
    if (!entry) throw new ErrorReply('ERR no such key')
    redis.names.delete(from!)
    redis.names.set(to!, entry)
    return { ok: 'OK' }
  },
  PERSIST(redis, [name]) {
    const entry = redis.entry(name!)
    if (!entry || entry.end === Infinity) return 0
    redis.names.set(name!, { value: entry.value, end: Infinity })
    return 1
  },
  PEXPIREAT(redis, [name, time, ...options]) {
    if (options.length > 0) throw new NotModelled(`PEXPIREAT with ${options[0]}`)
    const end = integer(time)
    const entry = redis.entry(name!)
    if (!entry) return 0
    if (end <= redis.look()) redis.names.delete(name!)
    else redis.names.set(name!, { value: entry.value, end })
    return 1
  },
  PEXPIRETIME(redis, [name]) {
    const entry = redis.entry(name!)
    return entry ? (entry.end === Infinity ? -1 : entry.end) : -2
  },
  ZADD(redis, [name, ...args]) {
    const option = { XX: false, CH: false }
    while (args[0]! in option) option[args.shift() as 'XX' | 'CH'] = true
    if (args.length !== 2) throw new NotModelled('ZADD of other than one member')
    const [score, member] = [limits(args[0]!, args[0]!).from, args[1]!]
    const set = redis.zset(name!)
    const old = set.find((each) => each[0] === member)
    if (option.XX && !old) return 0
    redis.keep(name!, add(set, member, score))
    return old ? (option.CH && old[1] !== score ? 1 : 0) : 1
  },
  ZREM: (redis, [name, ...members]) => drop(redis, name!, ([member]) => members.includes(member)),
  ZREMRANGEBYSCORE: (redis, [name, from, to]) => drop(redis, name!, within(bounds(from!, to!))),
  ZCARD: (redis, [name]) => redis.zset(name!).length,
  ZSCORE(redis, [name, member]) {
    const found = redis.zset(name!).find((each) => each[0] === member)
    return found ? scoreText(found[1]) : null
  },
  ZCOUNT: (redis, [name, from, to]) => redis.zset(name!).filter(within(bounds(from!, to!))).length,
  ZRANGE(redis, [name, first, last, ...words]) {
    const option = { REV: false, WITHSCORES: false }
    for (const word of words) {
      if (!(word in option)) throw new NotModelled(`ZRANGE with ${word}`)
      option[word as 'REV' | 'WITHSCORES'] = true
    }
    const set = redis.zset(name!)
    const range = rangeByRank(option.REV ? set.toReversed() : set, integer(first), integer(last))
    return range.flatMap(([member, score]) =>
      option.WITHSCORES ? [member, scoreText(score)] : [member]
    )
  },
  ZRANGEBYSCORE(redis, [name, from, to, limit, offset, count, ...more]) {
    if ((limit ?? 'LIMIT') !== 'LIMIT' || more.length > 0)
      throw new NotModelled('that form of ZRANGEBYSCORE')
    const found = redis.zset(name!).filter(within(bounds(from!, to!)))
    const skip = limit ? integer(offset) : 0
    const n = limit ? integer(count) : -1
    return found.slice(skip, n < 0 ? undefined : skip + n).map(([member]) => member)
  }
}

/** The commands of this model, in capitals. */
export const commands = Object.keys(COMMANDS)

const sum = (names: string[], of: (name: string) => number): number =>
  names.reduce((total, name) => total + of(name), 0)

const textOf = (entry: Entry | undefined): string | null =>
  typeof entry?.value === 'string' ? entry.value : null

function drop(redis: RedisModel, name: string, goes: (each: ZSet[number]) => boolean): number {
  const set = redis.zset(name)
  const rest = set.filter((each) => !goes(each))
  if (rest.length < set.length) redis.keep(name, rest)
  return set.length - rest.length
}

export const scoreText = (score: number): string => String(score).replace('Infinity', 'inf')

function bounds(from: string, to: string): Limits {
  try {
    return limits(from, to)
  } catch {
    throw new ErrorReply('ERR min or max is not a float')
  }
}

function integer(text: string | undefined): number {
  if (text === undefined || !/^(0|-?[1-9]\d{0,15})$/.test(text)) {
    throw new ErrorReply('ERR value is not an integer or out of range')
  }
  return Number(text)
}
