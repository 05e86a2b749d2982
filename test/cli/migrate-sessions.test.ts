import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { RedisStore } from 'connect-redis'
import express from 'express'
import session, { type SessionData, type Store } from 'express-session'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { startRedis } from '../../scripts/redis-server'
import { migrateSessions, type MigrationOptions } from '../../src/cli/migrate-sessions'
import { digestOf } from '../../src/digest'
import { SessionStore, type SessionStoreOptions } from '../../src/session/express-session'
import { audit, client, closeAfterAll, freshPrefix, keyspace, redisUrl } from '../support'
import { closeLater } from '../support/close-after-all'
import { run } from '../support/programs'
import { cli } from './cli'

closeAfterAll()

const HOUR = 3_600_000
const DAY = 24 * HOUR

type User = { id: unknown }
type Data = SessionData & { user?: User; [field: string]: unknown }
const ownerOf = (data: SessionData): string | undefined => (data as Data).user?.id as string

/** Two stores under one fresh prefix, and what is between them. */
interface Move {
  redis: Redis
  /** Of everything; `sess:` and `token` are behind it. */
  at: string
  options: MigrationOptions
  old: RedisStore
  migrate(options?: Partial<MigrationOptions>): Promise<string[]>
  /** A new app: another one for each call. */
  store(options?: SessionStoreOptions): SessionStore
}

async function setUp(url = redisUrl()): Promise<Move> {
  const redis = client({}, url)
  const at = freshPrefix()
  const options = {
    prefix: `${at}:sess:`,
    to: `${at}:token`,
    owner: 'user.id',
    idle: DAY / 1000,
    ttl: null,
    apply: true
  }
  const nodeRedis = createClient({ url })
  await nodeRedis.connect()
  closeLater(() => nodeRedis.close())
  return {
    redis,
    at,
    options,
    old: new RedisStore({ client: nodeRedis, prefix: options.prefix }),
    migrate: (more) => migrateSessions(redis, { ...options, ...more }),
    store: (more) => {
      const store = new SessionStore({ redis: url, prefix: options.to, owner: ownerOf, ...more })
      closeLater(() => store.tokens.quit())
      return store
    }
  }
}

/** A session as express-session hands it to its store. */
function dataOf(user?: unknown, maxAge: number | null = HOUR): Data {
  const expires = maxAge === null ? null : new Date(Date.now() + maxAge)
  const cookie = { originalMaxAge: maxAge, expires, httpOnly: true, path: '/' }
  return { cookie, ...(user === undefined ? {} : { user: { id: user } }) } as Data
}

