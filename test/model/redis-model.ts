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

/** A hash of Redis. */
export interface Hash {
  readonly fields: ReadonlyMap<string, string>
}

export type Value = string | ZSet | Hash

/** Those of a zset; of all else none. */
export function membersOf(entry: Entry | undefined): ZSet {
  const value = entry?.value ?? ''
  return typeof value === 'string' || 'fields' in value ? [] : value
}

/** A value as text, the fields of a hash by their names. */
export function valueText(value: Value): string {
  if (typeof value === 'string') return value
  const pairs = 'fields' in value ? [...value.fields].sort() : value.map(textsOf)
  return pairs.map((pair) => pair.join('=')).join()
}

/** Never changed once it is in a keyspace, so that a copy of the map is a copy of everything. */
export interface Entry {
  readonly value: Value
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
    if (typeof value === 'string' || 'fields' in value) throw new ErrorReply(WRONGTYPE)
    return value
  }

  /** The fields of a hash, which may be changed and then kept. */
  hash(name: string): Map<string, string> {
    const value = this.entry(name)?.value ?? { fields: new Map<string, string>() }
    if (typeof value === 'string' || !('fields' in value)) throw new ErrorReply(WRONGTYPE)
    return new Map(value.fields)
  }

  /** Without members or fields it is no name. */
  keep(name: string, value: ZSet | Hash): void {
    const end = this.entry(name)?.end ?? Infinity
    const size = 'fields' in value ? value.fields.size : value.length
    if (size > 0) this.names.set(name, { value, end })
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
  HSET(redis, [name, ...args]) {
    const fields = redis.hash(name!)
    const { size } = fields
    for (let i = 0; i < args.length; i += 2) fields.set(args[i]!, args[i + 1]!)
    redis.keep(name!, { fields })
    return fields.size - size
  },
  HMGET(redis, [name, ...names]) {
    const fields = redis.hash(name!)
    return names.map((each) => fields.get(each) ?? null)
  },
  HDEL(redis, [name, ...names]) {
    const fields = redis.hash(name!)
    const gone = sum(names, (each) => (fields.delete(each) ? 1 : 0))
    if (gone > 0) redis.keep(name!, { fields })
    return gone
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

const textsOf = ([member, score]: ZSet[number]): string[] => [member, scoreText(score)]

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
