import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import uid2 from 'uid2'
import { v4 as uuidV4 } from 'uuid'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { migrate } from '../../src/cli/migrate'
import { migrateLua } from '../../src/cli/migrate-lua'
import { api } from '../../src/main'
import type { Token } from '../../src/types'
import { OWNERS } from '../support/cases'
import { audit, client, closeAfterAll, freshPrefix, keyspace, redisUrl, store } from '../support'
import { commandOf, run } from '../support/programs'
import { cli } from './cli'

closeAfterAll()

interface Old {
  owner_id?: unknown
  attrs?: unknown
  key?: string
  id?: string
  [field: string]: unknown
}

/**
 * Writes a token as 0.0.4 does: fills in the object it was given, then SET,
 * SADD, SET.
 */
async function add(redis: Redis, prefix: string, given: Old, steps = 3): Promise<Required<Old>> {
  given.key ??= uid2(24)
  given.id = uuidV4()
  if (steps > 0) await redis.set(`${prefix}:id:${given.id}`, given.key)
  if (steps > 1) await redis.sadd(`${prefix}:tokens:${String(given.owner_id)}`, given.id)
  if (steps > 2) await redis.set(`${prefix}:key:${given.key}`, JSON.stringify(given))
  return given as Required<Old>
}

async function makeHash(redis: Redis, prefix: string, value: unknown): Promise<string> {
  const hash = randomBytes(8).toString('hex')
  await redis.setex(`${prefix}:hash:${hash}`, 3600, String(value))
  return hash
}

type Call<A extends unknown[], T> = (
  ...args: [...A, (error: Error | null, result: T) => void]
) => void
// eslint-disable-next-line @typescript-eslint/no-require-imports -- it has no types
const { api: original } = require('tokenstore-0.0.4') as {
  api(config: object): {
    add: Call<[object], Token>
    setAttrs: Call<[id: string, attrs: object], void>
    del: Call<[id: string], void>
    makeHash: Call<[value: unknown], string>
    quit: Call<[], void>
  }
}

const DRY = { apply: false, hashes: true }
const APPLY = { apply: true, hashes: true }

test('says what it would do and writes nothing; with --apply the tokens are those of this version', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const olds: Required<Old>[] = []
  for (const owner_id of ['ann', 'ann', 'ben', 'colons:and *']) {
    olds.push(await add(redis, prefix, { owner_id, attrs: { device: olds.length } }))
  }
  const hash = await makeHash(redis, prefix, 'user-7')
  const before = await keyspace(redis, prefix)

  const at = ['--url', redisUrl(), '--prefix', prefix]
  expect(await cli(['migrate', ...at])).toEqual({
    code: 0,
    stdout: `${prefix}: 4 tokens of 3 owners, 1 hash to convert; nothing was written, --apply does that\n`,
    stderr: ''
  })
  expect(Object.keys(await keyspace(redis, prefix))).toEqual(Object.keys(before))
  expect(await redis.get(`${prefix}:hash:${hash}`)).toBe('user-7')
  expect((await cli(['migrate', ...at, '--apply'])).stdout).toBe(
    `${prefix}: 4 tokens of 3 owners, 1 hash converted\n`
  )

  const tokens = store({ prefix })
  for (const { key, id, owner_id, attrs } of olds) {
    const token = { key, id, owner_id, attrs }
    expect(await tokens.getKey(key)).toEqual(token)
    expect(await tokens.get(id)).toEqual(token)
    expect(await tokens.list(owner_id as string)).toContainEqual(token)
  }
  expect(await tokens.count('ann')).toBe(2)
  expect(await tokens.getHash(hash)).toBe('user-7')
  expect(await audit(redis, prefix)).toEqual([])
  expect(Object.keys(await keyspace(redis, prefix))).toEqual(Object.keys(before))

  const after = await keyspace(redis, prefix)
  expect((await migrate(redis, { prefix, ...APPLY })).join()).toBe(
    `${prefix}: 0 tokens of 0 owners, 0 hashes converted`
  )
  const texts = (entries: typeof after): unknown[] =>
    Object.entries(entries).map(([name, { value }]) => [name, value])
  expect(texts(await keyspace(redis, prefix))).toEqual(texts(after))
  // They go on like any others.
  expect(await tokens.delOwner('ann')).toBe(2)
  expect(await tokens.reset()).toBe(3)
  expect(await keyspace(redis, prefix)).toEqual({})
})

