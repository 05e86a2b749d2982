import { randomBytes } from 'node:crypto'
import type { Token } from '../../src/types'
import { freshPrefix } from '../support'
import {
  closeAfterAll,
  open,
  type Opened,
  stored,
  strangeOwners,
  topology,
  viaCallback
} from './support'

closeAfterAll()

/** Some of everything a store can hold; how many tokens, hashes and codes that is. */
async function fill({ tokens }: Opened): Promise<number> {
  for (const owner_id of ['user-7', 'user-8', 'x,"attrs":{}', '{a}*:']) {
    await tokens.add({ owner_id })
    await tokens.add({ owner_id, ttl: 1000 })
    const { id } = await tokens.add({ owner_id, idle: 1000, attrs: { a: [] } })
    const { key } = (await tokens.rotate(id, { grace: 100 }))!
    // Left behind: a key that opens, and one that is only watched for.
    await tokens.refresh((await tokens.refresh(key, { grace: null }))!.key)
  }
  await tokens.makeHash('a')
  await tokens.makeHash('b', { replaces: 'reset:user-7' })
  await tokens.makeHash('c', { replaces: 'reset:user-7' })
  await tokens.makeHash('d', { owner_id: 'user-7' })
  await tokens.makeCode('login:user-7')
  await tokens.makeCode('login:user-8', { tries: 1 })
  await tokens.tryCode('login:user-8', 'spent')
  return 12 + 3 + 2
}

test('removes everything of the store and answers how many tokens, hashes and codes that were', async () => {
  const opened = open()
  const filled = await fill(opened)
  expect(await opened.tokens.reset()).toBe(filled)
  expect(await opened.all()).toEqual({})
  expect(await opened.tokens.reset()).toBe(0)
})

test('with a callback', async () => {
  const opened = open()
  const filled = await fill(opened)
  expect(await viaCallback((done) => opened.tokens.reset(done))).toBe(filled)
  expect(await viaCallback((done) => opened.tokens.reset(done))).toBe(0)
})

test('whatever the owners are called', async () => {
  const { tokens, all } = open()
  await Promise.all(strangeOwners.map((owner_id) => tokens.add({ owner_id })))
  for (const name of strangeOwners) {
    await tokens.makeHash('a', { replaces: name })
    await tokens.makeHash('a', { owner_id: name })
    await tokens.makeCode(name)
  }
  expect(await tokens.reset()).toBe(4 * strangeOwners.length)
  expect(await all()).toEqual({})
})

test('1,500 tokens of one owner and 1,000 of as many', async () => {
  const { tokens, all } = open()
  const owners = Array.from({ length: 2500 }, (_, i) => (i < 1500 ? 'user-7' : `user-${i}`))
  await Promise.all(owners.map((owner_id) => tokens.add({ owner_id, ttl: 1000 })))
  expect(await tokens.reset()).toBe(2500)
  expect(await all()).toEqual({})
})

test('never touches a neighbour, whatever characters the prefix has', async () => {
  const some = randomBytes(4).toString('hex')
  const redis = topology.redis()
  // None of these may take another for its own: each is filled, reset, and must
  // have left all others as they were.
  const prefixes = [
    '',
    '2',
    'X',
    '*',
    '?',
    '[a]',
    'a',
    '[^b]',
    '\\',
    '\\*',
    ':',
    ':a',
    ':a:b',
    '\0',
    ' ',
    '"',
    '\n'
  ]
  const opened = prefixes.map((end) => open({ prefix: `${some}to${end}` }))
  const filled = new Map<Opened, number>()
  for (const store of opened) filled.set(store, await fill(store))
  // And names beside it that belong to no store.
  const names = [
    `${some}to`,
    `${some}to:`,
    `${some}to:x`,
    `${some}to:keys:a`,
    `${some}to:x:key:a`,
    `${some}t`
  ]
  for (const name of names) await redis.set(name, '{"id":"a"}')
  for (const store of opened) {
    const before = await topology.names(some)
    const own = Object.keys(before).filter((name) => {
      const rest = name.slice(store.prefix.length)
      return (
        name.startsWith(store.prefix) &&
        /^:(\{...\}:)?(key|id|tokens|hash|latest|hashes|code):/.test(rest)
      )
    })
    expect(await store.tokens.reset()).toBe(filled.get(store))
    for (const name of own) delete before[name]
    expect(await topology.names(some)).toEqual(before)
  }
  expect(Object.keys(await topology.names(some)).sort()).toEqual(names.sort())
})

