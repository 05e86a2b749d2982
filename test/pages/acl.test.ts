import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { Tokenstore } from '../../src/main'
import { scripts } from '../../src/scripts'
import { client, closeAfterAll, evalsha, keyspace, project, timeOf, until } from '../support'
import { commandOf, run } from '../support/programs'
import { conversations, converse } from '../languages/vectors'
import { block } from './page'

// The lines as the page prints them; `token` is the prefix in them.
const lines = block('acl').trim().split('\n')
const users = lines.map(
  (line) => /^ACL SETUSER (\S+) on >(\S+) /.exec(line)!.slice(1, 3) as [string, string]
)
const [app, validator] = users as [[string, string], [string, string]]

let server: RedisServer
let admin: Redis
beforeAll(async () => {
  server = await startRedis()
  admin = client({}, server.url)
  for (const line of lines) await admin.call('ACL', line.split(' ').slice(1))
})
const stores: Tokenstore[] = []
afterAll(() => Promise.all(stores.map((tokens) => tokens.quit())))
closeAfterAll()
afterAll(() => server.stop())
beforeEach(() => admin.flushall())

const as = ([username, password]: [string, string]): Redis =>
  client({ username, password }, server.url)
const open = ([username, password]: [string, string], config = {}): Tokenstore => {
  const tokens = Tokenstore({
    redis: { port: server.port, username, password },
    timeout: 10_000,
    ...config
  })
  stores.push(tokens)
  return tokens
}

/** So much later that a use shows. */
const aMoment = async (): Promise<void> => {
  const from = await timeOf(admin)
  await until(async () => (await timeOf(admin)) > from + 20)
}

const commands = (line: string): string[] =>
  [...line.matchAll(/ \+([a-z|]+)/g)].map(([, command]) => command!)