test('keeps the text of attrs, whatever the order and the fields that 0.0.4 was given', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const texts = [
    '{"a":[],"b":{},"c":null,"d":"/\\"\\\\","e":1e+21,"f":-0.5,"g":"é€😀"}',
    '{"__proto__":{"x":1},"attrs":{"attrs":{}},"id":"x","key":"y","2":2,"10":1}'.replace(
      '"2":2,"10":1',
      '"z":1'
    ),
    '{}'
  ]
  for (const text of texts) {
    for (const order of [
      'owner_id attrs key',
      'key owner_id attrs',
      'id key attrs owner_id',
      'attrs owner_id'
    ]) {
      const fields: Record<string, unknown> = {
        owner_id: 'ann',
        attrs: JSON.parse(text),
        key: uid2(24),
        id: 'old'
      }
      await add(
        redis,
        prefix,
        Object.fromEntries(order.split(' ').map((name) => [name, fields[name]]))
      )
    }
  }
  expect((await migrate(redis, { prefix, ...APPLY }))[0]).toMatch(/: 12 tokens of 1 owner,/)
  const records = Object.entries(await keyspace(redis, `${prefix}:key:`)).map(
    ([, { value }]) => value as string
  )
  expect(records.map((record) => /,"attrs":(.*)\}$/.exec(record)![1]).sort()).toEqual(
    texts.flatMap((text) => [text, text, text, text]).sort()
  )
  expect(await audit(redis, prefix)).toEqual([])
})

test('any owner', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const tokens = store({ prefix })
  const owners = OWNERS.map(([, owner]) => owner).filter((owner) => typeof owner === 'string')
  for (const owner_id of owners) {
    const { key, id } = await add(redis, prefix, { owner_id, attrs: {} })
    expect((await migrate(redis, { prefix, ...APPLY }))[0]).toContain(': 1 token of 1 owner,')
    expect(await tokens.list(owner_id)).toEqual([{ key, id, owner_id, attrs: {} }])
    expect(await tokens.count(owner_id)).toBe(1)
    expect(await tokens.delOwner(owner_id)).toBe(1)
    expect(await keyspace(redis, prefix)).toEqual({})
  }
})

test('takes what 0.0.4 took: no attrs, owners that are numbers, other fields, which it names', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const bare = await add(redis, prefix, { owner_id: 'bare' })
  const seven = await add(redis, prefix, { owner_id: 7, attrs: {} })
  const more = await add(redis, prefix, {
    owner_id: 'more',
    attrs: {},
    ip: '127.0.0.1',
    ua: 'x'
  })
  const expiring = await add(redis, prefix, { owner_id: 'expiring', attrs: {} })
  const end = Date.now() + 100_000
  await redis.pexpireat(`${prefix}:key:${expiring.key}`, end) // by hand: 0.0.4 set none
  expect(await migrate(redis, { prefix, ...APPLY })).toEqual([
    `${prefix}: 4 tokens of 4 owners, 0 hashes converted`,
    'fields that this version does not have, dropped, 1:',
    `  ${prefix}:id:${more.id}: ip, ua`
  ])
  const tokens = store({ prefix })
  expect(await tokens.getKey(bare.key)).toEqual({
    key: bare.key,
    id: bare.id,
    owner_id: 'bare',
    attrs: {}
  })
  expect(await tokens.list('7')).toEqual([
    { key: seven.key, id: seven.id, owner_id: '7', attrs: {} }
  ])
  expect(await tokens.getKey(more.key)).toEqual({
    key: more.key,
    id: more.id,
    owner_id: 'more',
    attrs: {}
  })
  const token = {
    key: expiring.key,
    id: expiring.id,
    owner_id: 'expiring',
    attrs: {},
    expires_at: end
  }
  expect(await tokens.getKey(expiring.key)).toEqual(token)
  expect(await tokens.list('expiring')).toEqual([token])
  expect(await audit(redis, prefix)).toEqual([])
})