test('leaves alone what 0.0.4 wrote under the same prefix, and stray types', async () => {
  const opened = open()
  const redis = topology.redis()
  const { name, all } = opened
  const id = 'c3b575f1-06ce-48fb-ac30-9ff50413560d'
  const { id: stray, key } = opened.spare('user-7')
  const oldKey = opened.spare('user-7').key
  const record = `{"owner_id":"old","attrs":{},"key":"${stored(oldKey)}","id":"${id}"}`
  await Promise.all([
    redis.hset(name('key', key), 'a', '1'),
    redis.sadd(name('tokens', 'old'), id),
    redis.set(name('tokens', 'text'), 'a'),
    redis.set(name('key', oldKey), record),
    topology.index(name('id', stray), oldKey)
  ])
  const before = await all()
  const filled = await fill(opened)
  expect(await opened.tokens.reset()).toBe(filled)
  expect(await all()).toEqual(before)
})

test('removes a hash or a code whatever is under its name', async () => {
  const opened = open()
  const redis = topology.redis()
  await redis.set(opened.name('hash', 'A123456789abcdef'), 'user@example.com')
  await redis.rpush(opened.name('hash', 'ABCDEFGH'), 'a')
  await redis.sadd(opened.name('latest', 'a'), 'a')
  await redis.set(opened.name('hashes', 'user-7'), 'a')
  await redis.set(opened.name('code', 'login'), 'a')
  await opened.tokens.makeHash('a')
  expect(await opened.tokens.reset()).toBe(4)
  expect(await opened.all()).toEqual({})
})

test('clears away what evictions by Redis left', async () => {
  const { tokens, all, name } = open()
  const redis = topology.redis()
  const added: Token[] = []
  for (let i = 0; i < 6; i++) added.push(await tokens.add({ owner_id: `user-${i % 2}` }))
  await redis.del(name('key', added[0]!.key))
  await redis.del(name('id', added[1]!.id))
  await redis.del(name('key', added[2]!.key))
  await redis.del(name('id', added[2]!.id))
  await redis.del(name('tokens', 'user-1'))
  expect(await tokens.reset()).toBe(4)
  expect(await all()).toEqual({})
})

test('with a keyPrefix removes the own, and nothing without it or with another', async () => {
  const prefix = freshPrefix()
  const redis = topology.redis()
  const [plain, app, glob] = [
    open({ prefix }),
    open({ prefix, redis: topology.keyPrefixed(`${prefix}app:`) }),
    open({ prefix, redis: topology.keyPrefixed(`${prefix}a*:`) })
  ]
  for (const opened of [plain, app, glob]) await fill(opened)
  const scan = async (): Promise<string[]> => Object.keys(await topology.names(prefix))
  const total = (await scan()).length
  expect(await glob.tokens.reset()).toBe(17)
  expect(await scan()).toHaveLength((total / 3) * 2)
  expect(await plain.tokens.reset()).toBe(17)
  expect(await scan()).toHaveLength(total / 3)
  expect(await redis.exists(`${prefix}:tokens:user-7`)).toBe(0)
  expect(await app.tokens.count('user-7')).toBe(3)
  expect(await app.tokens.reset()).toBe(17)
  expect(await scan()).toEqual([])
})

test('while it runs every token is whole or gone', async () => {
  const { tokens, all, prefix } = open()
  const looking = open({ prefix }).tokens
  const added = await Promise.all(
    Array.from({ length: 1500 }, (_, i) => tokens.add({ owner_id: `user-${i % 50}` }))
  )
  let done = false
  const seen = { whole: 0, gone: 0 }
  const look = async ({ key, id, owner_id }: Token): Promise<void> => {
    // One after the other: what is gone for one is gone for all that ask later.
    const found = await looking.getKey(key, { touch: false })
    seen[found ? 'whole' : 'gone']++
    if (found) return
    const [byId, listed, set] = [
      await looking.get(id),
      await looking.list(owner_id),
      await looking.set(id, {})
    ]
    expect([byId, listed.some((token) => token.id === id), set]).toEqual([null, false, null])
  }
  const reset = tokens.reset().finally(() => (done = true))
  for (let i = 0; !done; i++) await Promise.all(added.filter((_, n) => n % 50 === i % 50).map(look))
  expect(await reset).toBe(1500)
  expect(Math.min(seen.whole, seen.gone)).toBeGreaterThan(0)
  expect(await all()).toEqual({})
})
