import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Redis } from 'ioredis'
import { startRedis } from '../../scripts/redis-server'
import { type Tokenstore, UnavailableError } from '../../src/main'
import { freshPrefix, until, within } from '../support'
import { Counts, Gate, useServer, wayTo, withCache } from './cached'
import { closeAfterEach, later, open, own, server } from './opened'
import { run } from './run'

closeAfterEach()

const SILENCE = 400

interface Stage {
  pid: number
  prefix: string
  counts: Counts
  tokens: Tokenstore
  /** Another process, on the same data. */
  plain: Tokenstore
  /** What Redis tells, and what it answers to all others. */
  told: Gate
  answers: Gate
}

/** A store that answers from memory, on a Redis that the test may ill-treat. */
async function stage(silence: number, timeout: number): Promise<Stage> {
  const { port, pid } = await server()
  const [told, answers] = [new Gate(), new Gate()]
  const through = await wayTo(port, {
    answer: (_data, { tracks }) => (tracks ? told : answers).passed()
  })
  later(() => [told, answers].forEach((gate) => gate.release()))
  const prefix = freshPrefix()
  const tokens = open({ redis: { port: through }, prefix, cache: { silence }, timeout })
  const plain = open({ redis: { port }, prefix, timeout: 10_000 })
  return { pid, prefix, counts: new Counts(own(port)), tokens, plain, told, answers }
}

