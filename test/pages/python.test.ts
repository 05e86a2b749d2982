import type { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import type { Tokenstore } from '../../src/main'
import { commandOf, run } from '../support/programs'
import { audit, client, closeAfterAll, keyspace, store } from '../support'
import { ATTRS } from '../support/cases'
import { block } from './page'

let server: RedisServer
let redis: Redis
beforeAll(async () => {
  server = await startRedis()
  redis = client({}, server.url)
})
closeAfterAll()
afterAll(() => server.stop())

describe('the program in Python', () => {
  interface Python {
    key: string
    id: string
    owner_id: string
    attrs: Record<string, unknown>
    expires_at: number | null
  }

  const command = commandOf('Python')

  /**
   * Runs the program of the page and, after it, one of a test that prints JSON.
   */
  async function python(program: string, ...blocks: string[]): Promise<unknown> {
    const parts = [
      'import functools, redis',
      `redis.Redis = functools.partial(redis.Redis, port=${server.port})`,
      ...['python', ...blocks].map(block),
      program
    ]
    const ran = await run(command!, ['-c', parts.join('\n')])
    if (ran.code !== 0) throw new Error(ran.stderr)
    return JSON.parse(ran.stdout)
  }

  let tokens: Tokenstore
  beforeEach(async () => {
    await redis.flushall()
    tokens = store({ prefix: 'token', redis: server.url })
  })

  test('issues, validates, lists and revokes tokens that the driver sees, and sees those of the driver', async () => {
    if (!command) return
    const [one, two, three] = (await python(
      `
one, two = add("ann", {"n": 1}), add("ann", {"n": 2}, "TTL", 60000)
print(json.dumps([one, two, add("ben", {})]))`
    )) as [Python, Python, Python]
    expect(one.key).toMatch(/^[\w-]{24}$/)
    expect(one.id).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
    const plain = ({ expires_at, ...token }: Python): object =>
      expires_at ? { ...token, expires_at } : token
    expect(await tokens.getKey(one.key)).toEqual(plain(one))
    expect(await tokens.get(two.id)).toEqual(plain(two))
    // By id: both may be of one millisecond.
    const inOrder = [one, two].sort((a, b) => (a.id < b.id ? -1 : 1))
    expect(await tokens.list('ann')).toEqual(inOrder.map(plain))
    expect(await tokens.rotate(three.id)).toMatchObject({ id: three.id })

    const own = await tokens.add({ owner_id: 'ann', attrs: { n: 3 }, ttl: 60 })
    const hash = await tokens.makeHash({ user: 'ann' })
    const seen = (await python(
      `
id, hash = ${JSON.stringify(one.id)}, ${JSON.stringify(hash)}
found = [get_key(key) for key in ${JSON.stringify([own.key, three.key])}]
print(json.dumps([*found, list_tokens("ann"),
    delete(id), delete(id), take_hash(hash), take_hash(hash)]))`
    )) as unknown[]
    expect(seen).toEqual([own, null, [...inOrder, own], true, false, { user: 'ann' }, null])
    expect(await tokens.getKey(one.key)).toBeNull()
    expect((await tokens.list('ann')).map(({ id }) => id)).toEqual([two.id, own.id])
    expect(await tokens.getHash(hash)).toBeNull()
    expect(await audit(redis, 'token')).toEqual([])
  })

  test('update loses nothing that another writer wrote, and keeps the rest of the token', async () => {
    if (!command) return
    const token = await tokens.add({
      owner_id: 'ann',
      attrs: { n: 1, path: 'a/b', text: ',"attrs":{}}' },
      ttl: 60
    })
    const seen = await python(
      `
id, seen = ${JSON.stringify(token.id)}, []
def more(attrs):
    seen.append(attrs["n"])
    if len(seen) == 1:
        call("set", id, json.dumps({**attrs, "n": 5}))
    return {**attrs, "n": attrs["n"] + 1}
print(json.dumps([update(id, more), seen, update(new_id(), more)]))`
    )
    const updated = { ...token, attrs: { ...token.attrs, n: 6 } }
    expect(seen).toEqual([updated, [1, 5], null])
    expect(await tokens.get(token.id)).toEqual(updated)
    await expect(python(`update(${JSON.stringify(token.id)}, lambda attrs: [])`)).rejects.toThrow(
      'TSBADARG'
    )
  })

  test('changes and refreshes tokens, and revokes one whose old key comes back', async () => {
    if (!command) return
    const token = await tokens.add({ owner_id: 'guest', attrs: { n: 1 } })
    const seen = (await python(
      `
one = change(${JSON.stringify(token.id)}, "OWNER", "ann", "TTL", 60000)
two = refresh(one["key"])
print(json.dumps([one, two, refresh("unknown"), change(new_id(), "TTL", 1)]))`
    )) as [Python, Python, null, null]
    const [one, two] = seen
    expect(seen).toEqual([
      { ...token, owner_id: 'ann', expires_at: expect.any(Number) },
      { ...one, key: expect.stringMatching(/^[\w-]{24}$/) },
      null,
      null
    ])
    expect(two.key).not.toBe(one.key)
    for (const { key } of [one, two]) expect(await tokens.getKey(key)).toEqual({ ...one, key })
    expect(await tokens.list('guest')).toEqual([])

    const { key } = (await tokens.refresh(two.key, { grace: null }))!
    const caught = await python(
      `
try:
    refresh(${JSON.stringify(two.key)})
except Reuse as reuse:
    print(json.dumps(reuse.args))`
    )
    expect(caught).toEqual([token.id, 'ann'])
    expect(await tokens.getKey(key)).toBeNull()
    expect(await audit(redis, 'token')).toEqual([])
  })

  test('makes codes that the driver takes, and takes those of the driver', async () => {
    if (!command) return
    const name = 'login:jörg'
    const made = (await python(
      `print(json.dumps([make_code("${name}", {"user": 7}), make_code("${name}")]))`
    )) as [string, null]
    expect(made).toEqual([expect.stringMatching(/^\d{6}$/), null])
    expect(await tokens.tryCode(name, 'wrong')).toEqual({ ok: false, left: 4 })
    expect(await tokens.tryCode(name, made[0])).toEqual({ ok: true, value: { user: 7 } })

    const code = await tokens.makeCode(name, { tries: 2 })
    const seen = await python(
      `print(json.dumps([try_code("${name}", code) for code in ["wrong", "${code}", "${code}"]]))`
    )
    expect(seen).toEqual([
      [false, 1],
      [true, null],
      [false, 0]
    ])
    expect(Object.keys(await keyspace(redis, 'token'))).toEqual([`token:code:${name}`])
    await tokens.reset()
  })

  test('attrs are the same text on both sides, byte for byte', async () => {
    if (!command) return
    const keys: string[] = []
    for (const [what, text] of ATTRS) {
      const { key } = await tokens.add({
        owner_id: what,
        attrs: JSON.parse(text) as Record<string, unknown>
      })
      keys.push(key)
    }
    // Python hands back what it read of each, under another owner, without
    // parsing it.
    const made = (await python(
      `
made = []
for key in json.loads(${JSON.stringify(JSON.stringify(keys))}):
    record, _ = call("getkey", "PEEK", key)
    attrs = record[record.index(',"attrs":') + 9:-1]
    made.append([attrs, *call("add", secrets.token_urlsafe(18), new_id(), "python", attrs)])
print(json.dumps(made))`
    )) as [string, string, string, number][]
    for (const [i, [attrs, key, record]] of made.entries()) {
      const given = JSON.stringify(JSON.parse(ATTRS[i]![1]))
      expect(attrs).toBe(given)
      expect(await redis.get(`token:key:${keys[i]}`)).toContain(`,"attrs":${given}}`)
      expect(await redis.get(`token:key:${key}`)).toBe(record)
      expect(JSON.stringify((await tokens.getKey(key))!.attrs)).toBe(given)
    }
  })

  test('reset removes what the store has and nothing else', async () => {
    if (!command) return
    const { key, id } = await tokens.add({ owner_id: 'ann', ttl: 60 })
    await tokens.rotate(id, { grace: 60 })
    for (let i = 0; i < 30; i++) await tokens.add({ owner_id: `user-${i % 7}` })
    const hashes = [await tokens.makeHash(1, { replaces: 'reset:ann' }), await tokens.makeHash(2)]
    await tokens.makeHash(3, { owner_id: 'ann' })
    await tokens.makeCode('ann')
    const torn = await tokens.add({ owner_id: 'torn' })
    await redis.del('token:tokens:torn')
    const others = store({ prefix: 'tokens', redis: server.url })
    await others.add({ owner_id: 'ann' })
    await redis.set('token:key:foreign', 'x')
    await redis.sadd('token:tokens:foreign', 'x')
    await redis.set('token', 'x')
    const foreign = Object.entries(await keyspace(redis, 'token')).filter(([name]) =>
      /^token(s:.*|:\w+:foreign|)$/.test(name)
    )
    expect(foreign).toHaveLength(6)

    expect(await python('print(json.dumps(reset()))', 'reset')).toBe(1 + 30 + 1 + 3 + 1)
    expect(await keyspace(redis, 'token')).toEqual(Object.fromEntries(foreign))
    for (const each of [key, torn.key]) {
      expect(await tokens.getKey(each)).toBeNull()
    }
    for (const hash of hashes) expect(await tokens.getHash(hash)).toBeNull()
  })
})
