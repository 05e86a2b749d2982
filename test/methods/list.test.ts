import type { Page, Token } from '../../src/types'
import {
  attrsToCarry,
  closeAfterAll,
  endOf,
  expectCarried,
  listed,
  noObject,
  noText,
  open,
  type Opened,
  passed,
  refuses,
  stored,
  strangeOwners,
  topology,
  viaCallback
} from './support'

closeAfterAll()

/** The tokens of all pages, in the order met. */
async function walk(
  { tokens }: Opened,
  limit: number,
  between?: (page: number) => Promise<unknown>
): Promise<Token[]> {
  const met: Token[] = []
  let cursor: string | null = null
  for (let page = 1; ; page++) {
    const { tokens: some, cursor: next }: Page<Token> = await tokens.list('user-7', {
      limit,
      cursor
    })
    expect(some.length).toBeLessThanOrEqual(limit)
    met.push(...some)
    if (next === null) return met
    expect(next).not.toBe(cursor)
    cursor = next
    await between?.(page)
  }
}

const ids = (tokens: { id: string }[]): string[] => tokens.map(({ id }) => id)

test('the live tokens of an owner in order of issue, whenever they end', async () => {
  const { tokens } = open()
  const added: Token[] = []
  for (const life of [{ ttl: 900 }, {}, { ttl: 100 }, { idle: 500 }, {}, { ttl: 300 }]) {
    added.push(await tokens.add({ owner_id: 'user-7', attrs: life, ...life }))
  }
  await tokens.add({ owner_id: 'user-77' })
  expect(await tokens.list('user-7')).toEqual(added.map(listed))
  expect(await tokens.list('nobody')).toEqual([])
  await tokens.del(added[2]!.id)
  expect(ids(await tokens.list('user-7'))).toEqual(ids(added.filter((_, i) => i !== 2)))
})

test('with a callback', async () => {
  const { tokens } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  expect(await viaCallback((done) => tokens.list('user-7', done))).toEqual([listed(token)])
  const page = { tokens: [listed(token)], cursor: null }
  expect(await viaCallback((done) => tokens.list('user-7', { limit: 5 }, done))).toEqual(page)
  expect(await viaCallback((done) => tokens.list('nobody', done))).toEqual([])
})

test('2,500 tokens in one call', async () => {
  const { tokens } = open()
  const added = await Promise.all(
    Array.from({ length: 2500 }, (_, i) =>
      tokens.add({ owner_id: 'user-7', ttl: 1000 + ((i * 7919) % 2500) })
    )
  )
  expect(ids(await tokens.list('user-7'))).toEqual(ids(added).sort())
})

test('attrs come back as JSON carries them', async () => {
  const { tokens } = open()
  for (const attrs of Object.values(attrsToCarry)) {
    await tokens.add({
      owner_id: 'user-7',
      attrs: attrs as Record<string, unknown>,
      ttl: 100
    })
  }
  expectCarried(
    (await tokens.list('user-7')).map(({ attrs }) => attrs),
    Object.values(attrsToCarry)
  )
})

test('whatever the owner is called', async () => {
  const { tokens } = open()
  const added = await Promise.all(
    strangeOwners.map((owner_id) => tokens.add({ owner_id, ttl: 100 }))
  )
  for (const [i, owner_id] of strangeOwners.entries()) {
    expect(await tokens.list(owner_id)).toEqual([listed(added[i]!)])
    expect(await tokens.list(owner_id, {})).toEqual({
      tokens: [listed(added[i]!)],
      cursor: null
    })
  }
})

test('leaves out what has ended, and drops on its way what Redis evicted', async () => {
  const { tokens, all, name } = open()
  const redis = topology.redis()
  const [evicted, unindexed] = [
    await tokens.add({ owner_id: 'user-7' }),
    await tokens.add({ owner_id: 'user-7' })
  ]
  const kept = await tokens.add({ owner_id: 'user-7', ttl: 100 })
  const ended = await tokens.add({ owner_id: 'user-7', ttl: 0.05 })
  await redis.del(name('key', evicted.key))
  await redis.del(name('id', unindexed.id), name('key', unindexed.key))
  await passed(ended.expires_at! + 1)
  expect(await tokens.list('user-7')).toEqual([listed(kept)])
  expect(Object.keys(await all()).sort()).toEqual(
    [
      name('id', evicted.id),
      name('id', kept.id),
      name('key', kept.key),
      name('tokens', 'user-7')
    ].sort()
  )
  expect(await redis.zrange(name('tokens', 'user-7'), '0', '-1')).toEqual([ended.id, kept.id])
  expect(await endOf(name('tokens', 'user-7'))).toBe(kept.expires_at)
})

