import { Tokenstore, TokenstoreError } from '../../src/main'
import { partitioned, slotOf } from '../../src/layout'
import { block } from '../pages/page'
import { client, closeAfterAll, freshPrefix, store, until } from '../support'
import {
  clusterAudit,
  clusterClient,
  clusterKeyspace,
  errorsAnswered,
  refused,
  report,
  useCluster
} from './support'

closeAfterAll()
const { cluster } = useCluster()

test('10,000 owners spread evenly over the masters, and each call finds its master', async () => {
  const prefix = freshPrefix()
  const tokens = store({ redis: clusterClient(cluster()), prefix })
  const added = await Promise.all(
    Array.from({ length: 10_000 }, (_, i) => tokens.add({ owner_id: `user-${i}`, attrs: { i } }))
  )

  const masters = await cluster().masters()
  const shares = await Promise.all(masters.map(async ({ redis }) => (await redis.dbsize()) / 3))
  report('10,000 owners over the masters', Object.fromEntries(shares.entries()))
  expect(shares.reduce((sum, share) => sum + share)).toBe(10_000)
  for (const share of shares) expect(Math.abs(share / (10_000 / 3) - 1)).toBeLessThan(0.05)
  expect(await clusterAudit(cluster(), prefix)).toEqual([])

  // Of one tick, so that keys of many roots meet in the batches.
  expect(await Promise.all(added.map(({ key }) => tokens.getKey(key)))).toEqual(added)
  const some = added.filter((_, i) => i % 10 === 0)
  expect(await Promise.all(some.map(({ id }) => tokens.get(id)))).toEqual(some)
  expect(await Promise.all(some.map(({ owner_id }) => tokens.list(owner_id)))).toEqual(
    some.map((token) => [token])
  )
  const hashes = await Promise.all(some.map(({ id }) => tokens.makeHash({ id })))
  expect(await Promise.all(hashes.map((hash) => tokens.takeHash(hash)))).toEqual(
    some.map(({ id }) => ({ id }))
  )
  expect(await Promise.all(some.map(({ id }) => tokens.del(id)))).toEqual(some.map(() => true))
  expect(await tokens.reset()).toBe(9000)
})

test('every method, on names that only its argument leads to', async () => {
  const prefix = freshPrefix()
  const tokens = store({ redis: clusterClient(cluster()), prefix })
  for (let i = 0; i < 40; i++) {
    const owner_id = `${prefix} owner ${i}`
    const token = await tokens.add({
      owner_id,
      attrs: { n: 1 },
      ttl: 1000,
      idle: 100
    })
    expect(await tokens.getKey(token.key)).toMatchObject({ id: token.id })
    expect(await tokens.set(token.id, { n: 2 })).toMatchObject({
      attrs: { n: 2 }
    })
    expect(await tokens.update(token.id, ({ n }) => ({ n: Number(n) + 1 }))).toMatchObject({
      attrs: { n: 3 }
    })
    expect(await tokens.change(token.id, { idle: null, attrs: {} })).toMatchObject({ attrs: {} })
    const between = (await tokens.rotate(token.id))!
    const rotated = (await tokens.refresh(between.key, { detect: null, grace: 100 }))!
    expect((await tokens.getKey(between.key))?.key).toBe(between.key)
    expect((await tokens.getKey(rotated.key))?.id).toBe(token.id)
    const other = await tokens.add({ owner_id })
    expect(await tokens.count(owner_id)).toBe(2)
    expect((await tokens.list(owner_id, { limit: 1 })).tokens).toHaveLength(1)
    for await (const each of tokens.each(owner_id)) expect([token.id, other.id]).toContain(each.id)
    expect(await tokens.delKey(other.key)).toBe(true)
    expect(await tokens.delOwner(owner_id)).toBe(1)

    const owned = await tokens.makeHash(i, { owner_id })
    expect(await tokens.delOwner(owner_id, { hashes: true })).toBe(0)
    expect(await tokens.getHash(owned)).toBeNull()
    const code = await tokens.makeCode(owner_id, { value: i })
    expect(await tokens.tryCode(owner_id, code)).toEqual({ ok: true, value: i })
    const first = await tokens.makeHash(i, { replaces: owner_id })
    const second = await tokens.makeHash(i, { replaces: owner_id })
    expect(await tokens.getHash(first)).toBeNull()
    expect(await tokens.getHash(second)).toBe(i)
    expect(await tokens.delHash(second)).toBe(true)
  }
  const left = Object.keys(await clusterKeyspace(cluster(), prefix))
  const families = left.map((name) => /\}:(\w+):/.exec(name)![1])
  // The tries of codes, old keys until their grace is over, and the names of what was replaced.
  const often = ['code', 'key', 'latest'].flatMap((family) => Array<string>(40).fill(family))
  expect(families.sort()).toEqual(often)
})

