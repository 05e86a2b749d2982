/**
 * @jest-environment ./test/model/lua-environment.ts
 *
 * The model against a real Redis: the same seeded calls on both, and after each the same
 * reply and the same names, values and ends. A server's clock cannot be set, so it is
 * asked for the time before the call and after everything has been read: if it is the
 * same ms, all was in that ms. If not, the model takes over what the server holds.
 */
import { Redis } from 'ioredis'
import { client } from '../support/client'
import { closeAfterAll } from '../support/close-after-all'
import { freshPrefix } from '../support/fresh-prefix'
import { random } from '../support/random'
import { LuaVm } from './lua-vm'
import { nameOf, ROOT } from './names'
import {
  commands,
  type Keyspace,
  RedisModel,
  type Reply,
  scoreText,
  type Value
} from './redis-model'
import { scriptsIn } from './scripts'
import { idOf, stepsOf } from './space'
import { spaces } from './spaces'
import type { ZSet } from './zset'

closeAfterAll()

const scripts = scriptsIn()

const DUMP = `
local dump = {}
for i, name in ipairs(ARGV) do
  local type = redis.call('TYPE', name).ok
  if type ~= 'none' then
    local value = type == 'string' and redis.call('GET', name)
    value = value or type == 'hash' and redis.call('HGETALL', name)
    value = value or redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
    dump[#dump + 1] = { name, type, value, redis.call('PEXPIRETIME', name) }
  end
end
return { redis.call('TIME'), dump }`

const msOf = ([seconds, micros]: string[]): number =>
  Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)

/** A reply as the model gives it: bytes as latin1. */
function decoded(reply: unknown): Reply {
  if (Buffer.isBuffer(reply)) return reply.toString('latin1')
  if (Array.isArray(reply)) return reply.map(decoded)
  return reply as Reply
}

/** Both write OK alike, and a server adds to an error where in a script it arose. */
function comparable(reply: unknown): unknown {
  const where = / script: [0-9a-f]{40}, on @user_script:\d+\.$/
  if (reply instanceof Error) return { err: reply.message.replace(where, '') }
  return (reply as { ok?: string } | null)?.ok ?? reply
}

/** A name, its type, what it holds, and when it ends, -1 for never. */
type Row = [name: string, type: string, value: string | string[], end: number]

const rowsOf = (names: Keyspace): Row[] =>
  [...names].map(([name, { value, end }]) => {
    const till = end === Infinity ? -1 : end
    if (typeof value === 'string') return [name, 'string', value, till]
    if ('fields' in value) return [name, 'hash', [...value.fields].flat(), till]
    return [name, 'zset', value.flatMap(pairOf), till]
  })

const pairOf = ([member, score]: ZSet[number]): string[] => [member, scoreText(score)]

const keyspaceOf = (rows: Row[]): Keyspace =>
  new Map(
    rows.map(([name, type, value, end]) => [
      name,
      { value: valueOf(type, value), end: end === -1 ? Infinity : end }
    ])
  )

function valueOf(type: string, value: string | string[]): Value {
  if (typeof value === 'string') return value
  const seconds = value.filter((_, i) => i % 2 === 1)
  const pairs = seconds.map((each, i) => [value[2 * i]!, each] as const)
  if (type === 'hash') return { fields: new Map(pairs) }
  return pairs.map(([member, score]) => [member, Number(score.replace('inf', 'Infinity'))])
}

const bytesOf = (texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text, 'latin1'))

class Pair {
  readonly model = new RedisModel(0)
  compared = 0

  constructor(
    readonly redis: Redis,
    readonly names: string[]
  ) {}

