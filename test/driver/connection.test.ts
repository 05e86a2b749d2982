import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis } from '../../scripts/redis-server'
import { type Tokenstore, TokenstoreError, UnavailableError } from '../../src/main'
import { client, closeAfterAll, freshPrefix, names, redisUrl, until, within } from '../support'
import { closeAfterEach, later, open, own, proxy, server } from './opened'
import { run } from './run'

closeAfterAll()
closeAfterEach()

/**
 * A port on which nothing listens, and nothing else will until it is freed: it
 * is the near end of a connection.
 */
async function deadPort(): Promise<{ port: number; free(): void }> {
  const far = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(far, 'listening')
  const near = connect((far.address() as AddressInfo).port, '127.0.0.1')
  await once(near, 'connect')
  far.close()
  const free = (): void => void (near.destroyed || near.resetAndDestroy())
  later(free)
  return { port: near.localPort!, free }
}

/**
 * What a call answers, asked again until it is: the short timeouts here are for
 * calls that must fail.
 */
async function answerOf<T>(call: () => Promise<T>): Promise<T> {
  let answer: T
  await until(() =>
    call().then(
      (value) => {
        answer = value
        return true
      },
      () => false
    )
  )
  return answer!
}

/**
 * Waits until calls fail for that reason: an attempt to connect takes as long
 * as it takes.
 */
function failsSaying(tokens: Tokenstore, why: string | RegExp): Promise<void> {
  return until(() =>
    tokens.count('a').then(
      () => true,
      (error: Error) => new RegExp(why).test(error.message)
    )
  )
}

/** Of a token that may be added again, should the answer be late. */
const forced = {
  key: 'f'.repeat(24),
  id: '0190a0b0-0000-7000-8000-000000000001'
}

/** Every method, with arguments that find something when they may. */
function everyCall(tokens: Tokenstore): Record<string, () => Promise<unknown>> {
  const key = 'k'.repeat(24)
  return {
    add: () => tokens.add({ owner_id: 'user-7', key }),
    getKey: () => tokens.getKey(key),
    get: () => tokens.get('x'),
    set: () => tokens.set('x', {}),
    update: () => tokens.update('x', () => ({})),
    change: () => tokens.change('x', { ttl: 60 }),
    del: () => tokens.del('x'),
    delKey: () => tokens.delKey(key),
    refresh: () => tokens.refresh(key),
    delOwner: () => tokens.delOwner('user-7', { hashes: true }),
    list: () => tokens.list('user-7'),
    page: () => tokens.list('user-7', { limit: 5 }),
    each: () => tokens.each('user-7').next(),
    count: () => tokens.count('user-7'),
    all: () => tokens.all().next(),
    owners: () => tokens.owners().next(),
    rotate: () => tokens.rotate('x'),
    makeHash: () => tokens.makeHash('a', { replaces: 'b', owner_id: 'user-7' }),
    getHash: () => tokens.getHash('ABCDEFGH'),
    takeHash: () => tokens.takeHash('ABCDEFGH'),
    delHash: () => tokens.delHash('ABCDEFGH'),
    makeCode: () => tokens.makeCode('a'),
    tryCode: () => tokens.tryCode('a', '123'),
    ping: () => tokens.ping(),
    reset: () => tokens.reset()
  }
}

// On a slow machine what is asked later than the first by more than 20 ms is not sent, since
// Redis is silent; what was sent more than 100 ms later waits when the connection is given up.
const UNANSWERED =
  /no answer from Redis within 300 ms|Redis is behind|the connection was lost before Redis answered/

/** All calls at once reject in time, and not with null or the like. */
async function allUnavailable(tokens: Tokenstore, says: string | RegExp, ms = 1000): Promise<void> {
  const calls = everyCall(tokens)
  const outcomes = await within(
    ms,
    Promise.all(
      Object.entries(calls).map(([name, call]) =>
        call().then(
          (value) => new Error(`${name} answered ${JSON.stringify(value)}`),
          (error: Error) => error
        )
      )
    )
  )
  for (const error of outcomes) {
    expect(error).toBeInstanceOf(UnavailableError)
    expect(error).toBeInstanceOf(TokenstoreError)
    expect(error).toMatchObject({
      name: 'UnavailableError',
      code: 'TSUNAVAILABLE'
    })
    expect(error.message).toMatch(says)
  }
}