/** How often the masters were asked to run a script. */
async function scriptsRun(): Promise<number> {
  const infos = await Promise.all(
    (await cluster().masters()).map(({ redis }) => redis.info('commandstats'))
  )
  const counts = infos.flatMap((info) => [...info.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)])
  return counts.reduce((sum, [, n]) => sum + Number(n), 0)
}

test('texts that no key, id or hash can be are unknown, without a call', async () => {
  const tokens = store({ redis: clusterClient(cluster()) })
  await tokens.count('ann')
  const before = await scriptsRun()
  // __9 is a tag beyond the last.
  for (const text of [
    'a',
    '{}',
    'é'.repeat(24),
    '__9'.repeat(8),
    '\ud800'.repeat(24),
    '*'.repeat(24)
  ]) {
    expect(await tokens.getKey(text)).toBeNull()
    expect(await tokens.delKey(text)).toBe(false)
    expect(await tokens.refresh(text)).toBeNull()
    expect(await tokens.getHash(text)).toBeNull()
    expect(await tokens.takeHash(text)).toBeNull()
    expect(await tokens.delHash(text)).toBe(false)
  }
  for (const id of [
    'a',
    '0190a0b0-0000-7000-8000-00000000ffff',
    '0190a0b0-0000-7000-8000-000000004000'
  ]) {
    expect(await tokens.get(id)).toBeNull()
    expect(await tokens.set(id, {})).toBeNull()
    expect(await tokens.change(id, { owner_id: 'ann' })).toBeNull()
    expect(await tokens.del(id)).toBe(false)
    expect(await tokens.rotate(id)).toBeNull()
  }
  expect(await scriptsRun()).toBe(before)
})

test('everything works for a user with few rights, in the ways in which a cluster is asked', async () => {
  const prefix = freshPrefix()
  const [line] = block('acl').split('\n')
  const rules = line!.replaceAll('token', prefix).split(' ').slice(3)
  for (const { redis } of cluster().nodes) {
    await redis.acl('SETUSER', 'app', 'reset', ...rules, '+cluster|slots', '+cluster|info', '+wait')
  }
  const redisOptions = { username: 'app', password: 'a-long-password' }
  for (const options of [{}, { scaleReads: 'slave' as const }, { enableAutoPipelining: true }]) {
    const tokens = store({
      redis: clusterClient(cluster(), { redisOptions, ...options }),
      prefix,
      replicas: 1
    })
    const owners = Array.from({ length: 20 }, (_, i) => `user-${i}`)
    const added = await Promise.all(owners.map((owner_id) => tokens.add({ owner_id })))
    expect(await Promise.all(added.map(({ key }) => tokens.getKey(key)))).toEqual(added)
    expect(await Promise.all(owners.map((owner_id) => tokens.list(owner_id)))).toEqual(
      added.map((token) => [token])
    )
    expect(await Promise.all(added.slice(10).map(({ id }) => tokens.del(id)))).toEqual(
      Array(10).fill(true)
    )
    expect(await tokens.takeHash(await tokens.makeHash('a'))).toBe('a')
    expect(await tokens.reset()).toBe(10)
  }
})

test('a slot that nobody is known to serve is an error of ours', async () => {
  const prefix = freshPrefix()
  for (const options of [{}, { enableAutoPipelining: true }]) {
    const redis = clusterClient(cluster(), options)
    const tokens = store({ redis, prefix })
    await tokens.count('ann')
    const slot = slotOf(partitioned(prefix).ownerRoot('ann'))
    const call = tokens.count('bob')
    for (const replicas of [0, 1]) {
      Reflect.deleteProperty(redis.slots, slot)
      // ioredis asks another node, or throws; a confirmed write waits until the
      // masters are asked anew.
      const outcome: unknown = await tokens
        .delOwner('ann', { replicas })
        .catch((error: unknown) => error)
      if (outcome !== 0) expect(outcome).toMatchObject({ code: 'TSUNAVAILABLE' })
      await until(() =>
        tokens.delOwner('ann', { replicas }).then(
          () => true,
          () => false
        )
      )
    }
    expect(await call).toBe(0)
  }
})

