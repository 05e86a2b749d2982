import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { Store } from '../../src/store'
import { ReuseError, Tokenstore } from '../../src/main'
import type { Token } from '../../src/types'
import { freshPrefix, keyspace } from '../support'
import { topology } from '../methods/support'
import { monitor, type Monitor } from './monitor'

// What would show a key: every command and what its script calls (MONITOR), the
// slow log with all commands in it, the names and values, and the files,
// uncompressed.
const showsAll = [
  ...['--appendonly', 'yes', '--appendfsync', 'no', '--auto-aof-rewrite-percentage', '0'],
  ...['--slowlog-log-slower-than', '0', '--slowlog-max-len', '100000'],
  ...['--dbfilename', 'dump.rdb', '--rdbcompression', 'no', '--save', '']
]

interface Watched {
  server: RedisServer
  watch: Monitor
  redis: Redis
  stop(): Promise<void>
}

async function watched(): Promise<Watched> {
  const server = await startRedis(showsAll)
  const watch = await monitor(server.url)
  const redis = new Redis(server.url)
  const stop = async (): Promise<void> => {
    watch.close()
    redis.disconnect()
    await server.stop()
  }
  return { server, watch, redis, stop }
}

/** Everything Redis shows, by place. */
async function placesOf({ server, watch, redis }: Watched): Promise<Record<string, string>> {
  await redis.save()
  const file = (path: string): string =>
    statSync(path).isDirectory()
      ? readdirSync(path)
          .map((name) => file(join(path, name)))
          .join('\n')
      : readFileSync(path, 'latin1')
  const files = readdirSync(server.dir).filter((name) => !name.endsWith('.log'))
  expect(files).toContain('dump.rdb')
  const places: Record<string, string> = {
    MONITOR: (await watch.everything()).join('\n'),
    SLOWLOG: JSON.stringify(await redis.slowlog('GET', 100000)),
    // What lies under them is in the RDB.
    names: (await redis.keys('*')).join('\n'),
    RDB: file(join(server.dir, 'dump.rdb')),
    log: readFileSync(join(server.dir, 'redis.log'), 'latin1')
  }
  places['AOF'] = files
    .filter((name) => name !== 'dump.rdb')
    .map((name) => file(join(server.dir, name)))
    .join('\n')
  return places
}

/**
 * Which of the secrets a text holds. Both are many, so most places are ruled
 * out by their first four characters.
 */
function foundIn(text: string, secrets: Set<string>): string[] {
  const bytes = Buffer.from(text, 'latin1')
  const startAt = (from: Buffer, at: number): number =>
    (from[at]! & 63) |
    ((from[at + 1]! & 63) << 6) |
    ((from[at + 2]! & 63) << 12) |
    ((from[at + 3]! & 63) << 18)
  const starts = new Uint8Array(2 ** 24)
  for (const secret of secrets) starts[startAt(Buffer.from(secret), 0)] = 1
  const lengths = [...new Set([...secrets].map((secret) => secret.length))]
  const found = new Set<string>()
  for (let at = 0; at + 4 <= bytes.length; at++) {
    if (starts[startAt(bytes, at)] === 0) continue
    for (const length of lengths) {
      const part = bytes.toString('latin1', at, at + length)
      if (secrets.has(part)) found.add(part)
    }
  }
  return [...found]
}

const digestOf = (secret: string): string => createHash('sha256').update(secret).digest('base64url')