describe('quit', () => {
  test('closes what the store opened', async () => {
    const redis = client()
    const connectionName = freshPrefix()
    const { hostname: host, port } = new URL(redisUrl())
    const named = async (): Promise<number> =>
      ((await redis.client('LIST')) as string)
        .split('\n')
        .filter((line) => line.includes(connectionName)).length
    const tokens = open({
      redis: { host, port: Number(port), connectionName },
      timeout: 10_000
    })
    await tokens.count('user-7')
    expect(await named()).toBe(1)
    await tokens.quit()
    await until(async () => (await named()) === 0)
  })

  test("leaves the caller's client open, with no listener of ours on it", async () => {
    const redis = own(Number(new URL(redisUrl()).port), { lazyConnect: true })
    const before = redis.eventNames().map((event) => [event, redis.listenerCount(event)])
    const tokens = open({ redis, timeout: 10_000 })
    const waiting = tokens.count('user-7')
    expect(await waiting).toBe(0)
    await tokens.quit()
    expect(redis.status).toBe('ready')
    expect(redis.eventNames().map((event) => [event, redis.listenerCount(event)])).toEqual(before)
    expect(await redis.ping()).toBe('PONG')
  })

  test('is prompt when Redis is unreachable, and ends what waits', async () => {
    const { port } = await deadPort()
    for (const redis of [
      { port },
      { port, lazyConnect: true },
      `redis://127.0.0.1:${port}`,
      own(port)
    ]) {
      const tokens = open({ redis, timeout: 20_000 })
      const waiting = tokens.getKey('k'.repeat(24)).catch((error: unknown) => error)
      await sleep(30)
      await within(500, tokens.quit())
      expect(await waiting).toMatchObject({
        name: 'TokenstoreError',
        code: 'TSCLOSED'
      })
    }
  })

  test('is prompt when Redis hangs: within the timeout once connected, at once before', async () => {
    const { pid, port } = await server()
    const [ready, fresh] = [
      open({ redis: { port } }),
      open({ redis: { port, lazyConnect: true }, timeout: 20_000 })
    ]
    await answerOf(() => ready.count('user-7'))
    process.kill(pid, 'SIGSTOP')
    later(() => process.kill(pid, 'SIGCONT'))
    const waiting = fresh.count('user-7').catch((error: unknown) => error)
    await sleep(30)
    await within(500, fresh.quit())
    expect(await waiting).toMatchObject({ code: 'TSCLOSED' })
    await within(1000, ready.quit())
  })

  test('of many stores that share a client, in whatever state it is', async () => {
    const { port } = await deadPort()
    const redis = own(port)
    const stores = Array.from({ length: 5 }, () => open({ redis }))
    const calls = stores.map((tokens) => tokens.count('a').catch((error: unknown) => error))
    await Promise.all(stores.map((tokens) => tokens.quit()))
    for (const error of await Promise.all(calls)) expect(error).toMatchObject({ code: 'TSCLOSED' })
    expect(redis.listenerCount('ready')).toBe(0)
  })
})