test("a forced key or id with another owner's tag is refused and nothing is written", async () => {
  const prefix = freshPrefix()
  const tokens = store({ redis: clusterClient(cluster()), prefix })
  const [ann, bob] = [await tokens.add({ owner_id: 'ann' }), await tokens.add({ owner_id: 'bob' })]
  const before = await clusterKeyspace(cluster(), prefix)
  const fresh = partitioned(prefix)
  const root = fresh.ownerRoot('bob')
  for (const forced of [
    { key: bob.key },
    { id: bob.id },
    { key: bob.key, id: bob.id },
    { key: fresh.newKey(root, 24) },
    { id: fresh.newId(root) },
    { key: ann.key, id: bob.id },
    { key: bob.key, id: ann.id },
    { key: '*'.repeat(24) }
  ]) {
    const error: unknown = await tokens
      .add({ owner_id: 'ann', ...forced })
      .catch((error: unknown) => error)
    expect(error).toBeInstanceOf(TypeError)
    expect((error as Error).message).toMatch(
      /^(key|id) must be one once issued to this owner: it carries another tag$/
    )
  }
  expect(await clusterKeyspace(cluster(), prefix)).toEqual(before)

  await tokens.del(ann.id)
  expect(await tokens.add(ann)).toEqual(ann)
  expect(await clusterKeyspace(cluster(), prefix)).toEqual(before)
})

test('reset visits every master, as the first call of a store too, and leaves the neighbours alone', async () => {
  const prefix = freshPrefix()
  const neighbours = [`${prefix}x`, `x${prefix}`, `${prefix}:x`, `{${prefix}}`].map((prefix) =>
    store({ redis: clusterClient(cluster()), prefix })
  )
  const tokens = store({ redis: clusterClient(cluster()), prefix })
  for (let i = 0; i < 60; i++) {
    await Promise.all([tokens, ...neighbours].map((store) => store.add({ owner_id: `user-${i}` })))
    if (i % 3 === 0) await tokens.makeHash(i, { replaces: `user-${i}` })
  }
  const strays = [
    `${prefix}:{AAA}:other:x`,
    `${prefix}:{...}:key:x`,
    `${prefix}:key:x`,
    `${prefix}:{AAA}key:x`
  ]
  const redis = clusterClient(cluster())
  for (const stray of strays) await redis.set(stray, 'x')

  for (const options of [{}, { lazyConnect: true }]) {
    const lone = store({ redis: clusterClient(cluster(), options), prefix })
    expect(await lone.reset()).toBe(60 + 20)
    expect(Object.keys(await clusterKeyspace(cluster(), `${prefix}:{`)).sort()).toEqual(
      strays.filter((stray) => stray.startsWith(`${prefix}:{`)).sort()
    )
    expect(await redis.exists(`${prefix}:key:x`)).toBe(1)
    for (let i = 0; i < 60; i++) await tokens.add({ owner_id: `user-${i}` })
    for (let i = 0; i < 20; i++) await tokens.makeHash(i, { replaces: `user-${i}` })
  }
  for (const neighbour of neighbours) expect(await neighbour.reset()).toBe(60)
})

test('all and owners visit every master', async () => {
  const prefix = freshPrefix()
  const tokens = store({ redis: clusterClient(cluster()), prefix })
  const neighbour = store({ redis: clusterClient(cluster()), prefix: `${prefix}x` })
  const owned = Array.from({ length: 60 }, (_, i) => `user-${i}`)
  const added = await Promise.all(owned.map((owner_id) => tokens.add({ owner_id })))
  await neighbour.add({ owner_id: 'user-7' })
  const [met, owners]: unknown[][] = [[], []]
  for await (const token of tokens.all()) met!.push(token)
  for await (const owner_id of tokens.owners()) owners!.push(owner_id)
  expect(met).toHaveLength(60)
  expect(met).toEqual(expect.arrayContaining(added))
  expect(owners!.sort()).toEqual(owned.sort())
})

test('ping asks every master, and rejects in time while one of them hangs', async () => {
  const tokens = store({ redis: clusterClient(cluster()), timeout: 500 })
  const masters = await cluster().masters()
  const pings = async (): Promise<number[]> => {
    const infos = await Promise.all(masters.map(({ redis }) => redis.info('commandstats')))
    return infos.map((info) => Number(/cmdstat_ping:calls=(\d+)/.exec(info)?.[1] ?? 0))
  }
  await until(() =>
    tokens.ping().then(
      () => true,
      () => false
    )
  )
  const before = await pings()
  expect(await tokens.ping()).toBeUndefined()
  expect(await pings()).toEqual(before.map((n) => n + 1))
  for (const master of masters) {
    master.pause()
    const error: unknown = await tokens.ping().catch((error: unknown) => error)
    master.resume()
    expect(error).toMatchObject({ name: 'UnavailableError', code: 'TSUNAVAILABLE' })
  }
})

test('with a hash tag in the prefix everything is in one slot', async () => {
  const prefix = `{${freshPrefix()}}`
  const tokens = store({ redis: clusterClient(cluster()), prefix })
  const key = 'k'.repeat(24)
  for (let i = 0; i < 30; i++) await tokens.add({ owner_id: `user-${i}` })
  // Any key of the right length is fine, as on one server.
  await tokens.add({ owner_id: 'ann', key })
  const holders = await Promise.all(
    (await cluster().masters()).map(({ redis }) => redis.keys(`${prefix}:*`))
  )
  expect(holders.map((names) => names.length).sort((a, b) => a - b)).toEqual([0, 0, 3 * 31])
  expect(await clusterAudit(cluster(), prefix)).toEqual([])
  expect(await tokens.getKey(key)).toMatchObject({ owner_id: 'ann' })
  expect(await tokens.reset()).toBe(31)
})

