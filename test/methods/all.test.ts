import type { Token } from '../../src/types'
import { random } from '../support'
import {
  closeAfterAll,
  listed,
  open,
  type Opened,
  passed,
  stored,
  strangeOwners,
  topology
} from './support'

closeAfterAll()

const inOrder = (a: Token, b: Token): number => (a.id < b.id ? -1 : 1)

/** The tokens that a walk yields. */
async function walk({ tokens }: Opened): Promise<Token[]> {
  const met: Token[] = []
  for await (const token of tokens.all()) met.push(token)
  return met.sort(inOrder)
}

test('yields every token of every owner, and nothing else of the store', async () => {
  const opened = open()
  const { tokens, name } = opened
  const added: Token[] = []
  for (const owner_id of ['user-7', ...strangeOwners])
    added.push(await tokens.add({ owner_id, attrs: { owner_id }, ttl: 1000, idle: 500 }))
  const [deleted, ended, evicted] = [
    await tokens.add({ owner_id: 'user-7' }),
    await tokens.add({ owner_id: 'user-7', ttl: 0.05 }),
    await tokens.add({ owner_id: 'user-7' })
  ]
  await tokens.del(deleted.id)
  await topology.redis().del(name('key', evicted.key))
  await tokens.makeHash('a', { replaces: 'a', owner_id: 'user-7' })
  await tokens.makeCode('a')
  const { key } = (await tokens.refresh(added[0]!.key))!
  await passed(ended.expires_at! + 1)
  const met = await walk(opened)
  expect(met.map(({ id }) => id)).toEqual(added.map(({ id }) => id).sort())
  added[0] = { ...(await tokens.getKey(key, { touch: false }))! }
  expect(met).toEqual(added.map(listed).sort(inOrder))
  expect(await walk(open())).toEqual([])
})

test('counts as no use, and writes nothing', async () => {
  const opened = open({ touchEvery: 0.001 })
  const { tokens, all } = opened
  const token = await tokens.add({ owner_id: 'user-7', idle: 100 })
  await passed(token.used_at! + 5)
  const before = await all()
  expect(await walk(opened)).toEqual([listed(token)])
  expect(await all()).toEqual(before)
})

test('is not taken for another store’s, nor another for it', async () => {
  const opened = open()
  const others = ['2', ':a', '*', '?', '[ab]', '\\'].map((end) =>
    open({ prefix: `${opened.prefix}${end}` })
  )
  const added: Token[] = []
  for (const { tokens } of [opened, ...others]) added.push(await tokens.add({ owner_id: 'user-7' }))
  for (const [i, each] of [opened, ...others].entries())
    expect(await walk(each)).toEqual([listed(added[i]!)])
})

test('with a keyPrefix, those behind it', async () => {
  const { prefix, tokens } = open()
  const app = open({ prefix, redis: topology.keyPrefixed(`${prefix}a*:`) })
  await tokens.add({ owner_id: 'user-7' })
  const token = await app.tokens.add({ owner_id: 'user-7' })
  expect(await walk(app)).toEqual([listed(token)])
})

test('passes over foreign records', async () => {
  const opened = open()
  const { tokens, all, spare, name } = opened
  const redis = topology.redis()
  const token = await tokens.add({ owner_id: 'user-7' })
  const torn = await tokens.add({ owner_id: 'user-7' })
  await redis.set(name('key', torn.key), `{"id":"${torn.id}","owner_id":"user-7","attrs":{x}}`)
  const [a, b, c, d] = Array.from({ length: 4 }, () => spare('user-7'))
  await redis.sadd(name('id', a!.id), 'a')
  await topology.index(name('id', b!.id), b!.key)
  await redis.hset(name('key', b!.key), 'a', '1')
  await topology.index(name('id', c!.id), c!.key)
  const old = `{"owner_id":"user-7","attrs":{},"key":"${stored(c!.key)}","id":"${c!.id}"}`
  await redis.set(name('key', c!.key), old)
  await topology.index(name('id', d!.id), token.key)
  const before = await all()
  expect(await walk(opened)).toEqual([listed(token)])
  expect(await all()).toEqual(before)
})