test('lists what it cannot read and leaves it alone; the owners can be used', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const tokens = store({ prefix })
  const good = await add(redis, prefix, { owner_id: 'ann', attrs: {} })
  // add died after one step, after two; del died after one, after two; set met
  // del and wrote the record again.
  const one = await add(redis, prefix, { owner_id: 'ann', attrs: {} }, 1)
  const two = await add(redis, prefix, { owner_id: 'ann', attrs: {} }, 2)
  const unlisted = await add(redis, prefix, { owner_id: 'ann', attrs: {} })
  await redis.srem(`${prefix}:tokens:ann`, unlisted.id)
  const revived = await add(redis, prefix, { owner_id: 'ann', attrs: {} })
  await redis.srem(`${prefix}:tokens:ann`, revived.id)
  await redis.del(`${prefix}:id:${revived.id}`)
  await redis.sadd(`${prefix}:tokens:ann`, uuidV4())
  // What callers made of it: attrs that are no object, a key used twice, no
  // owner.
  const list = await add(redis, prefix, { owner_id: 'ben', attrs: [1] })
  const text = await add(redis, prefix, { owner_id: 'ben', attrs: 'x' })
  const first = await add(redis, prefix, {
    owner_id: 'cem',
    attrs: {},
    key: uid2(24)
  })
  const second = await add(redis, prefix, {
    owner_id: 'cem',
    attrs: { second: true },
    key: first.key
  })
  const nobody = await add(redis, prefix, { attrs: {} })
  // What nobody writes.
  await redis.set(`${prefix}:key:${'j'.repeat(24)}`, 'no JSON')
  await redis.zadd(`${prefix}:key:${'z'.repeat(24)}`, 1, 'x')
  await redis.set(
    `${prefix}:key:${'1'.repeat(24)}`,
    '{"id":"47fcb93b-34ed-4790-96d9-b6570f08626e","key":"other"}'
  )
  const odd = await add(redis, prefix, { owner_id: 'dan', attrs: {} })
  await redis.set(
    `${prefix}:key:${odd.key}`,
    JSON.stringify(odd).replace('"attrs":{}', '"attrs":{"n":1.0}')
  )
  const keyless = `${prefix}:hash:${'0'.repeat(16)}`
  await redis.set(keyless, 'never expires')

  const before = await keyspace(redis, prefix)
  const short = (name: string): string => `${prefix}:${name.replace(/^(key:.{6}).*/, '$1...')}`
  const left = [
    [`id:${one.id}`, 'leads to no record: written or deleted by half'],
    [`id:${two.id}`, 'leads to no record: written or deleted by half'],
    [`key:${unlisted.key}`, `its owner ann does not list it: deleted by half (id ${unlisted.id})`],
    [
      `key:${revived.key}`,
      `no id leads to it: deleted by half, or written again after that (id ${revived.id})`
    ],
    [`key:${list.key}`, 'its attrs are not an object'],
    [`key:${text.key}`, 'its attrs are not an object'],
    [`id:${first.id}`, 'leads to the record of another id: its key was used again'],
    [`key:${nobody.key}`, 'its record has no owner_id'],
    [`key:${'j'.repeat(24)}`, 'its record is not JSON'],
    [`key:${'z'.repeat(24)}`, 'is not a string'],
    [`key:${'1'.repeat(24)}`, 'its record holds another key'],
    [`key:${odd.key}`, 'its record is not as 0.0.4 writes JSON'],
    ['hash:000000...', 'never expires']
  ].map(([name, why]) => `  ${short(name!)}: ${why}`)
  const lines = async (options: typeof DRY): Promise<string[]> => {
    const [summary, title, ...rest] = await migrate(redis, {
      prefix,
      ...options
    })
    const listed = rest.filter((line) => !line.includes('is not there, but owner ann lists it'))
    expect(summary).toMatch(options.apply ? /converted$/ : /to convert; nothing was written/)
    expect(title).toBe(`left alone, ${rest.length}:`)
    return listed.sort()
  }
  expect(await lines(DRY)).toEqual([...left].sort())
  expect(await keyspace(redis, prefix)).toEqual(before)
  expect(await lines(APPLY)).toEqual([...left].sort())
  expect(await lines(APPLY)).toEqual([...left].sort()) // as often as it is run

  const touched = [
    `key:${good.key}`,
    `key:${second.key}`,
    'tokens:ann',
    'tokens:ben',
    'tokens:cem',
    'tokens:dan'
  ]
  const rest = (all: object): object =>
    Object.fromEntries(
      Object.entries(all).filter(
        ([name]) => ![...touched, 'tokens:undefined'].includes(name.slice(prefix.length + 1))
      )
    )
  expect(rest(await keyspace(redis, prefix))).toEqual(rest(before))
  for (const [owner, ids] of Object.entries({
    ann: [good.id],
    ben: [],
    cem: [second.id],
    dan: [],
    undefined: []
  })) {
    expect((await tokens.list(owner)).map(({ id }) => id)).toEqual(ids)
    expect(await tokens.count(owner)).toBe(ids.length)
    const token = await tokens.add({ owner_id: owner })
    expect(await tokens.delOwner(owner)).toBe(ids.length + 1)
    expect(await tokens.getKey(token.key)).toBeNull()
  }
})