const called = (names: (keyof typeof scripts)[]): string[] => {
  const calls = names.flatMap((name) => [
    ...scripts[name].lua.matchAll(/redis\.p?call\(\s*'(\w+)'/g)
  ])
  return [...new Set(calls.map(([, command]) => command!.toLowerCase()))]
}
// As SCAN itself, within a script of Redis 7.0, and of newer servers.
const refused = expect.stringMatching(/NOPERM|can't run this command|ACL failure/)
const expectDenied = async (redis: Redis, denied: string[][]): Promise<void> => {
  for (const [command, ...args] of denied) {
    const answer = await redis.call(command!, args).catch((error: Error) => error.message)
    expect(`${command} ${args.join(' ')}: ${String(answer)}`).toMatch(/: NOPERM/)
  }
}

test('the users may call what the scripts call, what sends scripts, and what ioredis needs', () => {
  const sends = ['evalsha', 'eval', 'script|load', 'info', 'ping']
  expect(commands(lines[0]!).sort()).toEqual(
    [...called(Object.keys(scripts) as (keyof typeof scripts)[]), ...sends, 'scan'].sort()
  )
  // The first of these fails, and getkey TOUCH goes on without the others.
  const touch = ['zadd', 'set', 'persist', 'pexpireat', 'zrange']
  const reads = called(['getkey', 'get', 'count', 'gethash']).filter(
    (command) => !touch.includes(command)
  )
  expect(commands(lines[1]!).sort()).toEqual([...reads, ...sends].sort())
})

describe('the application', () => {
  test('every conversation, in ioredis', async () => {
    const redis = as(app)
    for (const [i, { steps }] of conversations.entries())
      await converse(redis, `token:{${i}}`, steps)
  })

  test('every conversation, in Python', async () => {
    const command = commandOf('Python')
    if (!command) return
    const env = {
      REDIS_PORT: String(server.port),
      REDIS_USER: app[0],
      REDISCLI_AUTH: app[1],
      PREFIX: 'token:'
    }
    expect(await run(command, ['test/languages/run.py'], env)).toMatchObject({
      code: 0,
      stderr: ''
    })
  })

  test.each([{}, { partitioned: true, digest: true }])('every method, with %j', async (config) => {
    await admin.script('FLUSH')
    await admin.call('ACL', ['LOG', 'RESET'])
    const tokens = open(app, config)
    const { evicted, ...token } = await tokens.add({
      owner_id: 'ann',
      idle: 600,
      limit: 2,
      onLimit: 'evict'
    })
    expect(evicted).toEqual([])
    expect(await tokens.getKey(token.key)).toEqual(token)
    expect(await tokens.get(token.id)).toMatchObject({ id: token.id })
    expect(await tokens.set(token.id, { a: 1 })).toMatchObject({
      attrs: { a: 1 }
    })
    expect(await tokens.update(token.id, () => ({ b: 1 }))).toMatchObject({
      attrs: { b: 1 }
    })
    expect(await tokens.rotate(token.id, { grace: 60 })).toMatchObject({
      id: token.id
    })
    expect(await tokens.change(token.id, { ttl: 60 })).toMatchObject({ id: token.id })
    expect(await tokens.list('ann')).toMatchObject([{ id: token.id }])
    expect(await tokens.list('ann', { limit: 1 })).toMatchObject({
      tokens: [{ id: token.id }],
      cursor: null
    })
    for await (const one of tokens.each('ann')) expect(one.id).toBe(token.id)
    for await (const one of tokens.all()) expect(one.id).toBe(token.id)
    for await (const owner of tokens.owners()) expect(owner).toBe('ann')
    expect(await tokens.count('ann')).toBe(1)
    expect(await tokens.delKey(token.key)).toBe(true)
    expect(await tokens.del(token.id)).toBe(false)
    const copied = await tokens.add({ owner_id: 'ann', idle: 600 })
    await aMoment()
    await tokens.refresh(copied.key, { grace: null })
    await expect(tokens.refresh(copied.key)).rejects.toMatchObject({ code: 'TSREUSE' })
    const hash = await tokens.makeHash(1, { replaces: 'x' })
    expect(await tokens.getHash(hash)).toBe(1)
    expect(await tokens.takeHash(hash)).toBe(1)
    expect(await tokens.delHash(hash)).toBe(false)
    await tokens.makeHash(1, { owner_id: 'ann' })
    await tokens.add({ owner_id: 'ann' })
    expect(await tokens.delOwner('ann', { hashes: true })).toBe(1)
    const code = await tokens.makeCode('ann', { tries: 2, value: 1 })
    expect(await tokens.tryCode('ann', '')).toEqual({ ok: false, left: 1 })
    expect(await tokens.tryCode('ann', code)).toEqual({ ok: true, value: 1 })
    await tokens.makeCode('ann', { tries: 1 })
    expect(await tokens.tryCode('ann', '')).toEqual({ ok: false, left: 0 })
    await tokens.makeCode('ben')
    await tokens.makeHash(1, { owner_id: 'ben' })
    await tokens.add({ owner_id: 'ben' })
    await tokens.ping()
    expect(await tokens.reset()).toBe(4)
    expect(await keyspace(admin, 'token')).toEqual({})
    // Nothing was refused on the way, and quietly gone without, but the name
    // that ioredis gives itself.
    const log = (await admin.call('ACL', ['LOG'])) as string[][]
    expect(
      log.map((entry) => entry[entry.indexOf('object') + 1]).filter((o) => o !== 'client|setinfo')
    ).toEqual([])
  })

  test('a database other than 0 takes +select, a connection name +client|setname', async () => {
    const rules = lines[0]!.replace(app[0], 'more').split(' ').slice(1)
    await admin.call('ACL', rules)
    const options = {
      username: 'more',
      password: app[1],
      db: 1,
      connectionName: 'web'
    }
    const named = async (): Promise<boolean> =>
      String(await admin.client('LIST')).includes(' name=web ')

    const without = client(options, server.url)
    const errors: string[] = []
    without.on('error', (error: Error) => errors.push(error.message))
    expect(await evalsha(without, 'count', 'token', 'ann')).toBe(0)
    expect(errors).toEqual([expect.stringMatching(/^NOPERM.*'select'/)])
    expect(await named()).toBe(false)

    await admin.call('ACL', [...rules, '+select', '+client|setname'])
    const tokens = open(app, { redis: { ...options, port: server.port } })
    const token = await tokens.add({ owner_id: 'ann' })
    expect(await tokens.getKey(token.key)).toEqual(token)
    expect(await named()).toBe(true)
    expect(await keyspace(admin, '')).toEqual({})
    expect(Object.keys(await keyspace(client({ db: 1 }, server.url), 'token')).length).toBe(3)
  })

  describe('the option cache, and watch(),', () => {
    const [, printed] = /^\| the option `cache`, and `watch\(\)` \| `(.*)` \|$/m.exec(
      readFileSync(join(project, 'lua', 'README.md'), 'utf8')
    )!
    const more = printed!.replaceAll('\\|', '|').split(' ')
    const grant = async (name: string, line: string, rules: string[]): Promise<void> => {
      await admin.call('ACL', [
        ...line
          .replace(/(?<=SETUSER )\S+/, name)
          .split(' ')
          .slice(1),
        ...rules
      ])
    }
    const scripts = async (): Promise<number> => {
      const calls = (await admin.info('commandstats')).matchAll(/^cmdstat_eval\w*:calls=(\d+)/gm)
      return [...calls].reduce((sum, [, n]) => sum + Number(n), 0)
    }
    const isAsked = async (tokens: Tokenstore, key: string): Promise<boolean> => {
      const before = await scripts()
      await tokens.getKey(key)
      return (await scripts()) > before
    }

    test.each([{}, { partitioned: true, digest: true }])('take %j', async (config) => {
      for (const [line, [name, password]] of [
        [lines[0]!, app],
        [lines[1]!, validator]
      ] as const) {
        await admin.call('ACL', ['LOG', 'RESET'])
        await grant(`${name}-told`, line, [...more, '~token:{???}'])
        const tokens = open([`${name}-told`, password], { ...config, cache: true })
        const { id, key } = await open(app, config).add({ owner_id: 'ann', ttl: 100 })
        await until(async () => !(await isAsked(tokens, key)))
        const watcher = await tokens.watch()
        watcher.expect(id)
        const revoked = once(watcher, 'revoked')
        await open(app, config).del(id)
        expect(await revoked).toEqual([id])
        await until(async () => (await tokens.getKey(key)) === null)
        const log = (await admin.call('ACL', ['LOG'])) as string[][]
        expect(
          log
            .map((entry) => entry[entry.indexOf('object') + 1])
            .filter((o) => o !== 'client|setinfo')
        ).toEqual([])
      }
    })

    test.each(more)('are refused without %s, and all else goes on', async (rule) => {
      jest.spyOn(process, 'emitWarning').mockReturnValue()
      await grant(
        'deaf',
        lines[0]!,
        more.filter((other) => other !== rule)
      )
      const tokens = open(['deaf', app[1]], { cache: true })
      await expect(tokens.watch()).rejects.toMatchObject({ code: 'NOPERM' })
      const { key } = await tokens.add({ owner_id: 'ann' })
      for (let i = 0; i < 20; i++) expect(await isAsked(tokens, key)).toBe(true)
    })
  })

  test('without +scan everything but reset, all and owners', async () => {
    await admin.call('ACL', [...lines[0]!.replace(app[0], 'blind').split(' ').slice(1), '-scan'])
    const tokens = open(['blind', app[1]])
    const token = await tokens.add({ owner_id: 'ann' })
    expect(await tokens.list('ann')).toEqual([token])
    const denied = { code: 'NOPERM' }
    await expect(tokens.reset()).rejects.toMatchObject(denied)
    await expect(tokens.all().next()).rejects.toMatchObject(denied)
    await expect(tokens.owners().next()).rejects.toMatchObject(denied)
  })

  test('nothing else', async () => {
    const redis = as(app)
    await admin.set('other', 'x')
    expect(await redis.scan('0')).toEqual(['0', ['other']]) // the name is all it can have
    await expectDenied(redis, [
      ['CONFIG', 'GET', '*'],
      ['CONFIG', 'SET', 'notify-keyspace-events', 'KEA'],
      ['KEYS', '*'],
      ['FLUSHALL'],
      ['FLUSHDB'],
      ['SCRIPT', 'FLUSH'],
      ['SUBSCRIBE', '__keyevent@0__:expired'],
      ['PUBLISH', 'x', 'y'],
      ['MONITOR'],
      ['ACL', 'LIST'],
      ['CLIENT', 'LIST'],
      ['SLOWLOG', 'GET'],
      ['SHUTDOWN'],
      ['STRLEN', 'token:key:x'],
      ['SET', 'other', 'y'],
      ['DEL', 'other'],
      ['MGET', 'tokens'],
      ['EVAL', 'return 1', '1', 'other']
    ])
    await expect(evalsha(redis, 'makehash', 'other', 'x', '1', '1000')).rejects.toThrow('NOPERM')
    await expect(open(app, { prefix: 'session' }).add({ owner_id: 'ann' })).rejects.toMatchObject({
      code: 'NOPERM'
    })
    expect(await keyspace(admin, '')).toEqual({
      other: { type: 'string', value: 'x', end: null }
    })
  })
})

describe('the validator', () => {
  test('the reading part of every conversation', async () => {
    const READS = ['getkey', 'get', 'count', 'gethash']
    const redis = as(validator)
    let calls = 0
    for (const { steps } of conversations) {
      await admin.flushall() // on the one root that is the prefix
      await converse(admin, 'token', steps, (call, runBy) => {
        // A use that moves a token's end is not the validator's.
        const reads = READS.includes(call.call) && !JSON.stringify(call.reply).includes('"after"')
        if (reads) calls++
        return runBy(reads ? redis : admin)
      })
    }
    expect(calls).toBeGreaterThan(60)
  })

  test('its methods, and a use that is not noted', async () => {
    const owner = open(app)
    const tokens = open(validator)
    const plain = await owner.add({ owner_id: 'ann' })
    const idle = await owner.add({ owner_id: 'ann', idle: 600, ttl: null })
    const hash = await owner.makeHash('x')
    const before = await keyspace(admin, '')
    await aMoment()
    expect(await tokens.getKey(plain.key)).toEqual(plain)
    expect(await open(validator, { batch: false }).getKey(idle.key)).toEqual(idle)
    expect(await tokens.getKey(idle.key, { touch: false })).toEqual(idle)
    expect(await tokens.get(idle.id)).toEqual(idle)
    expect(await tokens.count('ann')).toBe(2)
    expect(await tokens.getHash(hash)).toBe('x')
    expect(await tokens.getKey('unknown')).toBeNull()
    await tokens.ping()
    expect(await keyspace(admin, '')).toEqual(before)
  })

  test('with two commands more it lists, and leaves what it may not drop', async () => {
    const rules = lines[1]!.replace(validator[0], 'lister').split(' ').slice(1)
    await admin.call('ACL', [...rules, '+zcard', '+zrange'])
    const owner = open(app)
    const tokens = open(['lister', validator[1]])
    const [token, evicted] = [
      await owner.add({ owner_id: 'ann' }),
      await owner.add({ owner_id: 'ann' })
    ]
    await admin.del(`token:key:${evicted.key}`)
    const before = await keyspace(admin, '')
    expect(await tokens.list('ann')).toEqual([token])
    expect(await keyspace(admin, '')).toEqual(before)
  })

  test('a use of a token whose every use counts is not noted either', async () => {
    const key = 'k'.repeat(24)
    await evalsha(
      admin,
      'add',
      'token',
      key,
      '0192f0a1-0000-7000-8000-000000000001',
      'ann',
      '{}',
      'IDLE',
      60000,
      'EVERY',
      1
    )
    const before = await keyspace(admin, '')
    const { end } = before[`token:key:${key}`]!
    const use = ['getkey', 'token', 'TOUCH', key] as const
    await aMoment()
    const [, answered] = (await evalsha(as(validator), ...use)) as [string, number]
    expect(answered).toBe(end)
    expect(await keyspace(admin, '')).toEqual(before)
    const [, moved] = (await evalsha(as(app), ...use)) as [string, number]
    expect(moved).toBeGreaterThan(end!)
  })

  test('nothing that writes, and nothing else', async () => {
    const owner = open(app)
    const tokens = open(validator)
    const token = await owner.add({ owner_id: 'ann' })
    const hash = await owner.makeHash('x', { owner_id: 'ann' })
    const code = await owner.makeCode('ann')
    const before = Object.entries(await keyspace(admin, '')).map(([name, { value }]) => [
      name,
      value
    ])
    const writes: (() => Promise<unknown>)[] = [
      () => tokens.add({ owner_id: 'ann' }),
      () => tokens.set(token.id, {}),
      () => tokens.del(token.id),
      () => tokens.delKey(token.key),
      () => tokens.delOwner('ann'),
      () => tokens.rotate(token.id),
      () => tokens.refresh(token.key),
      () => tokens.change(token.id, { ttl: 60 }),
      () => tokens.delOwner('ann', { hashes: true }),
      () => tokens.makeCode('ann'),
      () => tokens.tryCode('ann', code),
      () => tokens.makeHash('y'),
      () => tokens.takeHash(hash),
      () => tokens.delHash(hash),
      () => tokens.reset()
    ]
    for (const write of writes) await expect(write()).rejects.toMatchObject({ message: refused })
    await expectDenied(as(validator), [
      ['SET', `token:key:${token.key}`, 'x'],
      ['DEL', `token:key:${token.key}`],
      ['SET', 'token', 'x'],
      ['EXPIRE', `token:key:${token.key}`, '1'],
      ['SCAN', '0'],
      ['KEYS', '*'],
      ['CONFIG', 'GET', '*'],
      ['FLUSHALL'],
      ['SCRIPT', 'FLUSH'],
      ['MGET', 'other']
    ])
    const after = Object.entries(await keyspace(admin, '')).map(([name, { value }]) => [
      name,
      value
    ])
    expect(after).toEqual(before)
  })

  test('of a partitioned store, with the pattern of its roots', async () => {
    const partitioned = { partitioned: true }
    const owner = open(app, partitioned)
    const token = await owner.add({ owner_id: 'ann', idle: 600 })
    const hash = await owner.makeHash('x')
    await expect(open(validator, partitioned).getKey(token.key)).rejects.toMatchObject({
      code: 'NOPERM'
    })

    const rules = [...lines[1]!.replace(validator[0], 'roots').split(' ').slice(1), '~token:{???}']
    await admin.call('ACL', rules)
    const tokens = open(['roots', validator[1]], partitioned)
    const before = await keyspace(admin, '')
    expect(await tokens.getKey(token.key)).toEqual(token)
    expect(await tokens.get(token.id)).toEqual(token)
    expect(await tokens.count('ann')).toBe(1)
    expect(await tokens.getHash(hash)).toBe('x')
    for (const write of [
      () => tokens.add({ owner_id: 'ann' }),
      () => tokens.set(token.id, {}),
      () => tokens.del(token.id),
      () => tokens.takeHash(hash)
    ]) {
      await expect(write()).rejects.toMatchObject({ message: refused })
    }
    expect(Object.keys(await keyspace(admin, ''))).toEqual(Object.keys(before))
    expect(await owner.get(token.id)).toEqual(token)
  })

  test('with EVALSHA_RO no name needs to be open for writing', async () => {
    const only = lines[1]!
      .replace('~token %R~', '%R~token %R~')
      .replace('+evalsha +eval', '+evalsha_ro +eval_ro')
    await admin.call('ACL', only.replace(validator[0], 'readonly').split(' ').slice(1))
    const redis = as(['readonly', validator[1]])
    const token = await open(app).add({ owner_id: 'ann' })
    const { sha1 } = scripts.getkey
    expect(await redis.call('EVALSHA_RO', [sha1, '1', 'token', 'PEEK', token.key])).toEqual([
      await admin.get(`token:key:${token.key}`),
      0
    ])
    await expectDenied(redis, [['EVALSHA', sha1, '1', 'token', 'PEEK', token.key]])
  })
})
