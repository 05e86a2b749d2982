import { rmSync } from 'node:fs'
import type { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { type Arg, client, closeAfterAll, store, until } from '../support'
import { id, key, Root } from '../support/root'

// Redis without memory or without the right to write: a script happens whole, or not at all.

const HOUR = 3_600_000

let server: RedisServer
let redis: Redis
beforeAll(async () => {
  server = await startRedis(['--maxmemory-policy', 'noeviction', '--save', '3600 1'])
  redis = client({}, server.url)
})
afterAll(() => server.stop())
closeAfterAll()

/**
 * Owner o with 1 (never ends), 2 (one key within its grace) and 3 (IDLE, due to be touched);
 * hashes.
 */
async function filled(): Promise<Root> {
  const root = new Root(redis)
  await root.issue(1, 'o', '{"a":1}')
  await root.issue(2, 'o', '{}', 'TTL', HOUR)
  await root.run('rotate', id(2), key(12), 'GRACE', HOUR)
  await root.issue(3, 'o', '{}', 'IDLE', HOUR, 'EVERY', 1)
  await root.later(HOUR / 2)
  await root.run('makehash', 'abc', '1', HOUR)
  await root.run('makehash', 'def', '2', HOUR, 'REPLACES', 'n')
  await root.run('makehash', 'own', '3', HOUR, 'OWNER', 'o')
  await root.issue(5, 'q')
  await root.run('refresh', key(5), key(15), 'DETECT', HOUR)
  await root.run('makecode', 'c', 'digest', '1', HOUR, 5)
  return root
}

async function refusal(root: Root, script: string, ...args: Arg[]): Promise<string> {
  return root.unchanged(() =>
    root.run(script, ...args).then(
      (reply) => `no error but ${JSON.stringify(reply)}`,
      (error: Error) => error.message
    )
  )
}

const GROWING: [string, string, Arg[]][] = [
  ['add', 'add', [key(9), id(9), 'o', '{}']],
  ['add with a lifetime', 'add', [key(9), id(9), 'p', '{}', 'TTL', HOUR, 'IDLE', HOUR]],
  ['add that would evict', 'add', [key(9), id(9), 'o', '{}', 'LIMIT', 1, 'EVICT']],
  ['set', 'set', [id(1), '{}']],
  ['set IF', 'set', [id(1), '{}', 'IF', '{"a":1}']],
  ['rotate', 'rotate', [id(1), key(9)]],
  ['rotate with GRACE', 'rotate', [id(2), key(9), 'GRACE', HOUR]],
  ['makehash', 'makehash', ['ghi', '1', HOUR]],
  ['makehash REPLACES', 'makehash', ['ghi', '1', HOUR, 'REPLACES', 'n']],
  ['makehash OWNER', 'makehash', ['ghi', '1', HOUR, 'OWNER', 'o', 'REPLACES', 'n']],
  ['change ATTRS', 'change', [id(1), 'ATTRS', '{}']],
  ['change TTL', 'change', [id(1), 'TTL', HOUR]],
  ['change OWNER', 'change', [id(1), 'OWNER', 'p']],
  ['change that would evict', 'change', [id(5), 'OWNER', 'o', 'LIMIT', 1, 'EVICT']],
  ['refresh', 'refresh', [key(1), key(9)]],
  ['refresh of a token with IDLE', 'refresh', [key(3), key(9), 'GRACE', 5, 'DETECT', HOUR]],
  ['refresh within its grace', 'refresh', [key(2), key(9), 'DETECT', HOUR]],
  ['makecode', 'makecode', ['d', 'digest', '1', HOUR, 5]],
  ['makecode in place of another', 'makecode', ['c', 'digest', '1', HOUR, 5]],
  // Else a wrong code would cost nothing while a right one told itself.
  ['trycode, right', 'trycode', ['c', 'digest']],
  ['trycode, wrong', 'trycode', ['c', 'wrong']]
]

/** With the keys that are gone then. */
const SHRINKING: [what: string, script: string, args: Arg[], reply: unknown, gone: number[]][] = [
  ['del', 'del', [id(2)], 1, [12]],
  ['delkey', 'delkey', [key(1)], 1, [1]],
  ['delkey by an old key', 'delkey', [key(2)], 1, [2, 12]],
  ['delowner', 'delowner', ['o'], 3, [1, 12, 3]],
  ['delowner EXCEPT', 'delowner', ['o', 'EXCEPT', id(2)], 2, [1, 3]],
  ['delowner COUNT', 'delowner', ['o', 'COUNT', 2], 2, [1, 3]],
  ['delowner HASHES', 'delowner', ['o', 'HASHES'], 3, [1, 12, 3]],
  ['refresh of a key used up', 'refresh', [key(5), key(9)], [id(5), 'q'], [5, 15]],
  ['delhash', 'delhash', ['abc'], 1, []],
  ['takehash', 'takehash', ['def'], '2', []]
]

describe('at maxmemory', () => {
  beforeEach(() => redis.config('SET', 'maxmemory', '0'))
  afterAll(() => redis.config('SET', 'maxmemory', '0'))
  const full = (): Promise<unknown> => redis.config('SET', 'maxmemory', '1')

  test.each(GROWING)('%s is refused, and nothing is written', async (_, script, args) => {
    const root = await filled()
    await full()
    expect(await refusal(root, script, ...args)).toMatch(/^OOM /)
    await redis.config('SET', 'maxmemory', '0')
    expect(await root.run(script, ...args)).toBeTruthy()
    expect(await root.faults()).toEqual([])
  })

  test.each(SHRINKING)('%s works', async (_, script, args, reply, gone) => {
    const root = await filled()
    const keys = async (): Promise<string[]> =>
      Object.keys(await root.state()).filter((name) => name.includes(':key:'))
    const left = (await keys()).filter((name) =>
      gone.every((n) => name !== `${root.name}:key:${key(n)}`)
    )
    await full()
    expect(await root.run(script, ...args)).toEqual(reply)
    expect(await keys()).toEqual(left)
    expect(await root.faults()).toEqual([])
  })

  test('list works, and drops what Redis evicted', async () => {
    const root = await filled()
    await redis.del(root.at('key', key(1)))
    await full()
    expect(await root.run('list', 'o')).toHaveLength(1 + 2 * 3)
    expect(await redis.zrange(root.at('tokens', 'o'), '0', '-1')).toEqual([2, 3].map(id))
    expect((await root.faults()).filter((fault) => !fault.endsWith('leads nowhere'))).toEqual([])
  })
})

/** What must be answered although nothing can be written. */
async function reads(root: Root): Promise<void> {
  await root.unchanged(async () => {
    const keys = [1, 12, 2, 3, 9].map(key)
    const peeked = (await root.run('getkey', 'PEEK', ...keys)) as unknown[]
    expect(peeked).toMatchObject([{}, 0, {}, {}, peeked[2], peeked[3], {}, {}, null, 0])
    expect(await root.run('getkey', 'TOUCH', ...keys)).toEqual(peeked)
    for (const [i, one] of keys.entries()) {
      expect(await root.run('getkey', 'TOUCH', one)).toEqual(peeked.slice(2 * i, 2 * i + 2))
    }
    expect(await root.run('get', id(3))).toEqual([key(3), peeked[6], peeked[7]])
    expect(await root.run('list', 'o')).toHaveLength(1 + 3 * 3)
    expect(await root.run('count', 'o')).toBe(3)
    expect(await root.run('gethash', 'def')).toBe('2')
    expect(await root.run('trycode', 'unknown', 'digest')).toBeNull()
    expect(await root.run('refresh', key(9), key(10))).toBeNull()
    // A retry.
    expect(await root.run('add', key(1), id(1), 'o', '{}')).toEqual([key(1), peeked[0], 0])
    expect(await root.run('refresh', key(5), key(15))).toMatchObject([key(15), {}, 0])
  })
}

test('what only reads is answered at maxmemory, TOUCH too', async () => {
  const root = await filled()
  await redis.config('SET', 'maxmemory', '1')
  await reads(root)
  await redis.config('SET', 'maxmemory', '0')
  const peeked = await root.run('getkey', 'PEEK', key(3))
  expect(await root.run('getkey', 'TOUCH', key(3))).not.toEqual(peeked)
})

// No master is there, and no replica.
describe.each<[string, string, refuse: () => Promise<unknown>, allow: () => Promise<unknown>]>([
  [
    'on a replica',
    'READONLY',
    () => redis.replicaof('127.0.0.1', '1'),
    () => redis.replicaof('NO', 'ONE')
  ],
  [
    'with too few replicas',
    'NOREPLICAS',
    () => redis.config('SET', 'min-replicas-to-write', '1'),
    () => redis.config('SET', 'min-replicas-to-write', '0')
  ],
  // Without its folder no snapshot can be saved.
  [
    'on a full disk',
    'MISCONF',
    async () => {
      await redis.config('SET', 'stop-writes-on-bgsave-error', 'yes')
      rmSync(server.dir, { recursive: true, force: true })
      await redis.bgsave().catch(() => {}) // or Redis tries by itself
      await until(async () => (await redis.info('persistence')).includes('bgsave_status:err'))
    },
    () => redis.config('SET', 'stop-writes-on-bgsave-error', 'no')
  ]
])('%s', (_, code, refuse, allow) => {
  afterEach(allow)

  test('what only reads is answered, TOUCH too; what writes is refused', async () => {
    const root = await filled()
    await refuse()
    await reads(root)
    const writing = [...GROWING, ...SHRINKING].map(
      ([what, script, args]) => [what, script, args] as const
    )
    for (const [, script, args] of writing)
      expect(await refusal(root, script, ...args)).toMatch(new RegExp(`^${code} `))
  })

  test.each<[string, Arg[]]>([
    ['all at once', []],
    ['page by page', ['COUNT', 1000]]
  ])('list answers, %s, although it can drop nothing', async (_, options) => {
    const root = await filled()
    await redis.del(root.at('key', key(1)))
    const expected = [await root.run('get', id(2)), await root.run('get', id(3))].flat()
    await refuse()
    await root.unchanged(async () =>
      expect(await root.run('list', 'o', ...options)).toEqual(['', ...expected])
    )
    await allow()
    expect(await root.run('list', 'o', ...options)).toEqual(['', ...expected])
    expect(await redis.zrange(root.at('tokens', 'o'), '0', '-1')).toEqual([2, 3].map(id))
  })

  test('list, its pages and each answer, of an owner whose tokens have expired in part', async () => {
    const root = await filled()
    const tokens = store({ prefix: root.name, redis: server.url })
    await root.issue(4, 'o', '{}', 'TTL', HOUR)
    await redis.del(root.at('key', key(1)), root.at('key', key(4)), root.at('id', id(4)))
    await redis.zadd(root.at('tokens', 'o'), 1, id(4))
    await refuse()
    await root.unchanged(async () => {
      const ids = [2, 3].map(id)
      expect((await tokens.list('o')).map((token) => token.id)).toEqual(ids)
      const page = await tokens.list('o', { limit: 1 })
      const rest = await tokens.list('o', { cursor: page.cursor })
      expect([...page.tokens, ...rest.tokens].map((token) => token.id)).toEqual(ids)
      const walked = []
      for await (const token of tokens.each('o')) walked.push(token.id)
      expect(walked).toEqual(ids)
    })
    await tokens.quit()
  })
})