describe('a day of a store', () => {
  /**
   * Uses every method and answers all keys and hashes, of which some end and some stay, and
   * all codes.
   */
  async function day(tokens: Tokenstore): Promise<{ secrets: string[]; codes: string[] }> {
    const secrets: string[] = []
    const codes: string[] = []
    const keep = <T extends { key: string }>(token: T | null): T => {
      secrets.push(token!.key)
      return token!
    }
    for (const life of [{}, { ttl: 100 }, { idle: 100 }]) {
      const token = keep(
        await tokens.add({
          owner_id: 'user-7',
          attrs: { device: 'phone' },
          ...life
        })
      )
      await tokens.getKey(token.key)
      await tokens.set(token.id, { a: 1 })
      await tokens.update(token.id, () => ({ a: 2 }))
      const rotated = keep(await tokens.rotate(token.id, { grace: 100 }))
      await Promise.all([token, rotated].map(({ key }) => tokens.getKey(key)))
      await tokens.change(token.id, { owner_id: 'user-9', attrs: { a: 3 } })
      const { key } = keep(await tokens.refresh(rotated.key))
      await tokens.getKey(key)
      keep(await tokens.rotate(token.id))
      const leaving = keep(await tokens.add({ owner_id: 'user-7', limit: 50, onLimit: 'evict' }))
      await tokens.delKey(leaving.key)
      await tokens.delKey(keep({ key: 'A'.repeat(23) + secrets.length }).key)
    }
    await tokens.list('user-7')
    await tokens.list('user-7', { limit: 2 })
    await tokens.count('user-7')
    for (let i = 0; i < 3; i++) secrets.push(await tokens.makeHash(i, { replaces: 'reset:user-7' }))
    const [taken, deleted] = [await tokens.makeHash('a'), await tokens.makeHash('b')]
    secrets.push(taken, deleted)
    await tokens.getHash(taken)
    await tokens.takeHash(taken)
    await tokens.delHash(deleted)
    secrets.push(await tokens.makeHash('c', { owner_id: 'user-8' }))
    const reused = keep(await tokens.add({ owner_id: 'user-8' }))
    keep(await tokens.refresh(reused.key, { grace: null }))
    await expect(tokens.refresh(reused.key)).rejects.toThrow(ReuseError)
    await tokens.delOwner('user-8', { hashes: true })
    for await (const token of tokens.all()) expect(token).toHaveProperty('id')
    for (const name of ['login:a', 'login:b', 'login:b']) {
      const code = await tokens.makeCode(name, { digits: 12, value: 'of-a-code' })
      const wrong = code!.replace(/./g, (digit) => String(9 - Number(digit)))
      await tokens.tryCode(name, wrong)
      codes.push(code!, wrong)
    }
    await tokens.tryCode('login:a', codes[0])
    return { secrets, codes }
  }

  const shows = 'shows no key and no hash in Redis with digest: %s, and no code'
  test.each([true, false])(shows, async (digest) => {
    const watching = await watched()
    try {
      const tokens = Tokenstore({
        redis: watching.server.url,
        digest,
        timeout: 10_000,
        hashSize: 12
      })
      const { codes, ...seen } = await day(tokens)
      const secrets = new Set(seen.secrets)
      expect(secrets.size).toBe(3 * 6 + 5 + 3)
      const places = await placesOf(watching)
      await tokens.quit()
      const digests = new Set([...secrets].map(digestOf))
      for (const [place, text] of Object.entries(places)) {
        // Without digest they are found everywhere: the search would see
        // them. What is written: all but the three that were never issued.
        // What is left: a key for each of three tokens, and the newest hash.
        const shown =
          {
            MONITOR: secrets.size,
            SLOWLOG: secrets.size,
            AOF: secrets.size - 3,
            log: 0
          }[place] ?? 4
        const [plain, digested] = [foundIn(text, secrets), foundIn(text, digests)]
        expect([place, foundIn(text, new Set(codes))]).toEqual([place, []])
        if (place === 'MONITOR') expect(text).toContain('of-a-code')
        if (digest) {
          expect([place, plain]).toEqual([place, []])
          expect([place, digested.length >= shown]).toEqual([place, true])
        } else {
          expect([place, plain.length >= shown]).toEqual([place, true])
          expect([place, digested]).toEqual([place, []])
        }
      }
    } finally {
      await watching.stop()
    }
  })
})