test('prefixes that do not fit are refused at once', () => {
  const redis = clusterClient(cluster())
  expect(() => Tokenstore({ redis, partitioned: false })).toThrow(
    'prefix must be one with a hash tag'
  )
  expect(() => Tokenstore({ redis, prefix: '{}token' })).toThrow('prefix must be free of braces')
  expect(() => Tokenstore({ redis, prefix: '{token}', partitioned: true })).toThrow(
    'prefix must be free of braces'
  )
  expect(() => Tokenstore({ redis, hashSize: 3 })).toThrow('hashSize must be at least 4')
})

test('a keyPrefix of the client counts as part of the prefix', async () => {
  const keyPrefix = freshPrefix()
  const spread = store({
    redis: clusterClient(cluster(), { keyPrefix: `${keyPrefix}:` }),
    prefix: 'token'
  })
  const tagged = store({
    redis: clusterClient(cluster(), { keyPrefix: `{${keyPrefix}}:` }),
    prefix: 'token'
  })
  for (const tokens of [spread, tagged]) {
    const added = await Promise.all(
      Array.from({ length: 30 }, (_, i) => tokens.add({ owner_id: `user-${i}` }))
    )
    expect(await Promise.all(added.map(({ key }) => tokens.getKey(key)))).toEqual(added)
    const [token] = added
    expect(await tokens.del(token!.id, { replicas: 1 })).toBe(true)
  }
  expect(await clusterAudit(cluster(), `${keyPrefix}:token`)).toEqual([])
  expect(await clusterAudit(cluster(), `{${keyPrefix}}:token`)).toEqual([])
  expect(Object.keys(await clusterKeyspace(cluster(), `${keyPrefix}:token:{`))).toHaveLength(3 * 29)
  expect(Object.keys(await clusterKeyspace(cluster(), `{${keyPrefix}}:token:`))).toHaveLength(
    3 * 29
  )
  expect(await spread.reset()).toBe(29)
  expect(await tagged.reset()).toBe(29)
  expect(await clusterKeyspace(cluster(), keyPrefix)).toEqual({})
})

test('scripts that the masters have forgotten are sent again', async () => {
  const tokens = store({ redis: clusterClient(cluster()) })
  const owners = Array.from({ length: 30 }, (_, i) => `user-${i}`)
  await Promise.all(owners.map((owner_id) => tokens.add({ owner_id })))
  const masters = await cluster().masters()
  for (const { redis } of masters) await redis.script('FLUSH')
  const before = await errorsAnswered(masters, 'NOSCRIPT')
  await Promise.all(owners.map((owner_id) => tokens.add({ owner_id })))
  expect(await errorsAnswered(masters, 'NOSCRIPT')).toBeGreaterThanOrEqual(before + 3)
  expect(await Promise.all(owners.map((owner_id) => tokens.count(owner_id)))).toEqual(
    owners.map(() => 2)
  )
})

test('errors of a cluster say what Redis said, and are of our kinds', async () => {
  const config = { redis: clusterClient(cluster()), prefix: freshPrefix() }
  const tokens = store(config)
  const { key, id } = await tokens.add({ owner_id: 'ann' })
  const error = await tokens.add({ owner_id: 'ann', key }).catch((error: unknown) => error)
  expect(error).toBeInstanceOf(TokenstoreError)
  expect((error as TokenstoreError).code).toBe('TSKEYTAKEN')
  expect(JSON.stringify(error) + String(error)).not.toContain(key)
  const hasty = store({ ...config, timeout: 1000, replicas: 2 })
  await refused('set: done, but confirmed by 1 of 2 replicas', () => hasty.set(id, { n: 1 }))
  expect(await tokens.get(id)).toMatchObject({ attrs: { n: 1 } })
})

test('a store on one server with partitioned: true has the very names that a cluster would have', async () => {
  const prefix = freshPrefix()
  const single = store({ partitioned: true, prefix })
  const spread = store({ redis: clusterClient(cluster()), prefix })
  const added = await Promise.all(
    Array.from({ length: 50 }, (_, i) => single.add({ owner_id: `user-${i}` }))
  )
  for (const token of added) await spread.add(token)
  const names = (await client().keys(`${prefix}:*`)).sort()
  expect(Object.keys(await clusterKeyspace(cluster(), prefix)).sort()).toEqual(names)
  expect(await single.reset()).toBe(50)
})
