import { once } from 'node:events'
import { Redis } from 'ioredis'
import { startSentinels, startTls, type Node } from '../../scripts/redis-cluster'
import type { Tokenstore, Watcher } from '../../src/main'
import { partitioned as layoutOf, slotOf } from '../../src/layout'
import type { Config, Token } from '../../src/types'
import { Counts } from '../driver/cached'
import { closeAfterAll, freshPrefix, store, until } from '../support'
import { clusterClient, useCluster } from './support'

closeAfterAll()
const { cluster } = useCluster()

// Far longer than a machine stands still.
const cache = { silence: 20_000 }

/** Asks for tokens until memory answers all of them. */
async function warm(nodes: { redis: Redis }[], tokens: Tokenstore, all: Token[]): Promise<void> {
  const scripts = async (): Promise<number> => {
    const each = await Promise.all(nodes.map(({ redis }) => new Counts(redis).scripts()))
    return each.reduce((sum, n) => sum + n, 0)
  }
  await until(async () => {
    const before = await scripts()
    await Promise.all(all.map(({ key }) => tokens.getKey(key)))
    return (await scripts()) === before
  }, 30_000)
}

function listen(watcher: Watcher): string[] {
  const told: string[] = []
  watcher.on('revoked', (id) => told.push(id))
  watcher.on('gap', () => told.push('gap'))
  return told
}

const add = (tokens: Tokenstore, n: number): Promise<Token[]> =>
  Promise.all(Array.from({ length: n }, (_, i) => tokens.add({ owner_id: `user-${i}` })))
const found = (tokens: Tokenstore, all: Token[]): Promise<(Token | null)[]> =>
  Promise.all(all.map(({ key }) => tokens.getKey(key)))
const sorted = (told: string[]): string[] => told.filter((id) => id !== 'gap').sort()

/** What another process writes is seen and told, and what this one writes is never undone. */
async function works(
  nodes: { redis: Redis }[],
  tokens: Tokenstore,
  plain: Tokenstore
): Promise<void> {
  const watcher = await tokens.watch()
  const told = listen(watcher)
  const all = await add(plain, 30)
  for (const { id } of all) watcher.expect(id)
  await warm(nodes, tokens, all)
  await Promise.all(all.map(({ id }) => plain.set(id, { n: 1 })))
  await until(async () => (await found(tokens, all)).every((token) => token!.attrs.n === 1))
  await warm(nodes, tokens, all)
  await Promise.all(
    all.map(async ({ id, key }) => {
      await tokens.set(id, { n: 2 })
      expect(await tokens.getKey(key)).toMatchObject({ attrs: { n: 2 } })
    })
  )
  await warm(nodes, tokens, all)
  const [here, elsewhere] = [all.slice(0, 15), all.slice(15)]
  await Promise.all(
    here.map(async ({ owner_id, key }) => {
      await tokens.delOwner(owner_id)
      expect(await tokens.getKey(key)).toBeNull()
    })
  )
  await Promise.all(elsewhere.map(({ id }) => plain.del(id)))
  await until(async () => (await found(tokens, elsewhere)).every((token) => token === null))
  await until(() => told.length >= 30)
  expect(sorted(told)).toEqual(all.map(({ id }) => id).sort())
}