test('names hold base64url(SHA-256(key)), and answers hold the key only where it is new or given', async () => {
  const { server, redis, stop } = await watched()
  const prefix = freshPrefix()
  const tokens = Tokenstore({
    redis: server.url,
    digest: true,
    prefix,
    timeout: 10_000
  })
  try {
    const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
    const hash = await tokens.makeHash('a', { replaces: 'b' })
    expect(Object.keys(await keyspace(redis, prefix)).sort()).toEqual(
      [
        `${prefix}:hash:${digestOf(hash)}`,
        `${prefix}:id:${token.id}`,
        `${prefix}:key:${digestOf(token.key)}`,
        `${prefix}:latest:b`,
        `${prefix}:tokens:user-7`
      ].sort()
    )
    expect(await redis.get(`${prefix}:id:${token.id}`)).toBe(digestOf(token.key))
    expect(await redis.get(`${prefix}:latest:b`)).toBe(digestOf(hash))

    const { key, ...rest } = token
    expect(key).toMatch(/^[\w-]{24}$/)
    expect(await tokens.getKey(key)).toEqual(token)
    expect(await tokens.get(token.id)).toEqual(rest)
    expect(await tokens.set(token.id, { a: 1 })).toEqual(rest)
    expect(await tokens.update(token.id, (attrs) => attrs)).toEqual(rest)
    expect(await tokens.change(token.id, { attrs: { a: 1 } })).toEqual(rest)
    expect(await tokens.list('user-7')).toEqual([rest])
    expect(await tokens.list('user-7', { limit: 1 })).toEqual({
      tokens: [rest],
      cursor: null
    })
    expect(await tokens.each('user-7').next()).toEqual({
      done: false,
      value: rest
    })
    expect(await tokens.all().next()).toEqual({ done: false, value: rest })
    const between = await tokens.rotate(token.id, { grace: 100 })
    const rotated = await tokens.refresh(between!.key, { grace: 100 })
    for (const withKey of [between, rotated])
      expect(withKey).toEqual({ ...rest, key: expect.stringMatching(/^[\w-]{24}$/) })
    expect(await tokens.getKey(key)).toEqual(token)
    expect(await tokens.getKey(rotated!.key)).toEqual(rotated)
    expect(await tokens.getHash(hash)).toBe('a')

    // Whoever reads Redis cannot present what is there.
    for (const seen of [digestOf(key), digestOf(rotated!.key)]) {
      expect(await tokens.getKey(seen)).toBeNull()
      expect(await tokens.delKey(seen)).toBe(false)
      expect(await tokens.refresh(seen)).toBeNull()
    }
    for (const seen of [digestOf(hash)]) {
      expect(await tokens.getHash(seen)).toBeNull()
      expect(await tokens.takeHash(seen)).toBeNull()
    }

    const forced = 'A'.repeat(24)
    expect(await tokens.add({ owner_id: 'user-7', key: forced })).toMatchObject({ key: forced })
    await expect(tokens.add({ owner_id: 'user-8', key: forced })).rejects.toMatchObject({
      code: 'TSKEYTAKEN'
    })
    expect(await tokens.delKey(forced)).toBe(true)
    expect(await tokens.delKey(key)).toBe(true)
    expect(await tokens.takeHash(hash)).toBe('a')
    expect(await tokens.reset()).toBe(0)
  } finally {
    await tokens.quit()
    await stop()
  }
})

describe('the whole method suite', () => {
  const url = process.env.TEST_REDIS_URL
  const config = topology.config
  const secrets = new Set<string>()
  const codes = new Set<string>()
  const spies: jest.SpyInstance[] = []
  let watching: Watched

  // What the store issued or found. Hashes of a character or four are found
  // anywhere, by chance.
  const note = (secret: unknown): void => {
    if (typeof secret === 'string' && /^[\w-]{8,128}$/.test(secret)) secrets.add(secret)
  }

  const noteCode = (code: unknown): unknown => {
    if (String(code).length === 12) codes.add(String(code))
    return code
  }

  beforeAll(async () => {
    watching = await watched()
    process.env.TEST_REDIS_URL = watching.server.url
    topology.config = { digest: true }
    // The real methods, whose answers are noted.
    const methods = Store.prototype as unknown as Record<
      string,
      (...args: unknown[]) => Promise<unknown>
    >
    const withKey = ['add', 'getKey', 'rotate', 'refresh']
    const withHash = ['makeHash', 'getHash', 'takeHash', 'delHash']
    for (const name of [...withKey, ...withHash, 'makeCode']) {
      const method = methods[name]!
      const spy = jest.spyOn(methods, name)
      spies.push(spy)
      spy.mockImplementation(function (this: unknown, ...args: unknown[]) {
        const answered = method.apply(this, args)
        return (answered as Promise<unknown> | undefined)?.then((answer) => {
          // Shorter ones are found in any time or number.
          if (name === 'makeCode') return noteCode(answer)
          note(
            name === 'makeHash'
              ? answer
              : name.endsWith('Hash')
                ? answer && args[0]
                : (answer as Token | null)?.key
          )
          return answer
        }) as Promise<unknown>
      })
    }
  })

  afterAll(async () => {
    for (const spy of spies) spy.mockRestore()
    process.env.TEST_REDIS_URL = url
    topology.config = config
    await watching.stop()
  })

  const folder = join(__dirname, '..', 'methods')
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.test.ts'))) {
    describe(file, () => {
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      require(join(folder, file))
    })
  }

  test('has shown no key, no hash and no code in Redis', async () => {
    expect(secrets.size).toBeGreaterThan(1000)
    expect(codes.size).toBeGreaterThan(4)
    for (const [place, text] of Object.entries(await placesOf(watching))) {
      expect([place, foundIn(text, secrets), foundIn(text, codes)]).toEqual([place, [], []])
    }
  })
})
