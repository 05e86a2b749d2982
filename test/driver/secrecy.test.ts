import { createHash, randomInt } from 'node:crypto'
import { inspect } from 'node:util'
import uid2 from 'uid2'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { api, Tokenstore } from '../../src/main'
import type { Config } from '../../src/types'
import { closeAfterAll, freshPrefix, until } from '../support'
import { closeAfterEach, later, open as openWith, own, server } from './opened'
import { run } from './run'

closeAfterAll()
closeAfterEach()

const open = (config: Config): Tokenstore => openWith({ timeout: 10_000, ...config })

/** What must be found nowhere: a secret, or what Redis holds for it. */
interface Secrets {
  key: string
  hash: string
  code: string
  attrs: { secret: string }
  owner_id: string
  id: string
  replaces: string
}

const secretsOf = (id: string): Secrets => ({
  key: uid2(24),
  hash: uid2(8),
  code: String(randomInt(1e12)).padStart(12, '7'),
  attrs: { secret: `attrs-${uid2(20)}` },
  owner_id: `owner-${uid2(20)}`,
  id,
  replaces: `name-${uid2(20)}`
})

/**
 * Every method with those secrets; `update` also with the secret in what it
 * writes.
 */
function everyCall(tokens: Tokenstore, secrets: Secrets): Record<string, () => Promise<unknown>> {
  const { key, hash, code, attrs, owner_id, id, replaces } = secrets
  return {
    add: () => tokens.add({ owner_id, attrs, key, id }),
    addLimited: () =>
      tokens.add({
        owner_id,
        attrs,
        ttl: 60,
        idle: 50,
        limit: 5,
        onLimit: 'evict'
      }),
    getKey: () => tokens.getKey(key),
    getKeys: () =>
      Promise.all([tokens.getKey(key), tokens.getKey(key), tokens.getKey(key, { touch: false })]),
    get: () => tokens.get(id),
    set: () => tokens.set(id, attrs),
    setFrom: () => tokens.set(id, attrs, { from: attrs }),
    update: () => tokens.update(id, () => attrs),
    change: () => tokens.change(id, { owner_id, attrs, limit: 5, onLimit: 'evict', from: attrs }),
    refresh: () => tokens.refresh(key, { grace: 5 }),
    delKey: () => tokens.delKey(key),
    del: () => tokens.del(id),
    delOwner: () => tokens.delOwner(owner_id, { except: id, hashes: true }),
    list: () => tokens.list(owner_id),
    page: () => tokens.list(owner_id, { limit: 5 }),
    each: () => tokens.each(owner_id).next(),
    count: () => tokens.count(owner_id),
    all: () => tokens.all().next(),
    owners: () => tokens.owners().next(),
    rotate: () => tokens.rotate(id, { grace: 5, key }),
    makeHash: () => tokens.makeHash(attrs, { replaces, owner_id }),
    makeCode: () => tokens.makeCode(replaces, { value: attrs }),
    tryCode: () => tokens.tryCode(replaces, code),
    getHash: () => tokens.getHash(hash),
    takeHash: () => tokens.takeHash(hash),
    delHash: () => tokens.delHash(hash)
  }
}

const SOME_ID = '0190a0b0-0000-7000-8000-000000000001'

/** What an error shows, at any depth and by any way. */
function shown(error: unknown): string {
  const { stack, message } = error as Error
  const all = inspect(error, {
    depth: Infinity,
    showHidden: true,
    maxStringLength: null,
    maxArrayLength: null
  })
  return [all, stack, message, String(error), JSON.stringify(error), inspect(error)].join('\n')
}

function expectNoSecret(error: unknown, secrets: Secrets): void {
  expect(error).toBeInstanceOf(Error)
  const text = shown(error)
  const { key, hash, code, attrs, owner_id, replaces } = secrets
  for (const [what, secret] of Object.entries({
    key,
    hash,
    code,
    'code with its name': `${replaces}:${code}`,
    attrs: attrs.secret,
    owner_id,
    replaces
  })) {
    const digest = createHash('sha256').update(secret).digest('base64url')
    if (text.includes(secret) || text.includes(digest))
      throw new Error(`holds the ${what}:\n${text}`)
  }
}

/**
 * The errors of all calls, of which the named ones must fail; none holds a
 * secret, nor has a cause or command.
 */