  /** Makes a call on the server, and if that is done within a ms, on the model. */
  async compare(run: () => Reply, name: string, ...args: string[]): Promise<void> {
    const pipeline = this.redis.pipeline()
    pipeline.callBuffer('TIME')
    pipeline.callBuffer(name, ...bytesOf(args))
    pipeline.callBuffer('EVAL', DUMP, '0', ...bytesOf(this.names))
    const answers = (await pipeline.exec())!
    const [from, answer, after] = answers.map(([error, reply]) => error ?? decoded(reply)) as [
      string[],
      unknown,
      [string[], Row[]]
    ]
    const [till, rows] = after
    const { model } = this
    model.clock = msOf(from)
    if (msOf(from) === msOf(till)) {
      this.compared++
      const expected = comparable(run())
      model.prune()
      const found = { args, reply: comparable(answer), names: rows.sort() }
      const names = rowsOf(model.names).sort()
      expect(found).toEqual({ args, reply: expected, names })
    }
    model.clock = msOf(till)
    model.names = keyspaceOf(rows)
    model.prune()
  }

  command(name: string, ...args: string[]): Promise<void> {
    return this.compare(() => this.model.call(name, ...args), name, ...args)
  }
}

test('every command that a script calls, and no other', () => {
  const called = [...scripts.values()].flatMap((text) =>
    [...text.matchAll(/redis\.p?call\('(\w+)'/g)].map(([, name]) => name)
  )
  expect([...new Set(called)].sort()).toEqual([...commands].sort())
})

test('the same replies and the same keyspace: commands', async () => {
  const prefix = freshPrefix()
  const names = ['a', 'b', 'c'].map((name) => `${prefix}:${name}`)
  const pair = new Pair(client({ protocol: 2 }), names)
  const rng = random(1)
  const below = (n: number): number => Math.floor(rng() * n)
  const one = <T>(of: readonly T[]): T => of[below(of.length)]!
  const name = (): string => one(names)
  const some = (): string[] => Array.from({ length: 1 + below(3) }, name)
  const member = (): string => one(['a', 'A', 'b', 'b\xff', '', '\x00'])
  const time = (): string => String(pair.model.clock + below(12) - 2)
  const score = (): string => one(['-inf', '+inf', 'inf', '1', '2', '-3', '2.5', time(), time()])
  const bound = (): string => one(['', '', '(']) + score()
  const rank = (): string => String(below(7) - 3)
  const field = (): string => one(['f', 'F', '', 'f\xff'])
  const maybe = (...words: string[]): string[] => (below(2) ? words : [])
  const args: Record<string, () => string[]> = {
    EXISTS: some,
    DEL: some,
    GET: () => [name()],
    MGET: some,
    GETDEL: () => [name()],
    SET: () => [
      name(),
      one(['', 'text', 'b\xff\x00']),
      ...one([
        [],
        ['NX'],
        ['KEEPTTL'],
        ['PXAT', time()],
        ['PX', String(1 + below(5))],
        ['NX', 'PX', '3']
      ])
    ],
    RENAME: () => [name(), name()],
    PERSIST: () => [name()],
    PEXPIREAT: () => [name(), time()],
    PEXPIRETIME: () => [name()],
    HSET: () => [name(), field(), 'text', ...maybe(field(), one(['', 'b\xff\x00']))],
    HMGET: () => [name(), field(), field()],
    HDEL: () => [name(), field(), ...maybe(field())],
    ZADD: () => [name(), ...maybe('XX'), ...maybe('CH'), score(), member()],
    ZREM: () => [name(), member(), member()],
    ZREMRANGEBYSCORE: () => [name(), bound(), bound()],
    ZREMRANGEBYRANK: () => [name(), rank(), rank()],
    ZCARD: () => [name()],
    ZSCORE: () => [name(), member()],
    ZCOUNT: () => [name(), bound(), bound()],
    ZRANGE: () => [name(), rank(), rank(), ...maybe('REV'), ...maybe('WITHSCORES')],
    ZRANGEBYSCORE: () => [
      name(),
      bound(),
      bound(),
      ...maybe('LIMIT', String(below(3)), String(below(3) - 1))
    ]
  }
  const compared = commands.filter((command) => command !== 'TIME')
  while (pair.compared < 2000) {
    // Zsets that live have more to tell than names that are not there.
    const command = one([...compared, 'ZADD', 'ZADD', 'ZADD', 'SET', 'HSET', 'HSET'])
    await pair.command(command, ...args[command]!())
  }
})

test('the same replies and the same keyspace: scripts', async () => {
  const redis = client({ protocol: 2 })
  const root = freshPrefix()
  const vm = await LuaVm.create()
  const digests = new Map<string, string>()
  for (const [name, text] of scripts) {
    vm.load(name, text)
    digests.set(name, (await redis.script('LOAD', text)) as string)
  }
  const rng = random(2)
  const one = <T>(of: readonly T[]): T => of[Math.floor(rng() * of.length)]!
  const own = (name: string): string => name.replace(ROOT, root)
  const owners = ['ann', 'b/n', '"\\\n\x7f\xc3\xa9']
  const names = Object.entries({
    key: ['K1', 'K2', 'K3'],
    id: [1, 2, 3].map(idOf),
    tokens: owners,
    hash: ['h1', 'h2', 'h3'],
    latest: ['reset', 'other'],
    hashes: owners,
    code: ['c1', 'c2']
  }).flatMap(([family, rests]) => rests.map((rest) => nameOf(family, rest)))
  const pair = new Pair(redis, names.map(own))
  for (let n = 0; pair.compared < 2000; n++) {
    // A space at a time, so that its calls meet.
    if (n % 200 === 0) {
      await redis.del(...bytesOf(pair.names))
      pair.model.names.clear()
    }
    const steps = stepsOf(spaces[Math.floor(n / 200) % spaces.length]!)
    const there = [...pair.model.names].map(([name, entry]) => {
      return [name.replace(root, ROOT), entry] as const
    })
    const step = one(steps(new Map(there)))
    if (step.kind === 'call') {
      const { script } = step.call
      // Now and then an owner whose name cjson has to escape.
      const owner = one(n % 3 === 0 ? owners : ['ann'])
      const args = step.call.args.map((arg) => (arg === 'ann' ? owner : arg))
      const { model } = pair
      const run = (): Reply =>
        model.script([], () =>
          vm.run(script, root, args, (name, ...rest) => model.call(name, ...rest))
        )
      await pair.compare(run, 'EVALSHA', digests.get(script)!, '1', root, ...args)
    } else if (step.kind === 'evict') {
      await pair.command('DEL', own(step.name))
    } else if (step.kind === 'put' && typeof step.value === 'string') {
      await pair.command('SET', own(step.name), step.value)
    } else if (step.kind === 'put') {
      const [member, score] = pairOf(step.value[0] as ZSet[number])
      await pair.command('ZADD', own(step.name), score!, member!)
    }
  }
})

// What calls within one ms do not show. From Redis 7.2 on, TIME stands in a script too.
test('a script judges expiry by its start, while the clock goes on', async () => {
  const reply = await client().eval(
    `local function now()
       local time = redis.call('TIME')
       return time[1] * 1000 + math.floor(time[2] / 1000)
     end
     local began, tries = now(), 0
     redis.call('SET', ARGV[1], 'read', 'PXAT', began + 1)
     while now() < began + 2 and tries < 100000 do tries = tries + 1 end
     local text, goes_on = redis.call('GET', ARGV[1]), now() > began
     redis.call('PEXPIREAT', ARGV[1], began + 1)
     return { goes_on and 1 or 0, text, redis.call('EXISTS', ARGV[1]) }`,
    0,
    freshPrefix()
  )
  const model = new RedisModel(1000)
  const modelled = model.script([0, 2], () => {
    model.call('TIME')
    model.call('SET', 'a', 'read', 'PXAT', '1001')
    model.call('TIME')
    const text = model.call('GET', 'a')
    model.call('PEXPIREAT', 'a', '1001')
    return [1, text, model.call('EXISTS', 'a')]
  })
  expect([modelled, [0, 'read', 1]]).toContainEqual(reply)
})