/** One answer after the other, until one is what is waited for; when the last other was asked for. */
async function askUntil(
  tokens: Tokenstore,
  key: string,
  is: (found: unknown) => boolean
): Promise<number> {
  for (let last = -Infinity; ;) {
    const asked = performance.now()
    if (is(await tokens.getKey(key).catch((error: unknown) => error))) return last
    last = asked
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const isNull = (found: unknown): boolean => found === null
const isUnavailable = (found: unknown): boolean => found instanceof UnavailableError

describe('memory serves no longer than silence', () => {
  test('when Redis is not heard, which it may be otherwise', async () => {
    const { counts, tokens, plain, told } = await stage(SILENCE, 10_000)
    const { key, id } = await plain.add({ owner_id: 'ann' })
    await counts.warm(tokens, key)
    told.hold()
    const heard = performance.now()
    await plain.del(id)
    const asked = await askUntil(tokens, key, isNull)
    // The last call that memory answered began before the silence was over.
    expect(asked - heard).toBeLessThan(SILENCE + 50)
    for (let i = 0; i < 100; i++) expect(await tokens.getKey(key)).toBeNull()
    told.release()
    const next = await plain.add({ owner_id: 'ann' })
    await counts.warm(tokens, next.key)
  })

  test.each([
    ['hangs', ({ pid }: Stage) => void process.kill(pid, 'SIGSTOP')],
    ['answers nobody', ({ told, answers }: Stage) => [told, answers].forEach((gate) => gate.hold())]
  ])('when Redis %s: then the call rejects as ever', async (_name, hang) => {
    const staged = await stage(SILENCE, 1000)
    const { pid, counts, tokens, plain } = staged
    const { key } = await plain.add({ owner_id: 'ann' })
    await counts.warm(tokens, key)
    later(() => process.kill(pid, 'SIGCONT'))
    hang(staged)
    const hung = performance.now()
    const asked = await askUntil(tokens, key, isUnavailable)
    expect(asked - hung).toBeLessThan(SILENCE + 50)
    await expect(tokens.getKey(key)).rejects.toBeInstanceOf(UnavailableError)
    process.kill(pid, 'SIGCONT')
    staged.told.release()
    staged.answers.release()
    await until(() => tokens.getKey(key).then(Boolean, () => false))
    await counts.warm(tokens, key)
  })

  test('when Redis is gone: then the call rejects as ever, and another is not believed', async () => {
    const { port, kill, dir } = await startRedis()
    const prefix = freshPrefix()
    const tokens = open({ redis: { port, retryStrategy: () => 20 }, prefix, cache: true })
    const counts = new Counts(own(port))
    const { key } = await tokens.add({ owner_id: 'ann' })
    await counts.warm(tokens, key)
    await kill()
    await askUntil(tokens, key, isUnavailable)
    for (let i = 0; i < 3; i++)
      await expect(tokens.getKey(key)).rejects.toBeInstanceOf(UnavailableError)
    // Empty, since it wrote no file.
    const again = await startRedis([], { port, dir })
    later(() => again.stop())
    await until(() => tokens.getKey(key).then(isNull, () => false))
    const next = await tokens.add({ owner_id: 'ann' })
    await counts.warm(tokens, next.key)
  })
})

test('a connection that comes back elsewhere while the other is made is found out', async () => {
  const [one, two] = [await server(), await server()]
  const made: Socket[] = []
  let target = one.port
  const held = new Gate()
  held.hold()
  // The second is that on which Redis tells; it leads to the first server, but not yet.
  const proxy = createServer((near) => {
    const nth = made.push(near.on('error', () => {}).pause())
    const go = (): void => {
      const far = connect(nth === 2 ? one.port : target, '127.0.0.1').on('error', () => {})
      near.on('close', () => far.destroy())
      far.on('close', () => near.destroy())
      near.pipe(far).pipe(near)
    }
    if (nth === 2) void held.passed().then(go)
    else go()
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  later(() => {
    for (const near of made) near.destroy()
    proxy.close()
  })
  const { port } = proxy.address() as AddressInfo
  const prefix = freshPrefix()
  const redis = { port, retryStrategy: () => 20 }
  const tokens = open({ redis, prefix, cache: { silence: SILENCE }, timeout: 10_000 })
  const plain = open({ redis: { port: two.port }, prefix, timeout: 10_000 })
  await tokens.getKey('none')
  await until(() => made.length === 2)
  await tokens.ping()
  target = two.port
  made[0]!.destroy()
  const { id, key } = await plain.add({ owner_id: 'ann' })
  await until(() => tokens.getKey(key).then(Boolean, () => false))
  held.release()
  await new Counts(own(two.port)).warm(tokens, key)
  await plain.del(id)
  await until(() => tokens.getKey(key).then(isNull))
})

describe('all is forgotten', () => {
  test('when the connection is lost on which Redis tells, and what it did not tell is seen', async () => {
    const { counts, tokens, plain, prefix } = await stage(20_000, 1000)
    const [set, kept] = await Promise.all([1, 2].map(() => plain.add({ owner_id: 'ann' })))
    await counts.warm(tokens, set!.key, kept!.key)
    const [tracker] = await counts.trackers()
    const name = `${prefix}:key:${set!.key}`
    const record = (await counts.redis.get(name))!.replace('"attrs":{}', '"attrs":{"n":1}')
    // At once, so that nobody listens when it is set.
    await counts.redis.multi().client('KILL', 'ID', tracker!).set(name, record).exec()
    // The next proof is due in seconds.
    await until(async () => (await tokens.getKey(set!.key))!.attrs.n === 1, 2000)
    await counts.warm(tokens, set!.key, kept!.key)
    expect(await tokens.getKey(set!.key)).toMatchObject({ attrs: { n: 1 } })
    expect(await counts.trackers()).toHaveLength(1)
  })

  test('when that on which Redis answers is another: it may lead elsewhere', async () => {
    const { counts, tokens, plain } = await stage(2000, 10_000)
    const { key } = await plain.add({ owner_id: 'ann' })
    await counts.warm(tokens, key)
    const list = (await counts.redis.call('CLIENT', ['LIST', 'TYPE', 'normal'])) as string
    const me = await counts.redis.client('ID')
    // Right after a proof: the next is due in half a second.
    const proofs = async (): Promise<number> => (await counts.calls()).exists ?? 0
    const before = await proofs()
    await until(async () => (await proofs()) > before)
    for (const [, id] of list.matchAll(/^id=(\d+) /gm))
      if (id !== String(me)) await counts.redis.client('KILL', 'ID', id!)
    await until(() => tokens.count('ann').then(Boolean, () => false), 400)
    expect(await counts.fromMemory(tokens, key)).toBe(false)
    await counts.warm(tokens, key)
  })

  test.each(['flushdb', 'flushall'] as const)('by %s', async (flush) => {
    const { counts, tokens, plain } = await stage(20_000, 1000)
    const { key } = await plain.add({ owner_id: 'ann' })
    await counts.warm(tokens, key)
    await counts.redis[flush]()
    await until(async () => (await tokens.getKey(key)) === null)
    const next = await plain.add({ owner_id: 'ann' })
    await counts.warm(tokens, next.key)
  })
})

describe('where Redis does not tell, it is asked, and one warning says why:', () => {
  const refusals: [string, string, (port: number, redis: Redis) => Promise<object> | object][] = [
    [
      'by the rights of the user',
      "NOPERM .*'client\\|tracking'",
      async (port, redis) => {
        const rules = ['on', '>pass', '~*', '&*', '+@all', '-client|tracking']
        await redis.acl('SETUSER', 'app', ...rules)
        return { port, username: 'app', password: 'pass' }
      }
    ],
    ['by one that knows no CLIENT', "ERR unknown command 'CLIENT'", (port) => ({ port })],
    [
      'by one that then closes the connection',
      'Connection is closed',
      async (port) => ({
        port: await wayTo(port, {
          ask: (data, { near }) => {
            if (!data.includes('TRACKING')) return true
            near.destroy()
            return false
          }
        })
      })
    ]
  ]
  test.each(refusals)('%s', async (name, why, address) => {
    const args = name.includes('knows no') ? ['--rename-command', 'CLIENT', ''] : []
    const { port } = await server(...args)
    const redis = await address(port, own(port))
    const { stdout, stderr, code } = await run(`
      const warnings = []
      process.on('warning', ({ name, message }) => warnings.push([name, message]))
      const config = { redis: ${JSON.stringify(redis)}, timeout: 10000, cache: true }
      const stores = [1, 2, 3].map((n) => Tokenstore({ ...config, prefix: 'token' + n }))
      const keys = []
      for (const tokens of stores) keys.push((await tokens.add({ owner_id: 'ann' })).key)
      const ask = async () => {
        for (const [i, tokens] of stores.entries()) {
          if ((await tokens.getKey(keys[i])).owner_id !== 'ann') throw new Error('not found')
        }
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      while (warnings.length === 0) await ask()
      // Long enough for the other stores to be refused as well.
      for (let i = 0; i < 50; i++) await ask()
      for (const tokens of stores) await tokens.quit()
      console.log(JSON.stringify({ warnings, keys }))`)
    const { warnings, keys } = JSON.parse(stdout) as { warnings: string[][]; keys: string[] }
    expect(warnings).toEqual([
      [
        'TokenstoreWarning',
        expect.stringMatching(
          new RegExp(`^Redis does not tell what changes, so a cache asks Redis .*${why}`, 'i')
        )
      ]
    ])
    expect(stderr.match(/TokenstoreWarning/g)).toHaveLength(1)
    for (const key of keys) expect(stderr).not.toContain(key)
    expect(code).toBe(0)
  })
})

describe('quit', () => {
  const { url, port, counts } = useServer()
  const one = async (): Promise<{ tokens: Tokenstore; key: string }> => {
    const tokens = withCache({ redis: url() })
    return { tokens, key: (await tokens.add({ owner_id: 'ann' })).key }
  }

  test('forgets all, also while the way to be told is being opened', async () => {
    for (let turns = 0; turns < 40; turns++) {
      const { tokens, key } = await one()
      await tokens.getKey(key)
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve))
      await within(5000, tokens.quit())
      await expect(tokens.getKey(key)).rejects.toMatchObject({ code: 'TSCLOSED' })
      await until(async () => (await counts().trackers()).length === 0)
    }
  })

  test('of a store that was answering from memory', async () => {
    const { tokens, key } = await one()
    await counts().warm(tokens, key)
    const asked = tokens.getKey(key, { fresh: true })
    const quit = tokens.quit()
    await expect(tokens.getKey(key)).rejects.toMatchObject({ code: 'TSCLOSED' })
    await quit
    expect(await asked).toMatchObject({ key })
    await expect(tokens.getKey(key)).rejects.toMatchObject({ code: 'TSCLOSED' })
    await until(async () => (await counts().trackers()).length === 0)
  })

  test("leaves nothing of ours on the caller's client", async () => {
    const redis = own(port())
    await redis.ping()
    const listeners = (): unknown =>
      redis.eventNames().map((event) => [event, redis.listenerCount(event)])
    const before = listeners()
    const tokens = withCache({ redis })
    const { key } = await tokens.add({ owner_id: 'ann' })
    await counts().warm(tokens, key)
    await tokens.watch()
    await tokens.quit()
    expect(listeners()).toEqual(before)
    expect(await redis.ping()).toBe('PONG')
  })
})

describe('the process', () => {
  const WARM = `
    const { key } = await tokens.add({ owner_id: 'ann' })
    const commands = async () => /total_commands_processed:(\\d+)/.exec(await redis.info('stats'))[1]
    for (;;) {
      const before = await commands()
      for (let i = 0; i < 50; i++) await tokens.getKey(key)
      if (await commands() - before < 25) break
      await new Promise((resolve) => setTimeout(resolve, 5))
    }`

  test.each([
    ['a store that answers from memory', `${WARM}; await tokens.quit(); redis.disconnect()`],
    [
      'one whose first answers are under way',
      `tokens.getKey('a'.repeat(24)).catch(() => {}); await tokens.quit(); redis.disconnect()`
    ],
    ['one of a client that the caller quits alone', `${WARM}; await redis.quit()`]
  ])('ends after quit of %s', async (name, body) => {
    const { port } = await server()
    const client = name.includes('alone') ? 'redis' : `{ port: ${port} }`
    const outcome = await run(`
      const redis = new Redis(${port})
      const cache = { silence: 20000 }
      const tokens = Tokenstore({ redis: ${client}, timeout: 10000, cache })
      ${body}
      const over = Date.now()
      process.on('exit', () => Date.now() - over > 2000 && console.log('after', Date.now() - over))`)
    expect(outcome).toEqual({ stdout: '', stderr: '', code: 0 })
  })

  test('has no timer and no socket left, and no warning of listeners', async () => {
    const { port } = await server()
    const outcome = await run(`
      const redis = new Redis(${port})
      await redis.ping()
      const resources = () => process.getActiveResourcesInfo().filter((name) => !/FS/.test(name)).sort().join()
      const before = resources()
      const tokens = Tokenstore({ redis: { port: ${port} }, timeout: 10000, cache: true })
      ${WARM}
      const watchers = await Promise.all(Array.from({ length: 20 }, () => tokens.watch()))
      for (const watcher of watchers) watcher.expect((await tokens.add({ owner_id: 'ann', ttl: 100 })).id)
      await tokens.ping()
      await tokens.quit()
      for (let i = 0; i < 50 && resources() !== before; i++) await new Promise((resolve) => setTimeout(resolve, 10))
      if (resources() !== before) console.log(before, resources())
      redis.disconnect()`)
    expect(outcome).toEqual({ stdout: '', stderr: '', code: 0 })
  })
})
