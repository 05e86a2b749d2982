import type { Token } from '../../src/types'
import { random } from '../support'
import { closeAfterAll, open, type Opened, passed, strangeOwners, topology } from './support'

closeAfterAll()

/** The owners that a walk yields. */
async function walk({ tokens }: Opened): Promise<string[]> {
  const met: string[] = []
  for await (const owner_id of tokens.owners()) met.push(owner_id)
  return met.sort()
}

test('yields everybody who has a token, once', async () => {
  const opened = open()
  const { tokens, beside } = opened
  for (const owner_id of [...strangeOwners, 'user-7', 'user-7'])
    await tokens.add({ owner_id, ttl: 1000 })
  const moves = await tokens.add({ owner_id: 'user-8' })
  await tokens.add({ owner_id: 'user-9' })
  const ended = await tokens.add({ owner_id: 'user-10', ttl: 0.05 })
  await tokens.delOwner('user-9')
  await tokens.change(moves.id, { owner_id: beside('user-8') })
  await tokens.makeHash('a', { owner_id: 'user-11', replaces: 'user-12' })
  await tokens.makeCode('user-13')
  await passed(ended.expires_at! + 1)
  expect(await walk(opened)).toEqual([...strangeOwners, 'user-7', beside('user-8')].sort())
  expect(await walk(open())).toEqual([])
})

test('writes nothing', async () => {
  const opened = open({ touchEvery: 0.001 })
  const token = await opened.tokens.add({ owner_id: 'user-7', idle: 100 })
  await passed(token.used_at! + 5)
  const before = await opened.all()
  expect(await walk(opened)).toEqual(['user-7'])
  expect(await opened.all()).toEqual(before)
})

test('leaves out what is no owner of this store', async () => {
  const opened = open()
  const { tokens, all, name, prefix } = opened
  const redis = topology.redis()
  await tokens.add({ owner_id: 'user-7' })
  for (const end of ['2', ':a', '*'])
    await open({ prefix: prefix + end }).tokens.add({ owner_id: 'user-8' })
  await redis.sadd(name('tokens', 'a set, as of 0.0.4'), 'a')
  await redis.set(name('tokens', 'a text'), 'a')
  const before = await all()
  expect(await walk(opened)).toEqual(['user-7'])
  expect(await all()).toEqual(before)
})

test('with a keyPrefix, those behind it', async () => {
  const { prefix, tokens } = open()
  const app = open({ prefix, redis: topology.keyPrefixed(`${prefix}a*:`) })
  await tokens.add({ owner_id: 'user-7' })
  await app.tokens.add({ owner_id: 'user-8' })
  expect(await walk(app)).toEqual(['user-8'])
})

test('yields exactly once who has tokens all the time, while others come and go', async () => {
  const opened = open()
  const { tokens, prefix, beside } = opened
  const other = open({ prefix }).tokens
  const rng = random(81)
  const below = (n: number): number => Math.floor(rng() * n)
  const steady = Array.from({ length: 1500 }, (_, i) => `steady-${i}`)
  const held = new Map<string, Token>()
  await Promise.all(
    steady.map(async (owner_id) => held.set(owner_id, await other.add({ owner_id, ttl: 1000 })))
  )
  const aside = beside('steady-0')
  let walking = true
  let came = 0
  const busy = Array.from({ length: 4 }, async () => {
    while (walking) {
      const owner_id = `user-${below(500)}`
      const { id } = await other.add({ owner_id })
      // Of somebody who stays the last token is always another.
      const lasting = steady[below(steady.length)]!
      const old = held.get(lasting)!
      held.set(lasting, await other.add({ owner_id: lasting, ttl: 1000 }))
      await other.del(old.id)
      if (below(2)) await other.del(id)
      await other.add({ owner_id: aside })
      came++
    }
  })
  for (let round = 0; round < 3 || came <= 50; round++) {
    const met = await walk(opened)
    const seen = new Set(met)
    expect(met).toHaveLength(seen.size)
    expect(steady.filter((owner_id) => !seen.has(owner_id))).toEqual([])
  }
  walking = false
  await Promise.all(busy)
  expect(await tokens.count('steady-1')).toBeGreaterThan(0)
})

test('may be left at any owner', async () => {
  const { tokens } = open()
  for (let i = 0; i < 20; i++) await tokens.add({ owner_id: `user-${i}` })
  const walking = tokens.owners()
  for await (const owner_id of walking) if (owner_id) break
  expect(await walking.next()).toEqual({ done: true, value: undefined })
})