test('yields exactly once what lives through the walk, while others do all they can', async () => {
  const { tokens, prefix, beside } = open({ idle: 1000, touchEvery: 0.001 })
  const other = open({ prefix, touchEvery: 0.001 }).tokens
  const rng = random(71)
  const below = (n: number): number => Math.floor(rng() * n)
  const owners = ['user-7', 'user-8', beside('user-7'), beside('user-8')]
  const add = (): Promise<Token> => other.add({ owner_id: owners[below(2)]!, idle: 1000 })
  const steady = await Promise.all(Array.from({ length: 2000 }, add))
  const leaving = await Promise.all(Array.from({ length: 500 }, add))
  const keys = new Map(steady.map(({ id, key }) => [id, key]))
  const done = { added: 0, deleted: 0, changed: 0, rotated: 0 }

  const disturb = async (): Promise<void> => {
    const { id } = steady[below(steady.length)]!
    const what = below(5)
    if (what === 0 && ++done.added) await add()
    else if (what === 1 && leaving.length > 0) {
      done.deleted++
      await other.del(leaving.pop()!.id)
    } else if (what === 2) {
      const { owner_id } = (await other.get(id))!
      const i = owners.indexOf(owner_id)
      await other.change(id, { owner_id: owners[(i + 2) % 4] })
      done.changed++
    } else if (what === 3) {
      // Two at once may take it from each other.
      const key = keys.get(id)!
      const refreshed = below(2) ? other.refresh(key) : other.rotate(id, { grace: 100 })
      keys.set(id, (await refreshed)!.key)
      done.rotated++
    } else await other.getKey(keys.get(id)!)
  }
  let walking = true
  const busy = Array.from({ length: 4 }, async () => {
    while (walking) await disturb()
  })
  for (let round = 0; round < 3; round++) {
    const met: string[] = []
    for await (const { id } of tokens.all()) met.push(id)
    const seen = new Set(met)
    expect(met).toHaveLength(seen.size)
    expect(steady.filter(({ id }) => !seen.has(id))).toEqual([])
  }
  walking = false
  await Promise.all(busy)
  for (const n of Object.values(done)) expect(n).toBeGreaterThan(10)
  for (const { id } of steady) expect(await tokens.getKey(keys.get(id)!)).toMatchObject({ id })
})

test('asks for no more than is taken, and may be left at any token', async () => {
  const { tokens } = open()
  await Promise.all(Array.from({ length: 300 }, (_, i) => tokens.add({ owner_id: `user-${i}` })))
  const unused = tokens.all()
  let n = 0
  const walk = tokens.all()
  for await (const token of walk) if (token && ++n === 10) break
  expect(n).toBe(10)
  expect(await walk.next()).toEqual({ done: true, value: undefined })
  await tokens.quit()
  await expect(unused.next()).rejects.toMatchObject({ code: 'TSCLOSED' })
})

test('a token that comes or goes meanwhile is met once or not at all', async () => {
  const { tokens, prefix } = open()
  const other = open({ prefix }).tokens
  const added = await Promise.all(
    Array.from({ length: 1500 }, (_, i) => tokens.add({ owner_id: `user-${i % 5}` }))
  )
  const met: string[] = []
  let gone: Promise<unknown>[] = []
  for await (const { id } of tokens.all()) {
    met.push(id)
    if (met.length % 300 === 1) {
      gone = [...gone, other.delOwner(`user-${Math.floor(met.length / 300)}`)]
      gone.push(other.add({ owner_id: 'user-9' }))
    }
  }
  await Promise.all(gone)
  expect(new Set(met).size).toBe(met.length)
  expect(met.length).toBeLessThan(added.length + gone.length)
})