async function failures(
  tokens: Tokenstore,
  secrets: Secrets,
  mustFail: 'all' | string[] = 'all'
): Promise<Record<string, Error>> {
  const failed: Record<string, Error> = {}
  for (const [name, call] of Object.entries(everyCall(tokens, secrets))) {
    await call().catch((error: Error) => (failed[name] = error))
  }
  for (const error of Object.values(failed)) {
    expectNoSecret(error, secrets)
    expect(Object.getOwnPropertyNames(error).sort()).toEqual(['code', 'message', 'name', 'stack'])
  }
  expect(Object.keys(failed)).toEqual(
    expect.arrayContaining(mustFail === 'all' ? Object.keys(everyCall(tokens, secrets)) : mustFail)
  )
  return failed
}

const codes = (failed: Record<string, Error>): string[] => [
  ...new Set(Object.values(failed).map((error) => (error as Error & { code: string }).code))
]

describe.each([false, true])(
  'no error holds a key, a hash, a code, attrs or owner, with digest: %s',
  (digest) => {
    let redis: RedisServer
    beforeAll(async () => {
      redis = await startRedis()
    })
    afterAll(() => redis.stop())

    test('the control: an error of ioredis does, so that a leak would be seen', async () => {
      const secrets = secretsOf(SOME_ID)
      const error: unknown = await own(redis.port)
        .call('GET', secrets.key, 'extra')
        .catch((error: unknown) => error)
      expect(() => expectNoSecret(error, secrets)).toThrow('holds the key')
      await expect(async () =>
        expectNoSecret(new Error(`x ${secrets.owner_id}`), secrets)
      ).rejects.toThrow('owner_id')
    })

    test('a key that is taken, a limit, a conflict', async () => {
      const tokens = open({ redis: redis.url, digest })
      const secrets = secretsOf(SOME_ID)
      const { key, owner_id, attrs } = secrets
      await tokens.add({ key, owner_id, attrs })
      const errors = await Promise.all(
        [
          () => tokens.add({ key, owner_id, attrs }),
          () => tokens.add({ owner_id, attrs, limit: 1 }),
          async () => {
            const { id } = await tokens.add({ owner_id, attrs })
            let n = 0
            return tokens.update(id, async () => {
              await tokens.set(id, { ...attrs, n: n++ })
              return attrs
            })
          },
          async () => {
            const { id } = await tokens.add({ owner_id, attrs: { ...attrs, n: 1 } })
            return tokens.set(id, attrs, { from: attrs })
          },
          async () => {
            const { id } = await tokens.add({ owner_id, attrs: { ...attrs, n: 1 } })
            return tokens.change(id, { owner_id, from: attrs })
          }
        ].map((call) =>
          call().then(
            () => expect('it').toBe('to fail'),
            (error: unknown) => error
          )
        )
      )
      expect(errors.map((error) => (error as { code: string }).code)).toEqual([
        'TSKEYTAKEN',
        'TSLIMIT',
        'TSCONFLICT',
        'TSCONFLICT',
        'TSCONFLICT'
      ])
      for (const error of errors) expectNoSecret(error, secrets)
    })

    test('a key that is used again tells of its token, and an owner elsewhere of nobody', async () => {
      const tokens = open({ redis: redis.url, digest })
      const { owner_id, ...secrets } = secretsOf(SOME_ID)
      const { key, attrs } = secrets
      const { id } = await tokens.add({ key, owner_id, attrs })
      await tokens.refresh(key, { grace: null })
      const reuse: unknown = await tokens.refresh(key).catch((error: unknown) => error)
      expect(reuse).toMatchObject({ code: 'TSREUSE', id, owner_id })
      expectNoSecret(reuse, { ...secrets, owner_id: 'of whom it tells' })
      const names = ['code', 'id', 'message', 'name', 'owner_id', 'stack']
      expect(Object.getOwnPropertyNames(reuse).sort()).toEqual(names)
      expect(String((reuse as Error).stack)).not.toContain(owner_id)

      const spread = open({ redis: redis.url, digest, partitioned: true })
      const token = await spread.add({ owner_id: 'user-7' })
      const elsewhere: unknown = await spread
        .change(token.id, { owner_id, attrs })
        .catch((error: unknown) => error)
      expect(elsewhere).toMatchObject({ code: 'TSPARTITION' })
      expectNoSecret(elsewhere, { ...secrets, owner_id })
    })

    test('data of another layout or type, and data that is not JSON', async () => {
      const prefix = freshPrefix()
      const tokens = open({ redis: redis.url, digest, prefix })
      const secrets = secretsOf(SOME_ID)
      const admin = own(redis.port)
      const { key, hash, attrs, owner_id, id, replaces } = secrets
      const held = (secret: string): string =>
        digest ? createHash('sha256').update(secret).digest('base64url') : secret
      await admin.sadd(`${prefix}:key:${held(key)}`, key)
      await admin.set(`${prefix}:id:${id}`, held(key))
      await admin.sadd(`${prefix}:tokens:${owner_id}`, id)
      await admin.sadd(`${prefix}:hash:${held(hash)}`, hash)
      await admin.sadd(`${prefix}:latest:${replaces}`, hash)
      await admin.sadd(`${prefix}:code:${replaces}`, hash)
      // To getKey what is no text is not there, delHash deletes whatever is, walks pass it over.
      const some = Object.keys(everyCall(tokens, secrets)).filter(
        (name) => !['getKey', 'getKeys', 'delHash', 'all', 'owners'].includes(name)
      )
      expect(codes(await failures(tokens, secrets, some))).toEqual(['TSRECORD'])

      // Whole for a script, which parses neither, but not for the driver.
      await admin.del(
        `${prefix}:key:${held(key)}`,
        `${prefix}:tokens:${owner_id}`,
        `${prefix}:hash:${held(hash)}`
      )
      const text = `{"id":"${id}","owner_id":"${owner_id}","attrs":{"secret":${attrs.secret}}}`
      await admin.set(`${prefix}:key:${held(key)}`, text)
      await admin.zadd(`${prefix}:tokens:${owner_id}`, 'inf', id)
      await admin.set(`${prefix}:hash:${held(hash)}`, `[${attrs.secret}]`)
      for (const call of [
        () => tokens.list(owner_id),
        () => tokens.list(owner_id, {}),
        () => tokens.update(id, () => ({}))
      ]) {
        const error: unknown = await call().catch((error: unknown) => error)
        expect(error).toMatchObject({ code: 'TSRECORD' })
        expectNoSecret(error, secrets)
      }
      expect(
        codes(await failures(tokens, secrets, ['add', 'getKey', 'getKeys', 'get', 'getHash']))
      ).toEqual(['TSRECORD'])
    })

    test('a user without permission: for the scripts, or for the names', async () => {
      const admin = own(redis.port)
      await admin.call('ACL', 'SETUSER', 'noscripts', 'on', '>pass', '~*', '+@all', '-@scripting')
      await admin.call('ACL', 'SETUSER', 'nonames', 'on', '>pass', '~other:*', '+@all')
      await admin.call(
        'ACL',
        'SETUSER',
        'nowrites',
        'on',
        '>pass',
        '~*',
        '+@all',
        '-set',
        '-zadd',
        '-del',
        '-zrem'
      )
      for (const username of ['noscripts', 'nonames', 'nowrites']) {
        const url = redis.url.replace('//', `//${username}:pass@`)
        const secrets = secretsOf(SOME_ID)
        const failed = await failures(
          open({ redis: url, digest }),
          secrets,
          username === 'nowrites' ? ['add', 'makeHash'] : 'all'
        )
        for (const code of codes(failed)) expect(code).toMatch(/^(NOPERM|ERR)$/)
        const batched = await Promise.allSettled(
          [1, 2, 3].map(() =>
            open({
              redis: own(redis.port, { username, password: 'pass' }),
              digest
            }).getKey(secrets.key)
          )
        )
        for (const result of batched)
          if (result.status === 'rejected') expectNoSecret(result.reason, secrets)
      }
    })

    test('a server that is full', async () => {
      const { url, port } = await server('--maxmemory-policy', 'noeviction')
      const secrets = secretsOf(SOME_ID)
      await own(port).config('SET', 'maxmemory', '1')
      const failed = await failures(open({ redis: url, digest }), secrets, [
        'add',
        'addLimited',
        'makeHash',
        'makeCode'
      ])
      expect(codes(failed)).toEqual(['TSUNAVAILABLE'])
    })

    test.each([
      ['EVALSHA', ['EVALSHA']],
      ['EVAL', ['EVAL']],
      ['both', ['EVAL', 'EVALSHA']]
    ])('a server that knows no such command: %s', async (_name, commands) => {
      const { url } = await server(
        ...commands.flatMap((command) => ['--rename-command', command, ''])
      )
      const secrets = secretsOf(SOME_ID)
      const tokens = open({ redis: url, digest })
      // The first use of a script on a connection is EVAL, the later ones
      // EVALSHA.
      const failed = [await failures(tokens, secrets, []), await failures(tokens, secrets, [])]
      const all = failed.flatMap((each) => Object.values(each))
      expect(all.length).toBeGreaterThan(10)
      for (const error of all) expect(error.message).toMatch(/unknown command/i)
    })

    test('a hung server, a lost connection, no connection, and a store that is closed', async () => {
      const { url, pid, stop } = await server()
      const secrets = secretsOf(SOME_ID)
      const tokens = open({ redis: url, digest, timeout: 30 })
      const shared = open({
        redis: own(Number(new URL(url).port), { maxRetriesPerRequest: 0 }),
        digest,
        timeout: 30
      })
      await until(() =>
        tokens.count('a').then(
          () => true,
          () => false
        )
      )
      await until(() =>
        shared.count('a').then(
          () => true,
          () => false
        )
      )
      process.kill(pid, 'SIGSTOP')
      for (const store of [tokens, shared]) {
        expect(codes(await failures(store, secrets))).toEqual(['TSUNAVAILABLE'])
      }
      process.kill(pid, 'SIGCONT')
      await until(() =>
        tokens.count('a').then(
          () => true,
          () => false
        )
      )
      process.kill(pid, 'SIGSTOP')
      const patient = open({ redis: url, digest })
      const lost = [tokens, shared, patient].flatMap((store) =>
        Object.values(everyCall(store, secrets)).map((call) =>
          call().catch((error: unknown) => error)
        )
      )
      await stop()
      for (const error of await Promise.all(
        lost.slice(0, -Object.keys(everyCall(patient, secrets)).length)
      ))
        expectNoSecret(error, secrets)
      await patient.quit()
      for (const error of await Promise.all(lost)) expectNoSecret(error, secrets)
      for (const store of [tokens, shared])
        expect(codes(await failures(store, secrets))).toEqual(['TSUNAVAILABLE'])
      expect(codes(await failures(patient, secrets))).toEqual(['TSCLOSED'])
    })

    test('a password in the URL', async () => {
      const secret = uid2(20)
      const url = redis.url.replace('//', `//user-${secret}:pass-${secret}@`)
      const error: unknown = await open({ redis: url, digest, timeout: 200 })
        .count('a')
        .catch((error: unknown) => error)
      expect((error as { code: string }).code).toBe('TSUNAVAILABLE')
      expect(shown(error)).not.toContain(secret)
    })

    test('wrong arguments', async () => {
      const tokens = open({ redis: redis.url, digest })
      const secrets = secretsOf(SOME_ID)
      const { key, attrs, owner_id, hash, code, replaces } = secrets
      // The names of properties are shown, what they hold is not.
      const tooLong = key.repeat(200)
      const cycle: Record<string, unknown> = { attrs }
      cycle['again'] = [attrs.secret, cycle]
      const throwing = {
        get a() {
          throw new Error(attrs.secret)
        }
      }
      const wrong: (() => unknown)[] = [
        () => tokens.add({ owner_id, key: tooLong }),
        () => tokens.add({ owner_id, key: [key] } as never),
        () => tokens.add({ owner_id, [key]: key }),
        () => tokens.add({ owner_id, attrs: cycle }),
        () => tokens.add({ owner_id, attrs: throwing }),
        () => tokens.add({ owner_id, attrs: attrs.secret } as never),
        () => tokens.add({ owner_id, attrs: { a: attrs.secret, b: 1n } }),
        () => tokens.add({ owner_id, attrs: { a: Symbol('a'), b: attrs } }),
        () => tokens.add({ owner_id, attrs: { a: new Map([[attrs.secret, attrs]]) } }),
        () => tokens.add({ owner_id, attrs: { a: new Error(attrs.secret) } }),
        () => tokens.add({ owner_id: [owner_id] } as never),
        () => tokens.add({ owner_id: `${owner_id}\ud800` }),
        () => tokens.add({ owner_id, id: key }),
        () => tokens.add(owner_id as never),
        () => tokens.getKey(key, { [key]: true } as never),
        () => tokens.get({ key } as never),
        () => tokens.set(SOME_ID, attrs.secret as never),
        () => tokens.set(SOME_ID, cycle),
        () => tokens.set(SOME_ID, {}, { from: cycle }),
        () => tokens.set(SOME_ID, {}, { from: attrs.secret } as never),
        () => tokens.change(SOME_ID, { owner_id: [owner_id] } as never),
        () => tokens.change(SOME_ID, { [owner_id]: owner_id } as never),
        () => tokens.change(SOME_ID, { owner_id, attrs: cycle }),
        () => tokens.change(SOME_ID, { owner_id, from: cycle }),
        () => tokens.change(SOME_ID, { owner_id, onLimit: key } as never),
        () => tokens.refresh(key, { [key]: 1 } as never),
        () => tokens.refresh(key, { grace: key } as never),
        () => tokens.rotate(SOME_ID, { key: tooLong }),
        () => tokens.makeCode(replaces, { value: cycle }),
        () => tokens.makeCode(replaces, { [replaces]: 1 } as never),
        () => tokens.makeCode(`${replaces}\ud800`),
        () => tokens.tryCode(replaces, code, { [code]: 1 } as never),
        () => tokens.tryCode(replaces, code, { replicas: code } as never),
        () => tokens.delOwner(owner_id, { except: [key] } as never),
        () => tokens.delOwner(owner_id, { hashes: hash } as never),
        () => tokens.list(owner_id, { cursor: key }),
        () => tokens.makeHash(cycle),
        () => tokens.makeHash(attrs, { replaces: [replaces] } as never),
        () => tokens.makeHash(attrs, { [replaces]: 1 } as never),
        () => tokens.takeHash(hash, { [hash]: 1 } as never)
      ]
      for (const call of wrong) {
        const error: unknown = await Promise.resolve()
          .then(call)
          .catch((error: unknown) => error)
        expect(error).toBeInstanceOf(TypeError)
        expectNoSecret(error, secrets)
      }
      for (const make of [
        () => Tokenstore({ [key]: 1 } as never),
        () => Tokenstore({ redis: `http://${key}` }),
        () => Tokenstore({ redis: { url: key } as object }),
        () => Tokenstore({ redis: { keyPrefix: `${key}:key:` }, prefix: key })
      ]) {
        let error: unknown
        try {
          make()
        } catch (thrown) {
          error = thrown
        }
        expectNoSecret(error, secrets)
      }
    })

    test('the facade', async () => {
      const secrets = secretsOf(SOME_ID)
      const { key, owner_id, attrs, hash } = secrets
      const tokens = api({
        redis: redis.url,
        digest,
        prefix: freshPrefix(),
        timeout: 10_000
      })
      later(() => new Promise((resolve) => tokens.quit(resolve)))
      const call = (make: (done: (error: Error | null) => void) => void): Promise<unknown> =>
        new Promise((resolve) => make(resolve))
      await call((done) => tokens.add({ owner_id, attrs, key }, done))
      expectNoSecret(await call((done) => tokens.add({ owner_id, attrs, key }, done)), secrets)
      expectNoSecret(
        await call((done) => tokens.add({ owner_id, attrs, key: key.repeat(200) }, done)),
        secrets
      )
      expectNoSecret(await call((done) => tokens.makeHash([hash, NaN], done)), secrets)
    })
  }
)