test('hashes stay the strings they were, with their TTL, however often it is run', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const values = [
    'user-7',
    '7',
    'true',
    'null',
    '{"a":1}',
    '"quoted"',
    '',
    '😀 é',
    '\\u0041',
    '\u2028',
    ' x '
  ]
  const hashes: string[] = []
  for (const value of values) hashes.push(await makeHash(redis, prefix, value))
  const tokens = store({ prefix })
  const own = await tokens.makeHash('of this version')
  const facade = api({ prefix, redis: redisUrl(), timeout: 10_000 })
  const getHash = (hash: string): Promise<unknown> =>
    new Promise((resolve, reject) =>
      facade.getHash(hash, (error, value) => (error ? reject(error) : resolve(value)))
    )
  try {
    expect(await migrate(redis, { prefix, apply: true, hashes: false })).toEqual([
      `${prefix}: 0 tokens of 0 owners, 0 hashes converted`
    ])
    expect(await redis.get(`${prefix}:hash:${hashes[0]}`)).toBe('user-7')
    for (const expected of [values.length, 0, 0]) {
      expect((await migrate(redis, { prefix, ...APPLY }))[0]).toContain(
        `, ${expected} hashes converted`
      )
      for (const [i, hash] of hashes.entries()) {
        expect(await tokens.getHash(hash)).toBe(values[i])
        expect(await getHash(hash)).toBe(values[i])
        expect(await redis.ttl(`${prefix}:hash:${hash}`)).toBeGreaterThan(3500)
      }
    }
    expect(await tokens.takeHash(own)).toBe('of this version')
  } finally {
    await new Promise<void>((resolve) => facade.quit(() => resolve()))
  }
})

