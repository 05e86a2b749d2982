import { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { Tokenstore } from '../../src/main'
import { scripts } from '../../src/scripts'
import type { Config } from '../../src/types'
import { freshPrefix } from '../support'
import { monitor, type Monitor } from './monitor'

let redis: RedisServer
let wire: Monitor
const closers: (() => unknown)[] = []

beforeAll(async () => {
  redis = await startRedis()
  wire = await monitor(redis.url)
})

afterAll(async () => {
  wire.close()
  await redis.stop()
})

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function open(config: Config = {}): Tokenstore {
  const tokens = Tokenstore({
    prefix: freshPrefix(),
    redis: redis.url,
    timeout: 10_000,
    ...config
  })
  closers.push(() => tokens.quit())
  return tokens
}

function own(options: object = {}): Redis {
  const client = new Redis(redis.url, options)
  closers.push(() => client.disconnect())
  return client
}

const bySha = new Map(Object.entries(scripts).map(([name, { sha1 }]) => [sha1 as string, name]))

/**
 * The calls of scripts among the commands, with the arguments behind the number
 * of keys.
 */
function calls(sent: string[][]): { how: string; script: string; args: string[] }[] {
  return sent.map(([command, what, numkeys, ...args]) => {
    expect(['eval', 'evalsha']).toContain(command)
    expect(numkeys).toBe('1')
    // MONITOR shows a text with its line ends escaped, so the header tells
    // which it is.
    const name = command === 'eval' ? /^--\[\[\\n +(\w+) -- /.exec(what!)?.[1] : bySha.get(what!)
    return {
      how: command!,
      script: name ?? `none of ours: ${what!.slice(0, 80)}`,
      args
    }
  })
}

/** How often clients sent a PING; what watches does not show them. */
async function pings(): Promise<number> {
  return Number(/cmdstat_ping:calls=(\d+)/.exec(await own().info('commandstats'))?.[1] ?? 0)
}

/** Every method once, on tokens of its own; in brackets what it sends. */
async function everyCall(tokens: Tokenstore): Promise<[sends: string[], call: () => unknown][]> {
  const [a, b, c, d] = [
    await tokens.add({ owner_id: 'user-7' }),
    await tokens.add({ owner_id: 'user-7', idle: 100 }),
    await tokens.add({ owner_id: 'user-7' }),
    await tokens.add({ owner_id: 'user-7', idle: 100 })
  ]
  const [hash, taken] = [await tokens.makeHash('a'), await tokens.makeHash('a')]
  return [
    [
      ['add'],
      () =>
        tokens.add({
          owner_id: 'user-7',
          ttl: 100,
          idle: 50,
          limit: 10,
          onLimit: 'evict'
        })
    ],
    [['getkey'], () => tokens.getKey(a.key)],
    [['getkey'], () => tokens.getKey(b.key)],
    [['getkey'], () => tokens.getKey('nothing of ours')],
    [['get'], () => tokens.get(a.id)],
    [['set'], () => tokens.set(a.id, { a: 1 })],
    [['set'], () => tokens.set(a.id, { a: 3 }, { from: { a: 1 } })],
    [['get', 'set'], () => tokens.update(a.id, () => ({ a: 2 }))],
    [['list'], () => tokens.list('user-7')],
    [['list'], () => tokens.list('user-7', { limit: 2 })],
    [['list'], () => tokens.each('user-7').next()],
    [['count'], () => tokens.count('user-7')],
    [
      ['change'],
      () =>
        tokens.change(a.id, {
          owner_id: 'user-8',
          ttl: null,
          idle: 50,
          attrs: {},
          limit: 10,
          onLimit: 'evict'
        })
    ],
    [['rotate'], () => tokens.rotate(a.id, { grace: 10 })],
    [['refresh'], () => tokens.refresh(d.key)],
    [['refresh'], () => tokens.refresh(d.key, { grace: null })],
    [['del'], () => tokens.del(a.id)],
    [['delkey'], () => tokens.delKey(b.key)],
    [['delowner'], () => tokens.delOwner('user-7', { except: c.id, hashes: true })],
    [['makecode'], () => tokens.makeCode('login', { every: 0.001, value: 1 })],
    [['trycode'], () => tokens.tryCode('login', '123')],
    [['makehash'], () => tokens.makeHash('a', { replaces: 'b', owner_id: 'user-7' })],
    [['gethash'], () => tokens.getHash(hash)],
    [['takehash'], () => tokens.takeHash(taken)],
    [['delhash'], () => tokens.delHash(hash)]
  ]
}

describe.each([
  ['its own connection', () => ({})],
  ["the caller's client", () => ({ redis: own() })],
  ['a client with enableAutoPipelining', () => ({ redis: own({ enableAutoPipelining: true }) })]
])('with %s', (_name, config) => {
  test('each call is one EVALSHA of one script, and the first of a script on a connection one EVAL', async () => {
    const tokens = open(config())
    await tokens.count('nobody')
    await wire.sent()
    const used = new Set(['count', 'add', 'makehash'])
    for (const round of ['first', 'later']) {
      const every = await everyCall(tokens)
      await wire.sent()
      for (const [sends, call] of every) {
        await call()
        const seen = calls(await wire.sent())
        expect(seen.map(({ script }) => script)).toEqual(sends)
        for (const { how, script } of seen) {
          expect(how).toBe(round === 'first' && !used.has(script) ? 'eval' : 'evalsha')
          used.add(script)
        }
      }
    }
    expect([...used].sort()).toEqual(Object.keys(scripts))
  })

  test('reset asks whether scripts run, walks with SCAN, and sends those that revoke and delete', async () => {
    const tokens = open(config())
    await Promise.all(Array.from({ length: 700 }, () => tokens.add({ owner_id: 'user-7' })))
    const { id } = await tokens.add({ owner_id: 'user-8' })
    await tokens.rotate(id, { grace: 100 })
    await tokens.makeHash('a', { replaces: 'b', owner_id: 'user-7' })
    await tokens.makeCode('login')
    await wire.sent()
    expect(await tokens.reset()).toBe(703)
    const sent = await wire.sent()
    const walk = ['scan', 'del']
    const scripts = calls(sent.filter(([command]) => !walk.includes(command!)))
    expect(new Set(scripts.map(({ script }) => script))).toEqual(
      new Set(['count', 'delowner', 'delkey', 'delhash'])
    )
    const deleted = sent.filter(([command]) => command === 'del')
    expect(deleted.map(([, name]) => name!.replace(/^.*?:/, '')).sort()).toEqual([
      'code:login',
      'hashes:user-7',
      'latest:b'
    ])
    // No step of it holds Redis for long.
    for (const { args } of scripts.filter(({ script }) => script === 'delowner')) {
      expect(args.at(-2)).toBe('COUNT')
      expect(Number(args.at(-1))).toBeLessThanOrEqual(100)
    }
  })

  test('all and owners ask whether scripts run, and walk with SCAN over the names of a family', async () => {
    const prefix = freshPrefix()
    const tokens = open({ ...config(), prefix })
    const add = (_: unknown, n: number) => tokens.add({ owner_id: `user-${n % 3}` })
    const added = await Promise.all(Array.from({ length: 700 }, add))
    await tokens.makeHash('a', { owner_id: 'user-7' })
    for (const [walk, family, script] of [
      [tokens.all(), 'id', 'get'],
      [tokens.owners(), 'tokens', 'count']
    ] as const) {
      await wire.sent()
      const met: unknown[] = []
      for await (const each of walk) met.push(each)
      expect(met).toHaveLength(family === 'id' ? added.length : 3)
      const sent = await wire.sent()
      const scans = sent.filter(([command]) => command === 'scan')
      expect(scans.length).toBeGreaterThan(1)
      for (const [, , ...rest] of scans)
        expect(rest).toEqual(['MATCH', `${prefix}:${family}:*`, 'COUNT', '600'])
      // The first asks whether scripts run; then one for each that was met.
      const [first, ...each] = calls(sent.filter(([command]) => command !== 'scan'))
      expect(first).toMatchObject({ script: 'count', args: [prefix, '-'] })
      expect(each.map((call) => call.script)).toEqual(met.map(() => script))
    }
  })

  test('ping sends a PING', async () => {
    const tokens = open(config())
    await tokens.ping()
    const before = await pings()
    await tokens.ping()
    expect(await pings()).toBe(before + 1)
  })

  test('nothing is sent for what cannot be there, or is refused', async () => {
    const tokens = open(config())
    await tokens.count('nobody')
    await wire.sent()
    await expect(tokens.add({} as never)).rejects.toThrow(TypeError)
    await expect(tokens.change('a', {})).rejects.toThrow(TypeError)
    await expect(tokens.refresh('a', { detect: 5 })).rejects.toThrow(TypeError)
    await expect(tokens.makeCode('')).rejects.toThrow(TypeError)
    expect(await tokens.getKey('')).toBeNull()
    expect(await tokens.refresh('')).toBeNull()
    expect(await tokens.tryCode('', '123456')).toEqual({ ok: false, left: 0 })
    await new Promise((resolve) => tokens.add({ owner_id: 'a', ttl: -1 }, resolve))
    await tokens.quit()
    expect(await wire.sent()).toEqual([])
  })
})

describe('getKey calls of one tick', () => {
  const keysOf = (sent: string[][]): string[][] =>
    calls(sent).map(({ script, args: [, use, ...keys] }) => {
      expect(script).toBe('getkey')
      return [use!, ...keys]
    })

  test.each([
    [7, [7]],
    [20, [10, 10]],
    [31, [15, 16]],
    [32, [32]]
  ])('%i go out as so few commands, also from different places', async (length, sizes) => {
    const tokens = open()
    const added = await Promise.all(
      Array.from({ length }, () => tokens.add({ owner_id: 'user-7' }))
    )
    await wire.sent()
    const asked = added.map(async ({ key }, i) => {
      // As after promises of the same tick that the calls had to wait for.
      for (let turn = 0; turn < i % 5; turn++) await Promise.resolve()
      return tokens.getKey(key)
    })
    expect(await Promise.all(asked)).toEqual(added)
    const sent = keysOf(await wire.sent())
    expect(sent.map(([, ...some]) => some.length)).toEqual(sizes)
    expect(sent.flatMap(([, ...some]) => some).sort()).toEqual(added.map(({ key }) => key).sort())
  })

  test('are not halved while others are under way', async () => {
    const tokens = open()
    await tokens.count('a')
    await wire.sent()
    const first = tokens.getKey('first')
    await new Promise((resolve) => process.nextTick(resolve))
    await Promise.all([first, ...Array.from({ length: 20 }, (_, i) => tokens.getKey(`key-${i}`))])
    expect(keysOf(await wire.sent()).map(([, ...some]) => some.length)).toEqual([1, 20])
  })

  test('a lone call goes out in its tick too', async () => {
    const tokens = open()
    const { key } = await tokens.add({ owner_id: 'user-7' })
    await wire.sent()
    expect(await tokens.getKey(key)).toMatchObject({ key })
    await new Promise((resolve) => setImmediate(resolve))
    expect(await tokens.getKey(key)).toMatchObject({ key })
    expect(keysOf(await wire.sent())).toEqual([
      ['TOUCH', key],
      ['TOUCH', key]
    ])
  })

  test('one command for those that are a use and one for those that are not', async () => {
    const tokens = open()
    await tokens.count('a')
    await wire.sent()
    await Promise.all([
      tokens.getKey('a'),
      tokens.getKey('b', { touch: false }),
      tokens.getKey('c'),
      tokens.getKey('a')
    ])
    expect(keysOf(await wire.sent()).sort()).toEqual([
      ['PEEK', 'b'],
      ['TOUCH', 'a', 'c', 'a']
    ])
  })

  test('not too many at once', async () => {
    const tokens = open()
    const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
    await tokens.count('a')
    await wire.sent()
    await Promise.all(keys.map((key) => tokens.getKey(key)))
    const sent = keysOf(await wire.sent())
    expect(sent.flatMap(([, ...some]) => some)).toEqual(keys)
    expect(sent).toHaveLength(Math.ceil(1000 / 32))
    for (const [, ...some] of sent) expect(some.length).toBeLessThanOrEqual(32)
  })

  test('each alone with batch: false', async () => {
    const tokens = open({ batch: false })
    await tokens.count('a')
    await wire.sent()
    await Promise.all(['a', 'b', 'c'].map((key) => tokens.getKey(key)))
    expect(keysOf(await wire.sent())).toEqual([
      ['TOUCH', 'a'],
      ['TOUCH', 'b'],
      ['TOUCH', 'c']
    ])
  })

  test('a stray record among them fails only its own caller', async () => {
    const prefix = freshPrefix()
    const tokens = open({ prefix })
    const added = await Promise.all(
      Array.from({ length: 4 }, () => tokens.add({ owner_id: 'user-7' }))
    )
    const client = own()
    await client.set(`${prefix}:key:stray`, 'text')
    await client.rpush(`${prefix}:key:list`, 'a')
    await wire.sent()
    const keys = ['stray', ...added.map(({ key }) => key), 'nothing', 'list']
    const results = await Promise.allSettled(keys.map((key) => tokens.getKey(key)))
    expect(results).toMatchObject([
      { reason: { name: 'TokenstoreError', code: 'TSRECORD' } },
      // What is no text is not there.
      ...[...added, null, null].map((value) => ({ value }))
    ])
    expect(keysOf(await wire.sent())).toEqual([
      ['TOUCH', ...keys],
      ...keys.map((key) => ['TOUCH', key])
    ])
  })

  test('callers of a failed batch have an error each', async () => {
    const tokens = open()
    await tokens.count('a')
    closers.push(() => process.kill(redis.pid, 'SIGCONT'))
    process.kill(redis.pid, 'SIGSTOP')
    const hasty = open({ timeout: 50, redis: { port: redis.port } })
    const results = await Promise.allSettled([hasty.getKey('a'), hasty.getKey('b')])
    const [a, b] = results as PromiseRejectedResult[]
    expect(a!.reason).toMatchObject({ code: 'TSUNAVAILABLE' })
    expect(b!.reason).toMatchObject({ code: 'TSUNAVAILABLE' })
    expect(a!.reason).not.toBe(b!.reason)
  })
})

test('a client that is shared keeps every method it had', async () => {
  const properties = (client: Redis): Map<string, unknown> => {
    const found = new Map<string, unknown>()
    for (
      let at: object = client;
      at && at !== Object.prototype;
      at = Object.getPrototypeOf(at) as object
    ) {
      for (const name of Object.getOwnPropertyNames(at)) {
        if (!found.has(name)) found.set(name, Object.getOwnPropertyDescriptor(at, name)!.value)
      }
    }
    return found
  }
  const client = own()
  await client.ping()
  const before = properties(client)
  const tokens = open({ redis: client })
  const after = properties(client)
  const added = [...after.keys()].filter((name) => !before.has(name))
  expect(added.sort()).toEqual(
    Object.entries(scripts)
      .map(([name, { sha1 }]) => `tokenstore:${name}:${sha1.slice(0, 8)}`)
      // ioredis adds to every command one that answers Buffers.
      .flatMap((name) => [name, `${name}Buffer`])
      .sort()
  )
  for (const [name, value] of before) {
    if (typeof value === 'function') expect([name, after.get(name) === value]).toEqual([name, true])
  }
  const name = freshPrefix()
  expect(await client.set(name, 'a')).toBe('OK')
  expect(await client.get(name)).toBe('a')
  expect(await client.del(name)).toBe(1)
  expect(await client.rpush(name, 'a', 'b')).toBe(2)
  expect(await client.pipeline().get('nothing').llen(name).exec()).toEqual([
    [null, null],
    [null, 2]
  ])
  // A second store, or a second copy of the library, finds them there and adds
  // nothing.
  open({ redis: client })
  expect([...properties(client).keys()]).toEqual([...after.keys()])
  expect(await tokens.count('a')).toBe(0)
})

test("a pipeline of the caller's on a shared client is not torn apart", async () => {
  const client = own()
  const tokens = open({ redis: client })
  const token = await tokens.add({ owner_id: 'user-7' })
  const name = freshPrefix()
  const multi = client.multi().incr(name).incr(name)
  const [found, counted] = await Promise.all([tokens.getKey(token.key), multi.exec()])
  expect(found).toEqual(token)
  expect(counted).toEqual([
    [null, 1],
    [null, 2]
  ])
})

test('the commands of one tick share writes to the socket, and none waits for the next tick', async () => {
  const client = own()
  const tokens = open({ redis: client })
  await tokens.del('nothing')
  let writes = 0
  const socket = client.stream as unknown as Record<
    '_write' | '_writev',
    (...args: unknown[]) => void
  >
  for (const name of ['_write', '_writev'] as const) {
    const write = socket[name].bind(socket)
    socket[name] = (...args) => {
      writes++
      write(...args)
    }
  }
  const ids = Array.from({ length: 40 }, (_, i) => `id-${i}`)
  const ended = Promise.all(ids.map((id) => tokens.del(id)))
  await new Promise(process.nextTick)
  expect(writes).toBe(Math.ceil(40 / 16))
  await ended
  await wire.sent()
  const one = tokens.del('alone')
  await new Promise(process.nextTick)
  expect(writes).toBe(Math.ceil(40 / 16) + 1)
  await one
})
