import { type Tokenstore, UnavailableError, type Watcher } from '../../src/main'
import type { Config, Token } from '../../src/types'
import { client, closeAfterAll, freshPrefix, timeOf, until, within } from '../support'
import { Gate, useServer, wayTo } from './cached'
import { closeAfterEach, later, open, own, server } from './opened'

const { url, port, counts } = useServer()
closeAfterAll()
closeAfterEach()

interface Watching {
  tokens: Tokenstore
  /** Another process, on the same data. */
  plain: Tokenstore
  watcher: Watcher
  /** The ids told so far, and the gaps between them. */
  told: string[]
}

function listen(watcher: Watcher): string[] {
  const told: string[] = []
  watcher.on('revoked', (id) => told.push(id))
  watcher.on('gap', () => told.push('gap'))
  return told
}

async function watching(config: Config = {}): Promise<Watching> {
  const shared = { redis: url(), prefix: freshPrefix(), timeout: 10_000, ...config }
  const tokens = open(shared)
  const watcher = await tokens.watch()
  return { tokens, plain: open(shared), watcher, told: listen(watcher) }
}

const redisNow = (): Promise<number> => timeOf(counts().redis)

/**
 * Expects that nothing more is told than was by then: what was asked before is answered, and so
 * is what that made the watcher ask.
 */
async function nothingMore(told: string[], expected: string[]): Promise<void> {
  for (let i = 0; i < 10; i++) await counts().redis.ping()
  expect(told).toEqual(expected)
}