test('one owner is converted whole, and only as it was read', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const one = await add(redis, prefix, { owner_id: 'ann', attrs: {} })
  const two = await add(redis, prefix, { owner_id: 'ann', attrs: {} })
  const quad = ({ id, key }: Required<Old>, old: string): string[] => [
    id,
    key,
    old,
    `{"new":"${id}"}`
  ]
  const record = (token: Old): string => JSON.stringify(token)
  const before = await keyspace(redis, prefix)
  for (const stale of [
    quad(one, record(one)), // two came in between
    [...quad(one, record(one)), ...quad(two, 'another text')],
    [...quad(one, record(one)), ...quad(two, '')],
    [...quad(one, record(one)), two.id, '', '', ''],
    [...quad(one, record(one)), uuidV4(), '', '', '']
  ]) {
    expect(await redis.eval(migrateLua, 1, prefix, 'ann', ...stale)).toBe(0)
    expect(await keyspace(redis, prefix)).toEqual(before)
  }
  const args = [...quad(one, record(one)), ...quad(two, record(two))]
  expect(await redis.eval(migrateLua, 1, prefix, 'ben', ...args)).toBe(0)
  expect(await redis.eval(migrateLua, 1, prefix, 'ann', ...args)).toBe(1)
  expect(await redis.get(`${prefix}:key:${two.key}`)).toBe(
    `{"id":"${two.id}","owner_id":"ann","attrs":{"new":"${two.id}"}}`
  )
  expect(await redis.eval(migrateLua, 1, prefix, 'ann', ...args)).toBe(0)
})

test('a run that is killed leaves every owner old or new, and the next one ends it', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const OWNERS = 1500
  const pipeline = redis.pipeline()
  const keys: string[] = []
  for (let i = 0; i < 2 * OWNERS; i++) {
    const token = {
      owner_id: `owner-${i % OWNERS}`,
      attrs: { i },
      key: uid2(24),
      id: uuidV4()
    }
    keys.push(token.key)
    pipeline.set(`${prefix}:id:${token.id}`, token.key)
    pipeline.sadd(`${prefix}:tokens:${token.owner_id}`, token.id)
    pipeline.set(`${prefix}:key:${token.key}`, JSON.stringify(token))
  }
  await pipeline.exec()
  // Kills itself with so many owners behind it, and one more under way.
  const before = OWNERS / 2
  const program = `
    const redis = new (require('ioredis').Redis)(${JSON.stringify(redisUrl())})
    const call = redis.call.bind(redis)
    let calls = 0
    redis.call = (...args) => {
      const answer = call(...args)
      if (++calls > ${before}) process.kill(process.pid, 'SIGKILL')
      return answer
    }
    require('./src/cli/migrate.ts').migrate(redis, ${JSON.stringify({ prefix, ...APPLY })})`
  expect(await run(process.execPath, ['--require', 'tsx/cjs', '--eval', program])).toMatchObject({
    code: -1,
    stdout: ''
  })
  const sets = async (): Promise<string[]> =>
    Object.entries(await keyspace(redis, `${prefix}:tokens:`)).map(([, { type }]) => type)
  const converted = (await sets()).filter((type) => type === 'zset').length
  expect([before, before + 1]).toContain(converted)
  const byOwner = new Map<string, Set<boolean>>()
  for (const { value } of Object.values(await keyspace(redis, `${prefix}:key:`))) {
    const record = JSON.parse(value as string) as Old
    const owner = String(record.owner_id)
    byOwner.set(owner, (byOwner.get(owner) ?? new Set()).add('key' in record))
  }
  expect([...byOwner.values()].filter((kinds) => kinds.size !== 1)).toEqual([])

  expect((await migrate(redis, { prefix, ...APPLY })).length).toBe(1)
  expect(new Set(await sets())).toEqual(new Set(['zset']))
  expect(await audit(redis, prefix)).toEqual([])
  const tokens = store({ prefix })
  const found = await Promise.all(keys.map((key) => tokens.getKey(key)))
  expect(found.map((token) => token?.attrs['i'])).toEqual(keys.map((_, i) => i))
})

test('prints no key and no hash, and nothing of another prefix is touched', async () => {
  const redis = client()
  const prefix = `${freshPrefix()}[a]*?`
  const other = `${prefix.slice(0, -5)}a-x`
  for (const at of [prefix, other]) {
    await add(redis, at, { owner_id: 'ann', attrs: {} })
    await add(redis, at, { owner_id: 'ben', attrs: 1 })
    await redis.set(`${at}:hash:${'0'.repeat(16)}`, 'x')
  }
  const before = await keyspace(redis, other)
  const lines = (await migrate(redis, { prefix, ...APPLY })).join('\n')
  expect(lines).toMatch(/: 1 token of 2 owners, 0 hashes converted/)
  expect(await keyspace(redis, other)).toEqual(before)
  for (const name of Object.keys(await keyspace(redis, prefix))) {
    const secret = /:(?:key|hash):(.*)$/.exec(name)?.[1]
    if (secret) expect(lines).not.toContain(secret)
  }
})