/** An app whose sessions are in a store, and a browser for it. */
async function appOf(store: Store): Promise<string> {
  const app = express()
  app.use(session({ store, secret: 'x', resave: false, saveUninitialized: false }))
  app.post('/login', (request, response) => {
    const { user, age } = request.query
    Object.assign(request.session, { user: user && { id: user }, visits: 1 })
    if (age) request.session.cookie.maxAge = Number(age)
    response.end()
  })
  app.post('/logout', (request, response, next) => {
    request.session.destroy((error) => (error ? next(error) : response.end()))
  })
  app.get('/', (request, response) => void response.json(request.session))
  const server = createServer(app).listen(0)
  await once(server, 'listening')
  closeLater(async () => server.close().closeAllConnections())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function login(app: string, query: string): Promise<string> {
  const { headers } = await fetch(`${app}/login?${query}`, { method: 'POST' })
  return headers.get('set-cookie')!.split(';')[0]!
}

const look = async (app: string, cookie: string): Promise<Data> =>
  (await (await fetch(app, { headers: { cookie } })).json()) as Data

const sidOf = (cookie: string): string => /s%3A([^.]+)/.exec(cookie)![1]!

test('nobody is logged out: what the browsers have opens the same sessions in the new app', async () => {
  const { redis, at, options, old, store } = await setUp()
  const before = await appOf(old)
  const cookies = [
    await login(before, `user=ann&age=${HOUR}`),
    await login(before, 'user=ann'),
    await login(before, `user=ben&age=${2 * DAY}`),
    await login(before, `age=${HOUR}`)
  ]
  const data = await Promise.all(cookies.map((cookie) => look(before, cookie)))
  const there = await keyspace(redis, at)
  expect(Object.keys(there)).toHaveLength(4)

  const { prefix, to } = options
  const command = ['migrate', '--from', 'connect-redis', '--url', redisUrl(), '--prefix', prefix]
  command.push('--to', to, '--owner', 'user.id')
  const would = `4 sessions of ${prefix} to move to ${to}, 3 of them of 2 owners`
  expect(await cli(command)).toEqual({
    code: 0,
    stdout: `${would}; nothing was written, --apply does that\n`,
    stderr: ''
  })
  expect(await keyspace(redis, at)).toEqual(there)
  expect(await cli([...command, '--apply'])).toEqual({
    code: 0,
    stdout: `4 sessions of ${prefix} moved to ${to}, 3 of them of 2 owners\n`,
    stderr: ''
  })

  const after = await keyspace(redis, at)
  expect(Object.keys(after).filter((name) => name.startsWith(prefix))).toEqual([])
  expect(await audit(redis, to)).toEqual([])
  for (const cookie of cookies) {
    expect(JSON.stringify(after)).not.toContain(sidOf(cookie))
    const end = there[prefix + sidOf(cookie)]!.end
    expect(after[`${to}:key:${digestOf(sidOf(cookie))}`]!.end).toBe(end)
  }
  const sessions = store()
  expect((await sessions.tokens.list('ann')).map(({ attrs }) => (attrs as Data).user)).toEqual([
    { id: 'ann' },
    { id: 'ann' }
  ])
  for await (const { attrs } of sessions.tokens.all())
    expect(attrs.cookie).not.toHaveProperty('expires')
  expect(await sessions.tokens.count('ben')).toBe(1)
  const app = await appOf(sessions)
  for (const [i, cookie] of cookies.entries()) {
    const { cookie: has, ...rest } = await look(app, cookie)
    const { cookie: had, ...kept } = data[i]!
    expect(rest).toEqual(kept)
    expect({ ...has, expires: null }).toEqual({ ...had, expires: null })
  }
  // They go on like any others.
  expect(await sessions.tokens.delOwner('ann')).toBe(2)
  expect(await look(app, cookies[0]!)).not.toHaveProperty('user')
  expect(await look(app, cookies[2]!)).toHaveProperty('user')
})

test('a session ends when it would have, and after its next use by its cookie again', async () => {
  const { redis, options, old, migrate, store } = await setUp()
  const { prefix, to } = options
  await old.set('by-age', dataOf('ann', HOUR))
  await old.set('none', dataOf('ann', null))
  await old.set('longer', dataOf('ann', null))
  await old.set('never', dataOf('ann', HOUR))
  await old.set('never-none', dataOf('ann', null))
  await redis.pexpire(`${prefix}by-age`, 100_000)
  await redis.pexpire(`${prefix}none`, 100_001)
  await redis.pexpire(`${prefix}longer`, 7 * DAY)
  for (const sid of ['never', 'never-none']) await redis.persist(prefix + sid)
  const ends = async (name: (sid: string) => string): Promise<Record<string, number>> => {
    const sids = ['by-age', 'none', 'longer', 'never', 'never-none']
    const all = sids.map(async (sid) => [sid, await redis.pexpiretime(name(sid))] as const)
    return Object.fromEntries(await Promise.all(all))
  }
  const before = await ends((sid) => prefix + sid)
  const from = Date.now()
  await migrate()
  const till = Date.now()
  const name = (sid: string): string => `${to}:key:${digestOf(sid)}`
  const after = await ends(name)
  for (const sid of ['by-age', 'none', 'longer']) expect(after[sid]).toBe(before[sid])
  for (const [sid, lives] of [
    ['never', HOUR],
    ['never-none', DAY]
  ] as const) {
    expect(after[sid]).toBeGreaterThanOrEqual(from + lives)
    expect(after[sid]).toBeLessThanOrEqual(till + lives)
  }
  expect(await audit(redis, to)).toEqual([])

  const sessions = store()
  for (const [sid, lives] of [
    ['by-age', HOUR],
    ['none', DAY],
    ['longer', 7 * DAY]
  ] as const) {
    await redis.pexpire(name(sid), 1000)
    const { expires_at } = (await sessions.tokens.getKey(sid))!
    expect(Math.abs(expires_at! - Date.now() - lives)).toBeLessThan(1000)
  }
})

test('with a ttl sessions end so long after the move, however they are used', async () => {
  const { redis, options, old, migrate, store } = await setUp()
  await old.set('long', dataOf('ann', 7 * DAY))
  await old.set('short', dataOf('ann', HOUR))
  const end = await redis.pexpiretime(`${options.prefix}short`)
  const from = Date.now()
  await migrate({ ttl: DAY / 1000 })
  const till = Date.now()
  expect(await audit(redis, options.to)).toEqual([])
  const { tokens } = store()
  const [long, short] = [(await tokens.getKey('long'))!, (await tokens.getKey('short'))!]
  expect(long.expires_at).toBeGreaterThanOrEqual(from + DAY)
  expect(long.expires_at).toBeLessThanOrEqual(till + DAY)
  expect(short.expires_at).toBe(end)
})

test('a second run finds nothing to do', async () => {
  const { redis, at, options, old, migrate } = await setUp()
  for (const sid of ['one', 'two', 'three']) await old.set(sid, dataOf('ann'))
  await migrate()
  const after = await keyspace(redis, at)
  const { prefix, to } = options
  expect(await migrate()).toEqual([`0 sessions of ${prefix} moved to ${to}, 0 of them of 0 owners`])
  expect(await keyspace(redis, at)).toEqual(after)
})

test('a run that is killed leaves each session here or there, and the next one ends it', async () => {
  const { redis, at, options, migrate } = await setUp()
  const SESSIONS = 2_000
  const { prefix, to } = options
  const write = `for i = 1, ARGV[3] do
    redis.call('SET', ARGV[1] .. ('%032d'):format(i), ARGV[2], 'EX', 3600)
  end`
  await redis.eval(write, 0, prefix, JSON.stringify(dataOf('ann')), SESSIONS)
  const program = `
    const redis = new (require('ioredis').Redis)(${JSON.stringify(redisUrl())})
    const evalsha = redis.evalsha.bind(redis)
    let moves = 0
    redis.evalsha = async (...args) => {
      const outcome = await evalsha(...args)
      if (++moves === ${SESSIONS / 2}) process.kill(process.pid, 'SIGKILL')
      return outcome
    }
    const { migrateSessions } = require('./src/cli/migrate-sessions.ts')
    migrateSessions(redis, ${JSON.stringify(options)})`
  const killed = await run(process.execPath, ['--require', 'tsx/cjs', '--eval', program])
  expect(killed).toMatchObject({ code: -1, stdout: '' })

  const half = await redis.keys(`${at}*`)
  const olds = half.filter((name) => name.startsWith(prefix))
  const moved = half.filter((name) => name.startsWith(`${to}:key:`))
  expect(moved.length).toBeGreaterThanOrEqual(SESSIONS / 2)
  expect(olds.length).toBeGreaterThan(0)
  const nameOf = (sid: string): string => `${to}:key:${digestOf(sid)}`
  const sids = Array.from({ length: SESSIONS }, (_, i) => String(i + 1).padStart(32, '0'))
  const either = [...moved, ...olds.map((name) => nameOf(name.slice(prefix.length)))]
  expect(either.sort()).toEqual(sids.map(nameOf).sort())

  expect(await migrate()).toEqual([
    `${olds.length} sessions of ${prefix} moved to ${to}, ${olds.length} of them of 1 owner`
  ])
  const all = await redis.keys(`${at}*`)
  expect(all.filter((name) => name.startsWith(`${to}:key:`)).sort()).toEqual(either)
  expect(all).toHaveLength(2 * SESSIONS + 1)
  expect(await audit(redis, to)).toEqual([])
})

test('what the old app saves while it is moved is moved as well; what it ends stays ended', async () => {
  const { redis, options, old, migrate, store } = await setUp()
  await old.set('saved', dataOf('ann'))
  await old.set('ended', dataOf('ann'))
  const evalsha = redis.evalsha.bind(redis) as (...args: unknown[]) => Promise<unknown>
  const change = async (): Promise<void> => {
    await old.set('saved', { ...dataOf('ben'), visits: 2 } as Data)
    await old.destroy('ended')
  }
  // Once, before any of them is moved.
  let changed: Promise<void> | undefined
  const moved = jest.spyOn(redis, 'evalsha').mockImplementation(async (...args: unknown[]) => {
    await (changed ??= change())
    return evalsha(...args)
  })
  expect((await migrate())[0]).toMatch(/^1 session of .* 1 of them of 1 owner$/)
  moved.mockRestore()
  const sessions = store()
  expect(await sessions.get('saved')).toMatchObject({ user: { id: 'ben' }, visits: 2 })
  expect(await sessions.get('ended')).toBeNull()
  expect(await audit(redis, options.to)).toEqual([])
})

test('a session that is saved all the time is named, and moved by a later run', async () => {
  const { redis, at, options, old, migrate } = await setUp()
  await old.set('busy-busy-busy-busy-busy', dataOf('ann'))
  const evalsha = redis.evalsha.bind(redis) as (...args: unknown[]) => Promise<unknown>
  let visits = 0
  const moved = jest.spyOn(redis, 'evalsha').mockImplementation(async (...args: unknown[]) => {
    await old.set('busy-busy-busy-busy-busy', { ...dataOf('ann'), visits: ++visits } as Data)
    return evalsha(...args)
  })
  expect((await migrate()).slice(1)).toEqual([
    'left alone, 1:',
    `  ${options.prefix}busy-b...: was written to all the time: run this again`
  ])
  moved.mockRestore()
  expect(Object.keys(await keyspace(redis, at))).toEqual([
    `${options.prefix}busy-busy-busy-busy-busy`
  ])
  expect((await migrate())[0]).toMatch(/^1 session /)
})

test('a session that the old app writes again after its move stays as the new app has it', async () => {
  const { redis, at, options, old, migrate, store } = await setUp()
  await old.set('sid', { ...dataOf('ann'), visits: 1 } as Data)
  await migrate()
  const sessions = store()
  await sessions.set('sid', { ...dataOf('ann'), visits: 2 } as Data)
  const token = await sessions.tokens.getKey('sid')
  await old.set('sid', { ...dataOf('ann'), visits: 1 } as Data)
  const both = await keyspace(redis, at)
  const { prefix, to } = options
  const would = await migrate({ apply: false })
  expect(await keyspace(redis, at)).toEqual(both)
  const lines = await migrate()
  for (const said of [would, lines])
    expect(said[1]).toBe(`1 session already there: only what ${prefix} has is deleted`)
  expect(lines[0]).toBe(`0 sessions of ${prefix} moved to ${to}, 0 of them of 0 owners`)
  delete both[`${prefix}sid`]
  expect(await keyspace(redis, at)).toEqual(both)
  expect(await sessions.tokens.getKey('sid')).toEqual(token)
  expect(await audit(redis, to)).toEqual([])
})

test('a session that was moved and then logged out is not brought back by another run', async () => {
  const { redis, at, old, migrate, store } = await setUp()
  const [before, sessions] = [await appOf(old), store()]
  const cookie = await login(before, `user=ann&age=${HOUR}`)
  await migrate()
  const app = await appOf(sessions)
  await fetch(`${app}/logout`, { method: 'POST', headers: { cookie } })
  await migrate()
  expect(await look(app, cookie)).not.toHaveProperty('user')
  expect(await keyspace(redis, at)).toEqual({})
})

test('logouts in the new app while sessions are moved are not lost', async () => {
  const { redis, at, old, migrate, store } = await setUp()
  const sids = Array.from({ length: 100 }, (_, i) => `sid-${i}`)
  for (const sid of sids) await old.set(sid, dataOf('ann'))
  const { tokens } = store()
  const ended = new Set<string>()
  // Each is ended right after its move, while others are still to be moved.
  const evalsha = redis.evalsha.bind(redis) as (...args: unknown[]) => Promise<unknown>
  const moved = jest.spyOn(redis, 'evalsha').mockImplementation(async (...args: unknown[]) => {
    const outcome = await evalsha(...args)
    const sid = sids.find((each) => String(args[2]).endsWith(`:${each}`))!
    if (await tokens.delKey(sid)) ended.add(sid)
    return outcome
  })
  await migrate()
  moved.mockRestore()
  expect(ended.size).toBe(100)
  await migrate()
  expect(await keyspace(redis, at)).toEqual({})
})

test('a user who comes before his session is moved is logged in again once it is', async () => {
  const { old, migrate, store } = await setUp()
  const cookie = await login(await appOf(old), `user=ann&age=${HOUR}`)
  const app = await appOf(store())
  expect(await look(app, cookie)).not.toHaveProperty('user')
  await migrate()
  expect(await look(app, cookie)).toMatchObject({ user: { id: 'ann' } })
})

test('what is no session is listed and left alone', async () => {
  const { redis, at, options, old, migrate } = await setUp()
  const { prefix, to } = options
  await old.set('good', dataOf('ann'))
  const long = 'x'.repeat(4097)
  const json = (data: object): string => JSON.stringify({ ...dataOf(), ...data })
  const strings: [sid: string, value: string | Buffer, reason: string][] = [
    ['text-of-twenty-five-chars', 'text', 'is not a JSON object'],
    ['list-of-twenty-five-chars', '[1]', 'has no cookie'],
    ['null-of-twenty-five-chars', 'null', 'is not a JSON object'],
    ['pack-of-twenty-five-chars', Buffer.from('82a1ff', 'hex'), 'is not a JSON object'],
    ['bare-of-twenty-five-chars', '{"user":{"id":"ann"}}', 'has no cookie'],
    ['past-of-twenty-five-chars', JSON.stringify(dataOf('ann', -1000)), 'its cookie has ended'],
    [
      'obj--of-twenty-five-chars',
      json({ user: { id: {} } }),
      'its user.id is neither a string nor a number'
    ],
    [
      'true-of-twenty-five-chars',
      json({ user: { id: true } }),
      'its user.id is neither a string nor a number'
    ],
    [
      'half-of-twenty-five-chars',
      json({ user: { id: '\ud800' } }),
      'its user.id is not well-formed'
    ],
    [long, JSON.stringify(dataOf('ann')), 'its sid is empty or too long'],
    ['', JSON.stringify(dataOf('ann')), 'its sid is empty or too long']
  ]
  for (const [sid, value] of strings) await redis.set(prefix + sid, value, 'EX', 3600)
  await redis.hset(`${prefix}hash-of-twenty-five-chars`, 'a', 'b')
  await redis.set(Buffer.concat([Buffer.from(prefix), Buffer.from('ff', 'hex')]), 'x')
  await redis.rpush(`${to}:tokens:eve`, 'x')
  await old.set('eve--of-twenty-five-chars', dataOf('eve'))
  const before = await keyspace(redis, at)

  const lines = await migrate()
  const shown = (sid: string): string => `${prefix}${sid.slice(0, 6)}...`
  const expected = strings.map(([sid, , reason]) => `  ${shown(sid)}: ${reason}`)
  expected.push(
    `  ${shown('hash-o')}: is not a string`,
    `  ${prefix}...: its name is not UTF-8`,
    `  ${shown('eve--o')}: its owner has something else than tokens`
  )
  expect(lines[0]).toMatch(/^1 session of .*, 1 of them of 1 owner$/)
  expect(lines[1]).toBe('left alone, 14:')
  expect(lines.slice(2).sort()).toEqual(expected.sort())
  const after = await keyspace(redis, at)
  for (const name of Object.keys(after))
    if (name.startsWith(`${to}:`) && !name.endsWith(':eve')) delete after[name]
  delete before[`${prefix}good`]
  expect(after).toEqual(before)
})

test('shows of a sid no more than a quarter, and six characters', async () => {
  const { redis, options, migrate } = await setUp()
  const { prefix } = options
  const sids = ['a'.repeat(3), 'b'.repeat(9), 'c'.repeat(24), 'd'.repeat(60)]
  for (const sid of sids) await redis.set(prefix + sid, 'x')
  const rows = ['', 'bb', 'cccccc', 'dddddd'].map((start) => `  ${prefix}${start}...:`)
  const lines = (await migrate()).slice(2)
  expect(lines.map((line) => line.replace(/:[^:]*$/, ':'))).toEqual(rows)
})

test.each<[string, string | undefined, object, string | undefined]>([
  ['a path', 'user.id', { user: { id: 'ann' } }, 'ann'],
  ['a name', 'userId', { userId: 'colons:and *' }, 'colons:and *'],
  ['a number', 'user.id', { user: { id: 7 } }, '7'],
  ['an index', 'accounts.1.id', { accounts: [{ id: 1 }, { id: 'ben' }] }, 'ben'],
  ['no path', undefined, { user: { id: 'ann' } }, undefined],
  ['nothing there', 'user.id', { user: {} }, undefined],
  ['nothing on the way', 'user.id', {}, undefined],
  ['null', 'user.id', { user: { id: null } }, undefined],
  ['null on the way', 'user.id', { user: null }, undefined],
  ['an empty text', 'user.id', { user: { id: '' } }, undefined],
  ['what is inherited', 'user.toString', { user: {} }, undefined],
  ['what a text has', 'user.length', { user: 'ann' }, undefined]
])('the owner by %s', async (_, owner, fields, expected) => {
  const { redis, options, old, migrate, store } = await setUp()
  await old.set('sid', { ...dataOf(), ...fields })
  const owned = expected === undefined ? 0 : 1
  const lines = await migrate({ owner })
  expect(lines).toEqual([
    expect.stringContaining(`, ${owned} of them of ${owned} owner${owned === 1 ? '' : 's'}`)
  ])
  const token = (await store().tokens.getKey('sid'))!
  expect(token.owner_id).toBe(expected ?? token.id)
  expect(await audit(redis, options.to)).toEqual([])
})

test('without a path a session is its owner\u2019s from its first use on, and nobody is warned', async () => {
  const { old, migrate, store } = await setUp()
  const cookie = await login(await appOf(old), `user=ann&age=${HOUR}`)
  await migrate({ owner: undefined })
  const sessions = store({ onPromote: 'refuse' })
  expect(await sessions.tokens.count('ann')).toBe(0)
  expect(await look(await appOf(sessions), cookie)).toMatchObject({ user: { id: 'ann' } })
  expect(await sessions.tokens.count('ann')).toBe(1)
})

test('touches no name of another prefix, and none of the store they move to', async () => {
  const { redis, at, migrate, store } = await setUp()
  const stars = `${at}[a]*?:`
  const other = `${at}axx:`
  for (const prefix of [stars, other])
    await redis.set(`${prefix}sid`, JSON.stringify(dataOf('ann')), 'EX', 3600)
  const before = await keyspace(redis, other)
  expect((await migrate({ prefix: stars }))[0]).toMatch(/^1 session /)
  expect(await keyspace(redis, other)).toEqual(before)

  const own = { prefix: other, to: other.slice(0, -1) }
  await store({ prefix: own.to }).set('there', dataOf('ben'))
  expect(await migrate(own)).toEqual([
    `1 session of ${own.prefix} moved to ${own.to}, 1 of them of 1 owner`
  ])
  expect(await migrate(own)).toHaveLength(1)
  expect(await audit(redis, own.to)).toEqual([])
  const sessions = store({ prefix: own.to })
  for (const sid of ['sid', 'there']) expect(await sessions.get(sid)).not.toBeNull()
})

test('counts a name once that SCAN shows twice', async () => {
  const { redis, at, old, migrate } = await setUp()
  for (let i = 0; i < 5; i++) await old.set(`sid-${i}`, dataOf('ann'))
  const before = await keyspace(redis, at)
  const scan = redis.scan.bind(redis) as (...args: unknown[]) => Promise<[string, string[]]>
  jest.spyOn(redis, 'scan').mockImplementation((async (...args: unknown[]) => {
    const [cursor, names] = await scan(...args)
    // The last page once more.
    if (cursor === '0' && args[0] === '0') return ['0 again', [...names, ...names]]
    return args[0] === '0 again' ? scan('0', ...args.slice(1)) : [cursor, names]
  }) as never)
  expect((await migrate({ apply: false }))[0]).toMatch(/^5 sessions /)
  expect(await keyspace(redis, at)).toEqual(before)
  expect((await migrate())[0]).toMatch(/^5 sessions /)
})

test('fails with what Redis answers, and says nothing is done', async () => {
  const { redis, options, old, migrate } = await setUp()
  await old.set('sid', dataOf('ann'))
  for (const method of ['scan', 'mgetBuffer', 'evalsha', 'script'] as const) {
    const refused = jest.spyOn(redis, method).mockRejectedValueOnce(new Error('NOPERM'))
    await expect(migrate()).rejects.toThrow('NOPERM')
    refused.mockRestore()
  }
  expect(await redis.keys(`${options.prefix}*`)).toHaveLength(1)
})

test('shows its progress on a terminal, and only there', async () => {
  const { old, migrate } = await setUp()
  for (let i = 0; i < 5; i++) await old.set(`sid-${i}`, dataOf('ann'))
  const isTTY = process.stderr.isTTY
  const write = jest.spyOn(process.stderr, 'write').mockReturnValue(true)
  try {
    process.stderr.isTTY = false
    await migrate({ apply: false })
    expect(write.mock.calls).toEqual([])
    process.stderr.isTTY = true
    await migrate()
    expect(write.mock.calls.map(([text]) => text).join('')).toMatch(/\r\[#{30}\] 100 %\n$/)
  } finally {
    process.stderr.isTTY = isTTY
    write.mockRestore()
  }
})

test('a command line that makes no sense does nothing', async () => {
  const { redis, at, old, options, migrate } = await setUp()
  await old.set('sid', dataOf('ann'))
  const before = await keyspace(redis, at)
  const { prefix, to } = options
  await expect(migrate({ idle: NaN })).rejects.toThrow('--idle must be a number of seconds')
  await expect(migrate({ ttl: 0 })).rejects.toThrow('--ttl must be a number of seconds')
  await expect(migrate({ to: `${to}:key` })).rejects.toThrow('prefix must be free of the parts')
  const from = ['--from', 'connect-redis']
  const refused: [string[], string][] = [
    [['--from', 'redis-sessions'], '--from connect-redis, or nothing for tokenstore 0.0.4'],
    [['--owner', 'user.id'], '--owner goes with --from connect-redis'],
    [[...from, '-c'], 'on a cluster the sessions of connect-redis are spread over slots']
  ]
  const results = await Promise.all(
    refused.map(([args]) =>
      cli(['migrate', '--url', redisUrl(), '--prefix', prefix, '--apply', ...args])
    )
  )
  for (const [i, [, stderr]] of refused.entries())
    expect(results[i]).toEqual({ code: 1, stdout: '', stderr: expect.stringContaining(stderr) })
  expect(await keyspace(redis, at)).toEqual(before)
})

test('a server in cluster mode is refused, with the reason', async () => {
  const server = await startRedis(['--cluster-enabled', 'yes'])
  const redis = new Redis(server.url)
  try {
    await redis.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16383)
    await redis.set('warm', 1).catch(() => {})
    const options = { prefix: 'sess:', to: 'token', owner: undefined, idle: DAY / 1000, ttl: null }
    for (const apply of [false, true])
      await expect(migrateSessions(redis, { ...options, apply })).rejects.toThrow('in one step')
  } finally {
    redis.disconnect()
    await server.stop()
  }
})