test('nothing is printed, whatever fails', async () => {
  const { port, pid } = await server()
  const { key, hash, code, attrs, owner_id } = secretsOf(SOME_ID)
  const admin = own(port)
  const running = run(`
    const options = { host: '127.0.0.1', port: ${port}, retryStrategy: () => 20 }
    const shared = new Redis(options).on('error', () => {})
    const stores = [
      Tokenstore({ redis: options, timeout: 100 }),
      Tokenstore({ redis: shared, timeout: 100, digest: true })
    ]
    const over = new Redis(options).on('error', () => {})
    while (!(await over.exists('over').catch(() => false))) {
      await Promise.allSettled(stores.flatMap((tokens) => [
        tokens.add({ owner_id: '${owner_id}', attrs: { a: '${attrs.secret}' }, key: '${key}' }),
        tokens.add({ owner_id: '${owner_id}', limit: 1 }),
        tokens.add({ owner_id: 7, attrs: { a: 1n } }),
        tokens.getKey('${key}'),
        tokens.makeHash({ a: '${attrs.secret}' }, { replaces: '${owner_id}' }),
        tokens.takeHash('${hash}'),
        tokens.refresh('${key}', { grace: null }),
        tokens.makeCode('${owner_id}', { value: '${attrs.secret}' }),
        tokens.tryCode('${owner_id}', '${code}'),
        tokens.delOwner('${owner_id}'),
        new Promise((resolve) => tokens.getKey('${key}', resolve))
      ]))
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    for (const tokens of stores) await tokens.quit()
    shared.disconnect()
    over.disconnect()`)
  await until(async () => (await admin.keys('*')).length > 0, 30_000)
  await admin.config('SET', 'maxmemory', '1')
  await new Promise((resolve) => setTimeout(resolve, 200))
  process.kill(pid, 'SIGSTOP')
  await new Promise((resolve) => setTimeout(resolve, 300))
  process.kill(pid, 'SIGCONT')
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await new Promise((resolve) => setTimeout(resolve, 300))
  await admin.config('SET', 'maxmemory', '0')
  await admin.set('over', '')
  expect(await running).toEqual({ stdout: '', stderr: '', code: 0 })
})