describe('the process', () => {
  test('ends after quit, having printed nothing', async () => {
    const outcomes = await Promise.all(
      [
        [`'${redisUrl()}'`, 'await tokens.count("a"); await tokens.quit()'],
        [`'${redisUrl()}'`, 'await tokens.count("a"); tokens.quit()'],
        [`'${redisUrl()}'`, 'await tokens.quit()'],
        ['{ port: 1 }', 'tokens.count("a").catch(() => {}); tokens.quit()']
      ].map(([redis, body]) =>
        run(`const tokens = Tokenstore({ timeout: 10000, redis: ${redis} }); ${body}`)
      )
    )
    for (const outcome of outcomes) expect(outcome).toEqual({ stdout: '', stderr: '', code: 0 })
  })

  test('never crashes nor prints because of the connection', async () => {
    const { port, stop } = await server()
    const { port: dead } = await deadPort()
    const running = run(`
      const options = { retryStrategy: () => 20 }
      const shared = new Redis({ port: ${port}, ...options }).on('error', () => {})
      const stores = [
        Tokenstore({ timeout: 200, redis: { port: ${dead}, ...options } }),
        Tokenstore({ timeout: 200, redis: 'redis://127.0.0.1:${dead}' }),
        Tokenstore({ timeout: 200, redis: { host: 'redis.invalid' } }),
        Tokenstore({ timeout: 200, redis: { port: ${port}, password: 'wrong' } }),
        Tokenstore({ timeout: 200, redis: { port: ${port}, db: 99999 } }),
        Tokenstore({ timeout: 200, redis: { port: ${port}, ...options } }),
        Tokenstore({ timeout: 200, redis: shared })
      ]
      const codes = new Set()
      // Until its Redis was there, and has been gone for a while.
      for (let there = false, gone = 0; gone < 5; ) {
        const calls = stores.flatMap((tokens) => [tokens.getKey('b'), tokens.count('a')])
        const results = await Promise.allSettled(calls)
        for (const { reason } of results) codes.add(reason ? reason.code : 'fine')
        const fine = results.at(-1).status === 'fulfilled'
        there ||= fine
        if (there && gone === 0) shared.set('there', '').catch(() => {})
        if (there && !fine) gone++
      }
      for (const tokens of stores) await tokens.quit()
      shared.disconnect()
      console.log([...codes].sort().join())`)
    const admin = own(port)
    await until(async () => (await admin.exists('there')) === 1, 30_000)
    await stop()
    const { stdout, stderr, code } = await running
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^(\w+,)*TSUNAVAILABLE,(\w+,)*fine\n$/)
    expect(code).toBe(0)
  })

  test('prints no warning when many stores share a client that is not connected yet', async () => {
    const outcome = await run(`
      const redis = new Redis('${redisUrl()}')
      const stores = Array.from({ length: 20 }, () => Tokenstore({ redis, timeout: 10000 }))
      await Promise.all(stores.map((tokens) => tokens.count('a')))
      redis.disconnect()`)
    expect(outcome).toEqual({ stdout: '', stderr: '', code: 0 })
  })
})