describe('an end is told, once,', () => {
  type End = (watching: Watching, token: Token, prefix: string) => Promise<unknown>
  const ends: Record<string, End> = {
    del: ({ tokens }, { id }) => tokens.del(id),
    'del by another process': ({ plain }, { id }) => plain.del(id),
    delKey: ({ plain }, { key }) => plain.delKey(key),
    delOwner: ({ plain }) => plain.delOwner('ann'),
    'an add that evicts it': ({ plain }) =>
      plain.add({ owner_id: 'ann', limit: 1, onLimit: 'evict' }),
    'a change that evicts it': async ({ plain }) => {
      const { id } = await plain.add({ owner_id: 'bo' })
      await plain.change(id, { owner_id: 'ann', limit: 1, onLimit: 'evict' })
    },
    reset: ({ plain }) => plain.reset(),
    'a refresh that is reuse': async ({ plain }, { key }) => {
      await plain.refresh(key, { grace: null })
      await expect(plain.refresh(key)).rejects.toMatchObject({ code: 'TSREUSE' })
    },
    'its end, brought forward': ({ plain }, { id }) => plain.change(id, { ttl: 0.02 }),
    'DEL of all its names': async (_watching, _token, prefix) => {
      const { redis } = counts()
      await redis.del(...(await redis.keys(`${prefix}:*`)))
    },
    'DEL of its id': (_watching, { id }, prefix) => counts().redis.del(`${prefix}:id:${id}`),
    FLUSHDB: () => counts().redis.flushdb()
  }
  test.each(Object.entries(ends))('by %s', async (_name, end) => {
    for (const cache of [false, true]) {
      const prefix = freshPrefix()
      const all = await watching({ prefix, cache })
      const token = await all.tokens.add({ owner_id: 'ann' })
      all.watcher.expect(token.id)
      all.watcher.expect(token.id)
      await all.plain.getKey(token.key)
      await nothingMore(all.told, [])
      await end(all, token, prefix)
      await until(() => all.told.length > 0)
      await nothingMore(all.told, [token.id])
    }
  })

  test('by its ttl, and by its idle, which uses move', async () => {
    // Redis deletes what has expired late, when much else has not; this one never by itself.
    const { url: redis } = await server('--enable-debug-command', 'yes')
    const admin = client({}, redis)
    await admin.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')
    const { tokens, watcher, told } = await watching({ redis, touchEvery: 0.01 })
    const [ttl, idle, used] = await Promise.all([
      tokens.add({ owner_id: 'ann', ttl: 0.3 }),
      tokens.add({ owner_id: 'ann', idle: 0.3 }),
      tokens.add({ owner_id: 'ann', idle: 0.3, ttl: 1 })
    ])
    const at = new Map<string, number>()
    watcher.on('revoked', (id) => at.set(id, Date.now()))
    for (const { id } of [ttl, idle, used]) watcher.expect(id)
    let end = 0
    for (let found: Token | null = used; found; found = await tokens.getKey(used.key)) {
      // Told too early of any of them?
      expect(at.has(used.id)).toBe(false)
      end = Math.max(end, found.expires_at!)
      if ((await timeOf(admin)) > used.expires_at! + 300) break
    }
    expect(end).toBeGreaterThan(used.expires_at! + 200)
    await until(() => told.length === 3)
    expect([...told].sort()).toEqual([ttl.id, idle.id, used.id].sort())
    const tolerance = 1000 // of a busy machine; Redis itself may take minutes to tell
    for (const [{ id }, expected] of [
      [ttl, ttl.expires_at!],
      [idle, idle.expires_at!],
      [used, end]
    ] as const) {
      expect(at.get(id)! - expected).toBeGreaterThanOrEqual(-2)
      expect(at.get(id)! - expected).toBeLessThan(tolerance)
    }
  })

  test('of ten thousand at once', async () => {
    const { plain, watcher, told } = await watching()
    const ids: string[] = []
    for (let i = 0; i < 10; i++) {
      const some = Array.from({ length: 1000 }, () => plain.add({ owner_id: `user-${i}` }))
      ids.push(...(await Promise.all(some)).map(({ id }) => id))
    }
    for (const id of ids) watcher.expect(id)
    await nothingMore(told, [])
    for (let i = 0; i < 10; i++) await plain.delOwner(`user-${i}`)
    await until(() => told.length >= ids.length, 60_000)
    await nothingMore([...told].sort(), ids.sort())
  })

  test('that came before it was expected, or that of no token at all', async () => {
    for (const partitioned of [false, true]) {
      const { tokens, watcher, told } = await watching({ partitioned })
      const { id } = await tokens.add({ owner_id: 'ann' })
      await tokens.del(id)
      const none = ['0190a0b0-0000-7000-8000-000000000001', 'none']
      for (const gone of [id, ...none]) watcher.expect(gone)
      await until(() => told.length === 3)
      expect([...told].sort()).toEqual([id, ...none].sort())
    }
  })

  test('to every watcher of the store that expects it', async () => {
    const { tokens, plain, watcher, told } = await watching()
    const others = await Promise.all(Array.from({ length: 20 }, () => tokens.watch()))
    const [deaf, ...rest] = others.map(listen)
    const { id } = await tokens.add({ owner_id: 'ann' })
    for (const each of [watcher, ...others.slice(1)]) each.expect(id)
    await plain.del(id)
    await until(() => [told, ...rest].every((ids) => ids.length > 0))
    for (const ids of [told, ...rest]) await nothingMore(ids, [id])
    expect(deaf).toEqual([])
    expect(await counts().trackers()).toHaveLength(1)
  })

  test.each([
    ['partitioned', () => ({ partitioned: true })],
    ['with digest', () => ({ digest: true })],
    ['with a keyPrefix', () => ({ redis: `${url()}/4?keyPrefix=app:` })],
    ['with a client of the caller', () => ({ redis: own(port()) })]
  ] as [string, () => Config][])('to a store %s', async (_name, config) => {
    const { plain, watcher, told } = await watching(config())
    const [{ id }, { id: kept }] = [
      await plain.add({ owner_id: 'ann' }),
      await plain.add({ owner_id: 'bo' })
    ]
    for (const each of [id, kept]) watcher.expect(each)
    await plain.delOwner('ann')
    await until(() => told.length > 0)
    await nothingMore(told, [id])
  })
})