describe('pages', () => {
  test('hold at most limit, 100 when not said, and the last one has no cursor', async () => {
    const { tokens } = open()
    await Promise.all(Array.from({ length: 250 }, () => tokens.add({ owner_id: 'user-7' })))
    const sizes = async (limit?: number): Promise<number[]> => {
      const found: number[] = []
      for (let cursor: string | null = null; ;) {
        const page: Page<Token> = await tokens.list('user-7', {
          cursor,
          ...(limit ? { limit } : {})
        })
        found.push(page.tokens.length)
        if ((cursor = page.cursor) === null) return found
      }
    }
    expect(await sizes()).toEqual([100, 100, 50])
    expect(await sizes(125)).toEqual([125, 125])
    expect(await sizes(249)).toEqual([249, 1])
    expect(await sizes(250)).toEqual([250])
    expect(await sizes(1000)).toEqual([250])
    expect(await tokens.list('nobody', {})).toEqual({
      tokens: [],
      cursor: null
    })
  })

  test('together are everything, once, for any mix of lifetimes and any limit', async () => {
    const opened = open()
    // Several tokens end in the same millisecond, so that a page may end
    // between them.
    const added = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        opened.tokens.add({
          owner_id: 'user-7',
          ...(i % 3 ? { ttl: 100 + (i % 2) } : {})
        })
      )
    )
    for (const limit of [1, 2, 7, 59, 60, 61]) {
      const met = await walk(opened, limit)
      expect(ids(met).sort()).toEqual(ids(added).sort())
      const ends = met.map(({ expires_at }) => expires_at ?? Infinity)
      expect(ends).toEqual([...ends].sort((a, b) => a - b))
    }
  })

  test('miss no token that lives through the walk, whatever is added, deleted and used meanwhile', async () => {
    const opened = open({ idle: 1000, touchEvery: 0.001 })
    const { tokens } = opened
    const steady: Token[] = []
    const leaving: Token[] = []
    for (let i = 0; i < 30; i++) {
      steady.push(
        await tokens.add({
          owner_id: 'user-7',
          ...(i % 3 === 0 ? { idle: null } : {})
        })
      )
      leaving.push(await tokens.add({ owner_id: 'user-7' }))
    }
    const met = await walk(opened, 7, async (page) => {
      if (page > 20) return
      await tokens.add({ owner_id: 'user-7' })
      await tokens.del(leaving[page]!.id)
      await tokens.getKey(steady[(page * 5) % 30]!.key)
    })
    for (const { id } of steady) expect(ids(met)).toContain(id)
  })

  test('go on behind a token that has meanwhile been deleted', async () => {
    const { tokens } = open()
    const added: Token[] = []
    for (let i = 0; i < 6; i++) added.push(await tokens.add({ owner_id: 'user-7', ttl: 100 + i }))
    const first = await tokens.list('user-7', { limit: 3 })
    expect(ids(first.tokens)).toEqual(ids(added.slice(0, 3)))
    for (const { id } of added.slice(1, 4)) await tokens.del(id)
    expect(await tokens.list('user-7', { limit: 3, cursor: first.cursor })).toEqual({
      tokens: added.slice(4).map(listed),
      cursor: null
    })
  })

  test('may hold fewer than limit while more follows', async () => {
    const { tokens, name } = open()
    const added = [
      await tokens.add({ owner_id: 'user-7' }),
      await tokens.add({ owner_id: 'user-7' })
    ]
    await topology.redis().del(name('key', added[0]!.key))
    const page = await tokens.list('user-7', { limit: 1 })
    expect(page).toEqual({ tokens: [], cursor: expect.any(String) })
    expect(await tokens.list('user-7', { cursor: page.cursor })).toEqual({
      tokens: [listed(added[1]!)],
      cursor: null
    })
  })
})

test('wrong arguments are refused', async () => {
  const opened = open()
  const refused = (says: string, ...calls: unknown[][]): Promise<void> =>
    refuses(opened, 'list', says, ...calls)
  await refused(
    'owner_id must be a non-empty well-formed string',
    ...[...noText(), '\ud800'].map((wrong) => [wrong])
  )
  await refused('options must be a plain object', ...noObject().map((wrong) => ['user-7', wrong]))
  await refused('options must be a plain object with nothing but limit, cursor', [
    'user-7',
    { count: 5 }
  ])
  const limits = [0, -1, 1.5, 1001, NaN, Infinity, '5', null, true, 5n]
  await refused(
    'limit must be a whole number from 1 to 1000',
    ...limits.map((limit) => ['user-7', { limit }])
  )
  const cursors = ['', 'x', 'inf', ':', '-inf:a', '(5:a', 7, true, {}, [], 'inf:*', '5:a b']
  await refused(
    'cursor must be a cursor from an earlier page',
    ...cursors.map((cursor) => ['user-7', { cursor }])
  )
})

test("an owner set that is none of the store's stays as it is", async () => {
  const { tokens, all, name } = open()
  await topology.redis().sadd(name('tokens', 'user-7'), 'a')
  const before = await all()
  for (const options of [undefined, { limit: 5 }]) {
    await expect(tokens.list('user-7', options!)).rejects.toMatchObject({
      code: 'TSRECORD',
      name: 'TokenstoreError'
    })
  }
  expect(await all()).toEqual(before)
})

test("what an id leads to but is none of the owner's is not listed and stays as it is", async () => {
  const { tokens, all, spare, name } = open()
  const redis = topology.redis()
  const token = await tokens.add({ owner_id: 'user-7' })
  const { key, id } = spare('user-7')
  await topology.index(name('id', id), key)
  for (const stray of [
    'text',
    `{"owner_id":"user-7","attrs":{},"key":"${stored(key)}","id":"${id}"}`,
    `{"id":"${id}","owner_id":"user-8","attrs":{}}`
  ]) {
    await redis.set(name('key', key), stray)
    const before = await all()
    await redis.zadd(name('tokens', 'user-7'), 'inf', id)
    expect(await tokens.list('user-7')).toEqual([listed(token)])
    expect(await all()).toEqual(before)
  }
})

test('a record whose attrs are no JSON is an error', async () => {
  const { tokens, all, name } = open()
  const { key, id } = await tokens.add({ owner_id: 'user-7' })
  const torn = `{"id":"${id}","owner_id":"user-7","attrs":{x}}`
  await topology.redis().set(name('key', key), torn)
  const before = await all()
  for (const options of [undefined, { limit: 5 }]) {
    await expect(tokens.list('user-7', options!)).rejects.toMatchObject({
      code: 'TSRECORD',
      name: 'TokenstoreError'
    })
  }
  expect(await all()).toEqual(before)
})