describe('a call rejects within the timeout', () => {
  test('when Redis is down', async () => {
    const { port } = await deadPort()
    for (const redis of [
      { port },
      `redis://127.0.0.1:${port}`,
      own(port),
      own(port, { maxRetriesPerRequest: null })
    ]) {
      const tokens = open({ redis })
      await allUnavailable(tokens, 'no connection to Redis within 300 ms')
      await tokens.quit()
    }
  })

  test('and says why there is no connection', async () => {
    const { port } = await deadPort()
    const tokens = open({ redis: { port } })
    await failsSaying(tokens, 'ECONNREFUSED')
    await allUnavailable(tokens, 'ECONNREFUSED')
  })

  test('when the client gave up for good', async () => {
    const { port } = await deadPort()
    const tokens = open({
      redis: { port, retryStrategy: () => null },
      timeout: 20_000
    })
    await allUnavailable(tokens, 'no connection to Redis')
    await allUnavailable(tokens, 'no connection to Redis')
    const closed = own(port)
    closed.disconnect()
    await allUnavailable(open({ redis: closed, timeout: 20_000 }), 'no connection to Redis')
  })

  test('and says why without what Redis repeats of the password', async () => {
    const { port, stop } = await startRedis([
      '--rename-command',
      'HELLO',
      '',
      '--rename-command',
      'AUTH',
      ''
    ])
    later(stop)
    const tokens = open({ redis: { port, password: 'a-long-password' } })
    const why = /no connection to Redis within 300 ms: ERR unknown command '?`?auth/i
    await failsSaying(tokens, why)
    const error = await tokens.count('a').catch((error: unknown) => error)
    expect(String(error)).toMatch(why)
    expect(String(error)).not.toContain('a-long-password')
  })

  test('when ioredis throws instead of rejecting', async () => {
    const redis = own(Number(new URL(redisUrl()).port), { lazyConnect: true })
    const tokens = open({ redis })
    const name = Object.keys(redis).find((name) => name.startsWith('tokenstore:count:'))!
    const throws = (): never => {
      throw new TypeError("Cannot read properties of undefined (reading 'join')")
    }
    Object.assign(redis, { [name]: throws })
    // From a listener, when the connection is ready, and at once.
    for (let i = 0; i < 2; i++)
      await expect(tokens.count('a')).rejects.toMatchObject({
        code: 'TSUNAVAILABLE'
      })
  })

  test.each([{}, { enableReadyCheck: false }, { protocol: 2 as const }])(
    'when the database cannot be selected, and nothing is written into another: %j',
    async (options) => {
      const { port, url } = await server()
      const admin = own(port)
      await admin.acl('SETUSER', 'app', 'reset', 'on', '>secret', '~*', '+@all', '-select')
      const refused = {
        'DB index is out of range': [`${url}/99`, { port, db: 99, ...options }],
        NOPERM: [{ port, db: 1, username: 'app', password: 'secret', ...options }]
      }
      for (const [says, configs] of Object.entries(refused)) {
        for (const redis of configs) {
          // Without a ready check the call is there before the connection is
          // closed, and says that it was.
          const why = 'enableReadyCheck' in options ? '' : says
          await Promise.all(
            [open({ redis }), open({ redis, replicas: 1 })].map(async (tokens) => {
              await failsSaying(tokens, why)
              await allUnavailable(tokens, why)
            })
          )
        }
      }
      expect(await admin.info('keyspace')).toBe('# Keyspace\r\n')
      expect(await admin.info('commandstats')).not.toContain('cmdstat_eval')
    }
  )

  test('when Redis hangs, connected or not', async () => {
    const { pid, port } = await server()
    const [ready, shared] = [
      open({ redis: { port } }),
      open({ redis: own(port, { enableAutoPipelining: true }) })
    ]
    await Promise.all([ready, shared].map((tokens) => answerOf(() => tokens.count('user-7'))))
    process.kill(pid, 'SIGSTOP')
    later(() => process.kill(pid, 'SIGCONT'))
    await Promise.all([
      allUnavailable(ready, UNANSWERED),
      allUnavailable(shared, UNANSWERED),
      allUnavailable(open({ redis: { port } }), 'no connection to Redis within 300 ms')
    ])
    process.kill(pid, 'SIGCONT')
    // And the same store works on, with answers to the questions asked now.
    expect(await answerOf(() => ready.count('nobody'))).toBe(0)
    const token = await answerOf(() => ready.add({ owner_id: 'user-8', ...forced }))
    expect(await answerOf(() => ready.getKey(token.key))).toEqual(token)
    expect(await answerOf(() => ready.count('user-8'))).toBe(1)
  })

  test('when Redis is there but accepts no commands', async () => {
    // Takes connections and never says a word.
    const sockets: Socket[] = []
    const silent: Server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1')
    await new Promise((resolve) => silent.once('listening', resolve))
    later(() => {
      for (const socket of sockets) socket.destroy()
      silent.close()
    })
    await allUnavailable(
      open({ redis: { port: (silent.address() as AddressInfo).port } }),
      'no connection to Redis'
    )
  })

  test('when Redis is loading its data', async () => {
    const first = await startRedis(['--dbfilename', 'dump.rdb'])
    const filling = own(first.port)
    const pipeline = filling.pipeline()
    for (let i = 0; i < 6000; i++) pipeline.set(`key:${i}`, 'x'.repeat(100))
    await pipeline.exec()
    await filling.save()
    await first.kill()
    const { port, dir } = first
    let loaded = false
    // 24 s, unless it is told to go on sooner.
    const slowly = ['--dbfilename', 'dump.rdb', '--key-load-delay', '4000']
    const loading = startRedis([...slowly, '--loading-process-events-interval-bytes', '1024'], {
      port,
      dir
    }).then((started) => {
      loaded = true
      later(() => started.stop())
    })
    const probe = own(port, { enableReadyCheck: false })
    await until(async () => /loading:1/.test(await probe.info('persistence').catch(() => '')))
    await Promise.all([
      allUnavailable(open({ redis: { port } }), 'no connection to Redis within 300 ms'),
      // A client without a ready check hears it from Redis.
      allUnavailable(open({ redis: probe, timeout: 10_000 }), 'LOADING')
    ])
    expect(loaded).toBe(false)
    await probe.config('SET', 'key-load-delay', '0')
    const patient = open({ redis: { port }, timeout: 20_000 })
    await loading
    expect(await patient.count('user-7')).toBe(0)
  })

  test.each(['timeout', 'lost'])('when the connection is lost in the middle: %s', async (how) => {
    const { pid, port, stop } = await server()
    const tokens = open({
      redis: { port, retryStrategy: () => 20 },
      timeout: how === 'lost' ? 20_000 : 300
    })
    await answerOf(() => tokens.count('user-7'))
    process.kill(pid, 'SIGSTOP')
    const unanswered = allUnavailable(tokens, how === 'lost' ? '' : UNANSWERED)
    await sleep(20)
    if (how === 'lost') await stop()
    else later(() => process.kill(pid, 'SIGCONT'))
    await unanswered
  })
})