describe('nothing is told', () => {
  test('of a token that lives on, whatever is written', async () => {
    const { plain, watcher, told } = await watching({ touchEvery: 0.01 })
    const { id, key } = await plain.add({ owner_id: 'ann', idle: 0.2 })
    watcher.expect(id)
    await plain.set(id, { a: 1 })
    await plain.update(id, () => ({ a: 2 }))
    await plain.change(id, { owner_id: 'bo', ttl: 60, idle: 30 })
    await plain.getKey(key)
    const { key: second } = (await plain.rotate(id, { grace: 100 }))!
    await plain.rotate(id)
    await plain.refresh((await plain.get(id))!.key)
    await plain.delKey('n'.repeat(24))
    expect(await plain.getKey(second)).toBeNull()
    const from = await redisNow()
    // Past the end that it had at first.
    await until(async () => (await redisNow()) > from + 300)
    await nothingMore(told, [])
    await plain.del(id)
    await until(() => told.length > 0)
    expect(told).toEqual([id])
  })

  test('of one that was forgotten, or that nobody expects', async () => {
    const { plain, watcher, told } = await watching()
    const [a, b, c] = await Promise.all([1, 2, 3].map(() => plain.add({ owner_id: 'ann', ttl: 1 })))
    for (const { id } of [a!, b!]) watcher.expect(id)
    watcher.forget(a!.id)
    watcher.forget('none')
    await Promise.all([a, b, c].map((token) => plain.del(token!.id)))
    await until(() => told.length > 0)
    await nothingMore(told, [b!.id])
    watcher.expect(a!.id)
    watcher.forget(a!.id)
    await nothingMore(told, [b!.id])
  })

  test('once the watcher is closed, which closes the connection unless others watch', async () => {
    const { tokens, plain, watcher, told } = await watching()
    const other = await tokens.watch()
    const ids = [await plain.add({ owner_id: 'ann' }), await plain.add({ owner_id: 'ann', ttl: 1 })]
    for (const { id } of ids) {
      watcher.expect(id)
      other.expect(id)
    }
    const heard = listen(other)
    watcher.close()
    watcher.close()
    await plain.del(ids[0]!.id)
    await until(() => heard.length > 0)
    expect(await counts().trackers()).toHaveLength(1)
    watcher.expect(ids[0]!.id)
    other.close()
    await until(async () => (await counts().trackers()).length === 0)
    await plain.del(ids[1]!.id)
    await nothingMore([...told, ...heard], [ids[0]!.id])
    // Again, from the beginning.
    const third = await tokens.watch()
    const { id } = await plain.add({ owner_id: 'ann' })
    third.expect(id)
    const told3 = listen(third)
    await plain.del(id)
    await until(() => told3.length > 0)
    expect(told3).toEqual([id])
  })

  test.each([
    ['closes the watcher', (watcher: Watcher) => watcher.close()],
    ['forgets all', (watcher: Watcher, ids: string[]) => ids.forEach((id) => watcher.forget(id))]
  ])('once a listener %s', async (_name, end) => {
    const { watcher, told } = await watching()
    const ids = ['a', 'b', 'c']
    watcher.on('revoked', () => end(watcher, ids))
    for (const id of ids) watcher.expect(id)
    await until(() => told.length > 0)
    await nothingMore(told, ['a'])
  })

  test('once the store is closed', async () => {
    const { tokens, plain, watcher, told } = await watching({ cache: true })
    const { id } = await plain.add({ owner_id: 'ann', ttl: 0.2 })
    watcher.expect(id)
    await tokens.quit()
    await plain.del(id)
    await until(async () => (await counts().trackers()).length === 0)
    await nothingMore(told, [])
    await expect(tokens.watch()).rejects.toMatchObject({ code: 'TSCLOSED' })
    watcher.expect(id)
    await nothingMore(told, [])
  })
})

describe('a gap', () => {
  test('is told, and all that was revoked in it', async () => {
    const prefix = freshPrefix()
    const { plain, watcher, told } = await watching({ prefix })
    const added = await Promise.all(
      Array.from({ length: 100 }, (_, i) => plain.add({ owner_id: `user-${i % 2}` }))
    )
    for (const { id } of added) watcher.expect(id)
    await nothingMore(told, [])
    const of = (owner: string): string[] =>
      added.flatMap(({ owner_id, id }) => (owner_id === owner ? [id] : [])).sort()
    const [tracker] = await counts().trackers()
    // At once, so that nobody listens when they go.
    const kill = counts().redis.multi().client('KILL', 'ID', tracker!)
    await kill.del(...of('user-0').map((id) => `${prefix}:id:${id}`)).exec()
    await until(() => told.length > 50)
    await nothingMore([told[0]!, ...told.slice(1).sort()], ['gap', ...of('user-0')])
    await plain.delOwner('user-1')
    await until(() => told.length > 100)
    await nothingMore(told.slice(51).sort(), of('user-1'))
  })

  test('is told when Redis was gone, and everything that was lost with it', async () => {
    const started = await server()
    const tokens = open({ redis: { port: started.port, retryStrategy: () => 20 }, timeout: 1000 })
    const watcher = await tokens.watch()
    const told = listen(watcher)
    const { id } = await tokens.add({ owner_id: 'ann' })
    watcher.expect(id)
    await tokens.ping()
    process.kill(started.pid, 'SIGSTOP')
    later(() => process.kill(started.pid, 'SIGCONT'))
    await until(() => told.length > 0)
    expect(told).toEqual(['gap'])
    process.kill(started.pid, 'SIGCONT')
    await until(() => tokens.del(id).catch(() => false))
    await until(() => told.includes(id))
    expect(told.filter((each) => each === id)).toHaveLength(1)
  })
})