test('shows its progress on a terminal, and only there', async () => {
  const redis = client()
  const prefix = freshPrefix()
  await add(redis, prefix, { owner_id: 'ann', attrs: {} })
  const command = `node --require tsx/cjs src/cli.ts migrate --url ${redisUrl()} --prefix ${prefix}`
  const plain = await run('sh', ['-c', command])
  expect(plain.stderr).toBe('')
  const script = commandOf('script')
  if (!script) return
  const terminal = await run(script, ['-q', '-e', '-c', command, '/dev/null'])
  expect(terminal.stdout).toMatch(/\r\[#+\.*\] \d+ %/)
  expect(terminal.stdout).toMatch(/\[#{30}\] 100 %\r?\n/)
  expect(terminal.stdout).toContain('1 token of 1 owner')
})

describe('on a server of its own', () => {
  let server: RedisServer
  let redis: Redis
  beforeAll(async () => {
    server = await startRedis()
    redis = new Redis(server.url)
  })
  afterAll(async () => {
    redis.disconnect()
    await server.stop()
  })
  beforeEach(() => redis.flushall())

  test('brings over what 0.0.4 itself wrote', async () => {
    const old = original({ redis: { host: '127.0.0.1', port: server.port } })
    const given = ['ann', 'ann', 'ben'].map((owner_id, n) => ({
      owner_id,
      attrs: { n }
    }))
    const made = await Promise.all(given.map((token) => promisify(old.add)(token)))
    await promisify(old.setAttrs)(made[2]!.id, { n: 'new' })
    await promisify(old.del)((await promisify(old.add)({ owner_id: 'ann', attrs: {} })).id)
    const hash = await promisify(old.makeHash)('user-7')
    await promisify(old.quit)()

    expect(await migrate(redis, { prefix: 'token', ...APPLY })).toEqual([
      'token: 3 tokens of 2 owners, 1 hash converted'
    ])
    const tokens = store({ prefix: 'token', redis: server.url })
    made[2]!.attrs = { n: 'new' }
    for (const token of made) expect(await tokens.getKey(token.key)).toEqual(token)
    expect(await tokens.count('ann')).toBe(2)
    expect(await tokens.takeHash(hash)).toBe('user-7')
    expect(await audit(redis, 'token')).toEqual([])
    await tokens.quit()
  })

  /** Writes n tokens of ann as 0.0.4 does, in one call. */
  const MANY = `local text = ('x'):rep(ARGV[2])
  for i = 1, ARGV[1] do
    local id, key = ('%08x-0000-4000-8000-000000000000'):format(i), ('%024d'):format(i)
    redis.call('SET', 'token:id:' .. id, key)
    redis.call('SADD', 'token:tokens:ann', id)
    local rest = ('"},"key":"%s","id":"%s"}'):format(key, id)
    redis.call('SET', 'token:key:' .. key, '{"owner_id":"ann","attrs":{"text":"' .. text .. rest)
  end`

  test('an owner of 50,000 tokens is converted', async () => {
    await redis.eval(MANY, 0, 50_000, 0)
    expect(await migrate(redis, { prefix: 'token', ...APPLY })).toEqual([
      'token: 50000 tokens of 1 owner, 0 hashes converted'
    ])
    const tokens = store({ prefix: 'token', redis: server.url })
    const listed = await tokens.list('ann')
    expect(listed.length).toBe(50_000)
    for (const token of [listed[0]!, listed.at(-1)!]) {
      expect(token).toMatchObject({ owner_id: 'ann', attrs: { text: '' } })
      expect(await tokens.getKey(token.key)).toEqual(token)
    }
    await tokens.quit()
  })

  test.each([
    ['in number', 250_001, `for i = 1, ARGV[1] do redis.call('SADD', 'token:tokens:ann', i) end`],
    ['in bytes', 3, MANY]
  ])(
    'an owner too large %s for one step is left alone and named, and others are converted',
    async (_, n, lua) => {
      await redis.eval(lua, 0, n, 1_000_000)
      await add(redis, 'token', { owner_id: 'ben', attrs: {} })
      for (const options of [DRY, APPLY]) {
        const [summary, ...lines] = await migrate(redis, {
          prefix: 'token',
          mostCharacters: 5_000_000,
          ...options
        })
        expect(summary).toContain(': 1 token of 1 owner,')
        expect(lines).toEqual([
          'left alone, 1:',
          `  token:tokens:ann: is too large to be converted in one step: ${n} tokens`
        ])
        expect(await redis.scard('token:tokens:ann')).toBe(n)
      }
      // Of ann's keys, which MANY numbers, and of no key of ben's, which 0.0.4
      // draws at random.
      for (const key of await redis.keys(`token:key:${'0'.repeat(16)}*`)) {
        expect(await redis.getrange(key, 0, 10)).toBe('{"owner_id"')
      }
    }
  )

  test('what only this version has is no stray: old keys, codes, hashes of an owner', async () => {
    const tokens = store({ prefix: 'token', redis: server.url })
    const { id, key } = await tokens.add({ owner_id: 'ann' })
    const rotated = (await tokens.rotate(id, { grace: 60 }))!
    await tokens.refresh(rotated.key, { grace: null })
    for (const old of [key, rotated.key]) expect(await redis.get(`token:key:${old}`)).toMatch(id)
    await tokens.makeCode('ann')
    await tokens.makeHash(1, { owner_id: 'ann' })
    expect(await migrate(redis, { prefix: 'token', ...DRY })).toHaveLength(1)
    await tokens.quit()
  })

  test('what programs of this version delete and write meanwhile is no stray', async () => {
    const tokens = store({ prefix: 'token', redis: server.url })
    const [gone, rotated] = [
      await tokens.add({ owner_id: 'ann' }),
      await tokens.add({ owner_id: 'ann' })
    ]
    // Behind the first read, of the keys that the ids lead to, and before that
    // of their records.
    const mget = redis.mget.bind(redis) as (names: string[]) => Promise<(string | null)[]>
    const read = jest.spyOn(redis, 'mget').mockImplementationOnce((async (names: string[]) => {
      expect(names.sort()).toEqual([`token:id:${gone.id}`, `token:id:${rotated.id}`].sort())
      const keys = await mget(names)
      expect(await tokens.del(gone.id)).toBe(true)
      await tokens.rotate(rotated.id)
      return keys
    }) as never)
    expect(await migrate(redis, { prefix: 'token', ...DRY })).toHaveLength(1)
    read.mockRestore()

    // Behind the SCAN that finds them, and before any read.
    const scan = redis.scan.bind(redis) as (...args: unknown[]) => Promise<[string, string[]]>
    let scans = 0
    const found = jest.spyOn(redis, 'scan').mockImplementation(async (...args: unknown[]) => {
      const page = await scan(...args)
      if (++scans === 4) expect(await tokens.reset()).toBe(1)
      return page
    })
    expect(await migrate(redis, { prefix: 'token', ...DRY })).toHaveLength(1)
    expect(scans).toBe(4)
    found.mockRestore()
    await tokens.quit()
  })
})

test('a read that Redis refuses ends the run, whichever it is', async () => {
  const redis = client()
  const prefix = freshPrefix()
  await add(redis, prefix, { owner_id: 'ann', attrs: {} })
  await redis.zadd(`${prefix}:key:odd`, 1, 'x')
  await makeHash(redis, prefix, 'x')
  const setUser = (...rules: string[]): Promise<unknown> =>
    redis.call('ACL', ['SETUSER', prefix, ...rules])
  await setUser('on', '>p', '~*')
  const as = client({
    username: prefix,
    password: 'p',
    enableReadyCheck: false
  })
  for (const command of ['scan', 'smembers', 'mget', 'get', 'sismember', 'type', 'pttl']) {
    await setUser('+@all', `-${command}`)
    await expect(migrate(as, { prefix, ...DRY })).rejects.toThrow('NOPERM')
  }
})

test('a name of another type is listed, also where another leads to it', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const one = await add(redis, prefix, { owner_id: 'ann', attrs: {} })
  await redis.del(`${prefix}:id:${one.id}`)
  await redis.rpush(`${prefix}:id:${one.id}`, 'x')
  const two = await add(redis, prefix, { owner_id: 'ben', attrs: {} })
  await redis.del(`${prefix}:tokens:ben`)
  await redis.rpush(`${prefix}:tokens:ben`, 'x')
  const lines = (await migrate(redis, { prefix, ...DRY })).slice(2).sort()
  expect(lines).toEqual(
    [
      `  ${prefix}:id:${one.id}: is not a string`,
      `  ${prefix}:key:${one.key.slice(0, 6)}...: no id leads to it: deleted by half, or written again after that (id ${one.id})`,
      `  ${prefix}:key:${two.key.slice(0, 6)}...: its owner ben does not list it: deleted by half (id ${two.id})`
    ].sort()
  )
})

test.each([
  ['each name twice', (names: string[]): string[] => [...names, ...names]],
  ['only some names', (names: string[]): string[] => names.slice(0, 2)],
  ['pages without names', (): string[] => []]
])('the bar ends full and once when SCAN then answers %s', async (_, change) => {
  const redis = client()
  const prefix = freshPrefix()
  for (let i = 0; i < 20; i++) await add(redis, prefix, { owner_id: 'ann', attrs: {} })
  const scan = redis.scan.bind(redis) as (...args: unknown[]) => Promise<[string, string[]]>
  let ends = 0
  jest.spyOn(redis, 'scan').mockImplementation((async (...args: unknown[]) => {
    const [cursor, names] = await scan(...args)
    const counting = ends < 2
    if (cursor === '0') ends++
    return [cursor, counting ? names : change(names)]
  }) as never)
  const isTTY = process.stderr.isTTY
  const write = jest.spyOn(process.stderr, 'write').mockReturnValue(true)
  try {
    process.stderr.isTTY = true
    await migrate(redis, { prefix, ...DRY })
  } finally {
    process.stderr.isTTY = isTTY
  }
  const written = write.mock.calls.map(([text]) => String(text)).join('')
  write.mockRestore()
  expect(written.match(/100 %/g)).toHaveLength(1)
  expect(written).toMatch(/\r\[#{30}\] 100 %\n$/)
  const parts = [...written.matchAll(/(\d+) %/g)].map(([, part]) => Number(part))
  expect(parts).toEqual(parts.toSorted((a, b) => a - b))
})

test('does not run on a cluster, and fails without a server', async () => {
  expect(await cli(['migrate', '-p', '1'])).toEqual({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('ECONNREFUSED')
  })
  expect(await cli(['migrate', '-c', '--url', redisUrl()])).toEqual({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('0.0.4 never ran on a cluster')
  })
})

test('fails when its database is not there, and touches no other', async () => {
  const redis = client()
  const prefix = freshPrefix()
  await add(redis, prefix, { owner_id: 'ann', attrs: {} })
  const before = await keyspace(redis, prefix)
  const at = ['--prefix', prefix, '--apply', '--url']
  for (const args of [
    [...at, `${redisUrl()}/99`],
    [...at, redisUrl(), '-n', '99'],
    [...at, redisUrl(), '-n', 'x']
  ]) {
    expect(await cli(['migrate', ...args])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^tokenstore: ERR /)
    })
    expect(await keyspace(redis, prefix)).toEqual(before)
  }
  expect((await cli(['migrate', ...at, `${redisUrl()}/9`])).stdout).toContain(': 0 tokens')
})