describe('what was not sent in time', () => {
  test('is never executed later', async () => {
    const { port, free } = await deadPort()
    const clients = [
      own(port),
      own(port, { maxRetriesPerRequest: null }),
      own(port, { enableAutoPipelining: true })
    ]
    const prefix = freshPrefix()
    const stores = [{ port, retryStrategy: () => 20 }, ...clients].map((redis) =>
      open({ redis, prefix })
    )
    await Promise.all(stores.map((tokens) => allUnavailable(tokens, 'no connection')))
    free()
    const started = await startRedis([], { port })
    later(() => started.stop())
    // All of them are connected now and have been answered, so whatever was
    // queued would be there.
    await Promise.all(stores.map((tokens) => answerOf(() => tokens.count('nobody'))))
    const redis = own(port)
    expect(await names(redis, '')).toEqual({})
    const calls = await redis.info('commandstats')
    expect(calls).not.toMatch(/cmdstat_(set|zadd|del):/)
  })

  const resend = {
    autoResendUnfulfilledCommands: true,
    maxRetriesPerRequest: 20
  }
  test.each([
    ['', (port: number) => ({ port, retryStrategy: () => 20 })],
    [
      ', whatever the options say',
      (port: number) => ({ port, retryStrategy: () => 20, ...resend })
    ],
    [
      ', whatever the URL says',
      (port: number) =>
        `redis://127.0.0.1:${port}?autoResendUnfulfilledCommands=true&maxRetriesPerRequest=20`
    ]
  ])(
    'is not executed twice either: a lost answer is reported, not asked for again%s',
    async (_name, redisAt) => {
      const { port } = await server()
      const admin = own(port)
      // Between the store and Redis, to lose the next answer together with the
      // connection.
      let lose = false
      const wire = createServer((socket) => {
        const redis = connect(port, '127.0.0.1').on('error', () => {})
        socket.on('error', () => {})
        socket.on('data', (data) => redis.write(data))
        socket.on('close', () => redis.destroy())
        redis.on('data', (data) => {
          if (lose) socket.destroy()
          else socket.write(data)
          lose = false
        })
      }).listen(0, '127.0.0.1')
      await new Promise((resolve) => wire.once('listening', resolve))
      later(() => wire.close())
      const tokens = open({
        redis: redisAt((wire.address() as AddressInfo).port),
        timeout: 10_000
      })
      await tokens.count('user-7')
      lose = true
      await expect(tokens.makeHash('a')).rejects.toMatchObject({
        code: 'TSUNAVAILABLE'
      })
      await answerOf(() => tokens.count('user-7'))
      const [hash] = await admin.keys('*:hash:*')
      lose = true
      const taken = tokens.takeHash(hash!.slice(-8)).catch((error: unknown) => error)
      expect(await taken).toMatchObject({ code: 'TSUNAVAILABLE' })
      await answerOf(() => tokens.count('user-7'))
      const stats = await admin.info('commandstats')
      expect(/cmdstat_set:calls=(\d+)/.exec(stats)![1]).toBe('1')
      expect(/cmdstat_getdel:calls=(\d+)/.exec(stats)![1]).toBe('1')
    }
  )
})

test('a connection that cannot be had is tried again twice a second or so, however long it is missing', async () => {
  let attempts = 0
  const refusing = createServer((socket) => {
    attempts++
    socket.destroy()
  }).listen(0, '127.0.0.1')
  await once(refusing, 'listening')
  later(() => refusing.close())
  open({ redis: { port: (refusing.address() as AddressInfo).port } })
  // By ioredis alone it would take over half a minute.
  await until(async () => attempts >= 14, 15_000)
})