describe('on a cluster', () => {
  const trackers = async ({ redis }: Node): Promise<string[]> => new Counts(redis).trackers()

  test.each([
    ['partitioned', {}, {}, 1],
    ['with digest', { digest: true }, {}, 1],
    ['with a keyPrefix', {}, { keyPrefix: 'app:' }, 1],
    ['in one slot', { partitioned: false, prefix: '{one}' }, {}, 0]
  ] as [string, Config, object, number][])('%s', async (_name, config, options, least) => {
    const prefix = freshPrefix()
    const make = (more: Config): Tokenstore =>
      store({ prefix, ...config, redis: clusterClient(cluster(), options), ...more })
    const tokens = make({ cache })
    const masters = await cluster().masters()
    await works(masters, tokens, make({}))
    const each = await Promise.all(masters.map(trackers))
    expect(each.map((ids) => ids.length).sort()).toEqual([least, least, 1])
    await tokens.quit()
    await until(async () => (await Promise.all(masters.map(trackers))).flat().length === 0)
  })

  test('what one master told no more is forgotten, and what was revoked meanwhile is told', async () => {
    const prefix = freshPrefix()
    const tokens = store({ prefix, redis: clusterClient(cluster()), cache })
    const plain = store({ prefix, redis: clusterClient(cluster()) })
    const masters = await cluster().masters()
    const watcher = await tokens.watch()
    const told = listen(watcher)
    const all = await add(plain, 30)
    for (const { id } of all) watcher.expect(id)
    for (const master of masters) {
      await warm(masters, tokens, all)
      const gap = once(watcher, 'gap')
      const [id] = await trackers(master)
      await master.redis.client('KILL', 'ID', id!)
      await gap
    }
    await plain.reset()
    await until(async () => (await found(tokens, all)).every((token) => token === null))
    await until(() => sorted(told).length >= 30)
    expect(sorted(told)).toEqual(all.map(({ id }) => id).sort())
    expect(told.filter((each) => each === 'gap')).toHaveLength(3)
  })

  test('what a slot holds is seen and told after it moved', async () => {
    const prefix = freshPrefix()
    const tokens = store({ prefix, redis: clusterClient(cluster()), cache: true })
    const plain = store({ prefix, redis: clusterClient(cluster()) })
    const masters = await cluster().masters()
    const watcher = await tokens.watch()
    const told = listen(watcher)
    const [first, second] = (await add(plain, 2)) as [Token, Token]
    for (const { id } of [first, second]) watcher.expect(id)
    await warm(masters, tokens, [first, second])
    const slot = slotOf(layoutOf(prefix).keyRoot(first.key)!)
    const from = await cluster().ownerOf(slot)
    await cluster().moveSlot(
      slot,
      masters.find((node) => node !== from)!
    )
    await plain.set(first.id, { n: 1 })
    await until(async () => (await tokens.getKey(first.key))!.attrs.n === 1)
    await warm(masters, tokens, [first, second])
    await plain.del(first.id)
    await until(async () => (await tokens.getKey(first.key)) === null)
    await until(() => sorted(told).length > 0)
    expect(sorted(told)).toEqual([first.id])
  })
})

test('over TLS, for a user with a password', async () => {
  const { node, port, ca, stop } = await startTls()
  await node.redis.acl('SETUSER', 'app', 'on', '>pass', '~*', '&*', '+@all')
  const login = { host: 'localhost', port, username: 'app', password: 'pass', tls: { ca } }
  const prefix = freshPrefix()
  const own = new Redis(login)
  for (const redis of [login, own]) {
    const tokens = store({ prefix, redis, cache })
    await works([node], tokens, store({ prefix, redis: login }))
    await tokens.quit()
  }
  own.disconnect()
  await stop()
})

test('under Sentinel, also after a failover, with what was lost in it', async () => {
  const group = await startSentinels()
  const prefix = freshPrefix()
  const [tokens, plain] = [{ cache }, {}].map((config) =>
    store({ prefix, redis: group.options, timeout: 2000, ...config })
  ) as [Tokenstore, Tokenstore]
  const master = await group.master()
  await works([master], tokens, plain)
  const watcher = await tokens.watch()
  const told = listen(watcher)
  const all = await add(plain, 10)
  for (const { id } of all) watcher.expect(id)
  await warm([master], tokens, all)
  await until(async () => (await master.redis.wait(2, 100)) === 2)
  await group.patience(1000)
  const gap = once(watcher, 'gap')
  await master.kill()
  await gap
  const next = await group.master()
  const reached = (store: Tokenstore): Promise<boolean> =>
    store.ping().then(
      () => true,
      () => false
    )
  await until(() => reached(plain), 30_000)
  await until(() => reached(tokens), 30_000)
  await plain.delOwner(all[0]!.owner_id)
  await until(() => sorted(told).length > 0)
  expect(sorted(told)).toEqual([all[0]!.id])
  await warm([next], tokens, all.slice(1))
  await plain.reset()
  await until(async () => (await found(tokens, all)).every((token) => token === null))
  await until(() => sorted(told).length >= 10)
  expect(sorted(told)).toEqual(all.map(({ id }) => id).sort())
  await Promise.all([tokens, plain].map((store) => store.quit()))
  await group.stop()
})