describe('watch', () => {
  test('resolves once Redis tells, and takes a callback', async () => {
    const { tokens } = await watching()
    const watcher = await new Promise<Watcher>((resolve, reject) =>
      tokens.watch((error, result) => (error ? reject(error) : resolve(result!)))
    )
    expect(await counts().trackers()).toHaveLength(1)
    watcher.close()
  })

  test('again and again at once', async () => {
    const tokens = open({ redis: url(), timeout: 5000 })
    const watchers = await Promise.all(Array.from({ length: 20 }, () => tokens.watch()))
    const told = watchers.map(listen)
    const { id } = await tokens.add({ owner_id: 'ann' })
    for (const watcher of watchers) watcher.expect(id)
    await tokens.del(id)
    await until(() => told.every((ids) => ids.length === 1))
    expect(await counts().trackers()).toHaveLength(1)
  })

  test('rejects with what Redis answered when that is refused, and calls go on', async () => {
    const rules = ['on', '>pass', '~*', '&*', '+@all', '-client|tracking']
    await counts().redis.acl('SETUSER', 'deaf', ...rules)
    for (const cache of [false, true]) {
      const redis = { port: port(), username: 'deaf', password: 'pass' }
      const tokens = open({ redis, cache, timeout: 10_000 })
      jest.spyOn(process, 'emitWarning').mockReturnValue()
      for (let i = 0; i < 2; i++) {
        await expect(tokens.watch()).rejects.toMatchObject({
          code: 'NOPERM',
          message: expect.stringContaining('client|tracking') as string
        })
      }
      const { key } = await tokens.add({ owner_id: 'ann' })
      expect(await tokens.getKey(key)).toMatchObject({ key })
    }
  })

  test('tells after a gap as soon as Redis tells again, however long a silence may be', async () => {
    const { plain, watcher, told } = await watching({ cache: { silence: 60_000 } })
    const { id } = await plain.add({ owner_id: 'ann' })
    watcher.expect(id)
    await nothingMore(told, [])
    const [tracker] = await counts().trackers()
    await Promise.all([counts().redis.client('KILL', 'ID', tracker!), plain.del(id)])
    const from = performance.now()
    await until(() => told.includes(id))
    expect(performance.now() - from).toBeLessThan(5000)
  })

  test('takes a text that somebody publishes for nothing', async () => {
    const { plain, watcher, told } = await watching()
    const { id } = await plain.add({ owner_id: 'ann' })
    watcher.expect(id)
    await counts().redis.publish('__redis__:invalidate', id)
    await nothingMore(told, [])
    await plain.del(id)
    await until(() => told.length > 0)
    expect(told).toEqual([id])
  })

  test('rejects within timeout when Redis is down, hangs, or is hidden', async () => {
    const { port: to, pid } = await server()
    const silent = new Gate()
    silent.hold()
    later(() => silent.release())
    const through = await wayTo(to, {
      answer: (_data, { tracks }) => (tracks ? silent.passed() : undefined)
    })
    const [hung, hidden] = [open({ redis: { port: to } }), open({ redis: { port: through } })]
    await Promise.all([hung, hidden].map((tokens) => tokens.ping()))
    const rejects = async (tokens: Tokenstore): Promise<void> => {
      const from = performance.now()
      await expect(tokens.watch()).rejects.toBeInstanceOf(UnavailableError)
      expect(performance.now() - from).toBeLessThan(5000)
    }
    await rejects(hidden)
    process.kill(pid, 'SIGSTOP')
    later(() => process.kill(pid, 'SIGCONT'))
    await rejects(hung)
    await rejects(open({ redis: { port: 1 } }))
    process.kill(pid, 'SIGCONT')
    silent.release()
    for (const tokens of [hung, hidden]) {
      await until(() =>
        tokens.watch().then(
          () => true,
          () => false
        )
      )
    }
  })

  test('rejects at once when the store is closed meanwhile', async () => {
    const { port: to } = await server()
    const silent = new Gate()
    silent.hold()
    later(() => silent.release())
    const through = await wayTo(to, {
      answer: (_data, { tracks }) => (tracks ? silent.passed() : undefined)
    })
    const tokens = open({ redis: { port: through }, timeout: 30_000 })
    await tokens.ping()
    const watch = tokens.watch().catch((error: unknown) => error)
    const redis = own(to)
    await until(async () => String(await redis.client('LIST')).includes('cmd=client|tracking'))
    await within(5000, tokens.quit())
    expect(await within(5000, watch)).toMatchObject({ code: 'TSCLOSED' })
  })

  test('refuses an id that is none', async () => {
    const { watcher } = await watching()
    for (const id of ['', null, undefined, 7, {}])
      expect(() => watcher.expect(id as string)).toThrow(TypeError)
  })
})