describe('the same store works again', () => {
  test.each([
    ['its own connection', (port: number) => ({ port, retryStrategy: () => 20 })],
    ["the caller's client", (port: number) => own(port)]
  ])('after Redis was killed and started again: %s', async (_name, redis) => {
    const first = await startRedis()
    const { port } = first
    const tokens = open({ redis: redis(port) })
    const token = await answerOf(() => tokens.add({ owner_id: 'user-7', ...forced }))
    expect(await answerOf(() => tokens.getKey(token.key))).toEqual(token)
    await first.stop()
    await expect(tokens.getKey(token.key)).rejects.toBeInstanceOf(UnavailableError)
    const second = await startRedis([], { port })
    later(() => second.stop())
    // Null: this Redis says so.
    expect(await answerOf(() => tokens.getKey(token.key))).toBeNull()
    expect(await answerOf(() => tokens.add(token))).toEqual(token)
    expect(await answerOf(() => tokens.getKey(token.key))).toEqual(token)
  })

  test('after the master behind its address became a replica, and kept its connections', async () => {
    const [first, second] = [await server(), await server()]
    // What a managed Redis has: one address that leads to the master of the
    // day.
    let master = first
    const sockets: Socket[] = []
    const endpoint = createServer((socket) => {
      const redis = connect(master.port, '127.0.0.1')
      for (const end of [socket, redis]) sockets.push(end.on('error', () => {}))
      socket.pipe(redis).pipe(socket)
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => endpoint.once('listening', resolve))
    later(() => {
      for (const socket of sockets) socket.destroy()
      endpoint.close()
    })
    const { port } = endpoint.address() as AddressInfo
    const stores = [{ port }, `redis://127.0.0.1:${port}`].map((redis) =>
      open({ redis, timeout: 10_000 })
    )
    for (const [demoted, promoted] of [
      [first, second],
      [second, first]
    ] as const) {
      await Promise.all(stores.map((tokens) => tokens.add({ owner_id: 'user-7' })))
      master = promoted
      await own(promoted.port).replicaof('NO', 'ONE')
      await own(demoted.port).replicaof('127.0.0.1', promoted.port)
      for (const tokens of stores) {
        const refused = tokens.add({ owner_id: 'user-7' })
        await expect(refused).rejects.toMatchObject({
          code: 'TSUNAVAILABLE',
          message: /READONLY/
        })
        await until(() =>
          tokens.add({ owner_id: 'user-7' }).then(
            () => true,
            () => false
          )
        )
      }
    }
  })

  test('after a connection that was over as soon as it was there', async () => {
    const { port } = await server()
    const redis = own(port)
    redis.once('ready', () => redis.stream.destroy())
    const tokens = open({ redis, timeout: 10_000 })
    expect(await Promise.all(['a', 'b', 'c'].map((owner) => tokens.count(owner)))).toEqual([
      0, 0, 0
    ])
  })

  test('after its connection became silent, for the next may be better', async () => {
    const { port } = await server()
    const address = await proxy(port, (data, forward, connection) => {
      // The first connects, and then nothing arrives.
      if (connection > 1 || !data.includes('tokenstore')) forward(data)
    })
    const tokens = open({ redis: { port: address }, prefix: 'tokenstore' })
    const error: unknown = await tokens.count('user-7').catch((error: unknown) => error)
    expect(error).toMatchObject({ message: expect.stringMatching(UNANSWERED) })
    expect(await answerOf(() => tokens.count('user-7'))).toBe(0)
  })

  test('after SCRIPT FLUSH', async () => {
    const { port } = await server()
    const admin = own(port)
    for (const redis of [{ port }, own(port, { enableAutoPipelining: true })]) {
      const tokens = open({ redis, timeout: 10_000 })
      const token = await tokens.add({ owner_id: 'user-7' })
      await Promise.all(Object.values(everyCall(tokens)).map((call) => call()))
      for (const mode of ['ASYNC', 'SYNC']) {
        await tokens.add({ owner_id: 'user-7', key: token.key, id: token.id })
        await admin.script('FLUSH', mode as 'SYNC')
        expect(await tokens.getKey(token.key)).toEqual(token)
        await admin.script('FLUSH', mode as 'SYNC')
        for (const call of Object.values(everyCall(tokens))) await call()
        await admin.script('FLUSH', mode as 'SYNC')
        await Promise.all(Object.values(everyCall(tokens)).map((call) => call()))
      }
      await tokens.quit()
    }
  })
})
