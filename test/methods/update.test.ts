import { ConflictError } from '../../src/main'
import {
  attrsToCarry,
  closeAfterAll,
  expectCarried,
  listed,
  notCarried,
  noText,
  open,
  passed,
  refuses,
  stored,
  topology,
  viaCallback
} from './support'

closeAfterAll()

test('makes new attrs of the old and answers the token', async () => {
  const { tokens, all } = open()
  const token = await tokens.add({
    owner_id: 'user-7',
    attrs: { n: 1, kept: true }
  })
  const names = Object.keys(await all())
  const changed = { ...token, attrs: { n: 2, kept: true } }
  expect(await tokens.update(token.id, (attrs) => ({ ...attrs, n: 2 }))).toEqual(listed(changed))
  expect(await tokens.getKey(token.key)).toEqual(changed)
  expect(Object.keys(await all())).toEqual(names)
})

test('the change may be async, and may alter the attrs it is given', async () => {
  const { tokens } = open()
  const { id } = await tokens.add({ owner_id: 'user-7', attrs: { n: 1 } })
  const updated = await tokens.update(id, async (attrs) => {
    await new Promise((resolve) => setImmediate(resolve))
    attrs['n'] = 2
    return attrs
  })
  expect(updated).toMatchObject({ attrs: { n: 2 } })
})

test('with a callback', async () => {
  const { tokens, spare } = open()
  const token = await tokens.add({ owner_id: 'user-7', attrs: { n: 1 } })
  const update = (id: string) => viaCallback((done) => tokens.update(id, () => ({ n: 2 }), done))
  expect(await update(token.id)).toEqual(listed({ ...token, attrs: { n: 2 } }))
  expect(await update(spare('user-7').id)).toBeNull()
  await expect(
    viaCallback((done) => tokens.update(token.id, () => [] as never, done))
  ).rejects.toThrow(TypeError)
})

test('concurrent updates are all applied', async () => {
  const { tokens } = open()
  const { id } = await tokens.add({ owner_id: 'user-7', attrs: { n: 0 } })
  let runs = 0
  const updates = Array.from({ length: 30 }, () =>
    tokens.update(id, ({ n }) => {
      runs++
      return { n: (n as number) + 1 }
    })
  )
  const answers = await Promise.all(updates)
  expect((await tokens.get(id))!.attrs).toEqual({ n: 30 })
  expect(answers.map((token) => token!.attrs['n']).sort((a, b) => Number(a) - Number(b))).toEqual(
    Array.from({ length: 30 }, (_, i) => i + 1)
  )
  expect(runs).toBeGreaterThan(30)
})

test('a set between is not overwritten', async () => {
  const { tokens } = open()
  const { id } = await tokens.add({ owner_id: 'user-7', attrs: { n: 0 } })
  const seen: unknown[] = []
  const updated = await tokens.update(id, async (attrs) => {
    seen.push(attrs)
    if (seen.length < 3) await tokens.set(id, { n: seen.length })
    return { ...attrs, updated: true }
  })
  expect(seen).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }])
  expect(updated!.attrs).toEqual({ n: 2, updated: true })
})

test('gives up with a ConflictError after a bounded number of tries', async () => {
  const { tokens, all } = open()
  const { id } = await tokens.add({ owner_id: 'user-7', attrs: { n: 0 } })
  let tries = 0
  const error = await tokens
    .update(id, async () => {
      await tokens.set(id, { n: ++tries })
      return { lost: true }
    })
    .catch((error: unknown) => error)
  expect(error).toBeInstanceOf(ConflictError)
  expect((error as ConflictError).code).toBe('TSCONFLICT')
  expect(tries).toBe(100)
  expect((await tokens.get(id))!.attrs).toEqual({ n: 100 })
  expect(Object.keys(await all())).toHaveLength(3)
})

test('null when the token is gone, also when it goes while the change runs, and nothing is written', async () => {
  const { tokens, all, spare } = open()
  const change = jest.fn(() => ({}))
  expect(await tokens.update(spare('user-7').id, change)).toBeNull()
  expect(change).not.toHaveBeenCalled()
  const { id } = await tokens.add({ owner_id: 'user-7' })
  const updated = tokens.update(id, async () => {
    await tokens.del(id)
    return { back: true }
  })
  expect(await updated).toBeNull()
  expect(await all()).toEqual({})
})

test('a lifetime stays what it was, and a use between is no conflict', async () => {
  const { tokens } = open({ touchEvery: 0.001 })
  const token = await tokens.add({
    owner_id: 'user-7',
    idle: 100,
    attrs: { n: 1 }
  })
  let runs = 0
  const updated = await tokens.update(token.id, async () => {
    runs++
    await passed(token.expires_at! - 100_000 + 5)
    await tokens.getKey(token.key)
    return { n: 2 }
  })
  expect(runs).toBe(1)
  expect(updated!.attrs).toEqual({ n: 2 })
  expect(updated!.expires_at).toBeGreaterThan(token.expires_at!)
})

test('attrs come back as JSON carries them', async () => {
  const { tokens } = open()
  for (const attrs of Object.values(attrsToCarry) as Record<string, unknown>[]) {
    const { id } = await tokens.add({ owner_id: 'user-7', attrs })
    const given: unknown[] = []
    await tokens.update(id, (old) => {
      given.push(old)
      return { old }
    })
    expectCarried(given, [attrs])
    expectCarried((await tokens.get(id))!.attrs, { old: attrs })
  }
})

test('what the change throws is what update rejects with, and nothing is written', async () => {
  const { tokens, all } = open()
  const { id } = await tokens.add({ owner_id: 'user-7', attrs: { n: 1 } })
  const before = await all()
  const own = new RangeError('mine')
  const throws = (): never => {
    throw own
  }
  await expect(tokens.update(id, throws)).rejects.toBe(own)
  await expect(tokens.update(id, async () => throws())).rejects.toBe(own)
  await expect(viaCallback((done) => tokens.update(id, throws, done))).rejects.toBe(own)
  expect(await all()).toEqual(before)
})

test('wrong arguments are refused and nothing is written', async () => {
  const opened = open()
  const { id } = await opened.tokens.add({
    owner_id: 'user-7',
    attrs: { a: 1 }
  })
  const update = (says: string, ...calls: unknown[][]): Promise<void> =>
    refuses(opened, 'update', says, ...calls)
  const change = (): object => ({})
  await update(
    'id must be a non-empty well-formed string',
    ...[...noText(), '\ud800'].map((wrong) => [wrong, change])
  )
  const noAttrs = [
    undefined,
    null,
    [],
    'a',
    7,
    true,
    7n,
    Symbol('a'),
    () => 1,
    new Date(0),
    { toJSON: () => [] }
  ]
  await update(
    'the result of change must be a plain object',
    ...noAttrs.map((wrong) => [id, () => wrong])
  )
  for (const [says, a] of notCarried('the result of change', '.a')) {
    await update(says, [id, async () => ({ a })])
  }
})

test('a change that is no function is refused, through the callback when there is one', async () => {
  const opened = open()
  const { id } = await opened.tokens.add({
    owner_id: 'user-7',
    attrs: { a: 1 }
  })
  const wrong = [null, 'a', 7, true, {}, [], 7n, Symbol('a'), undefined]
  await refuses(
    opened,
    'update',
    'change must be a function',
    ...wrong.map((change) => [id, change])
  )
})

test("what is none of the store's stays as it is", async () => {
  const { tokens, all, spare, name } = open()
  const { key, id } = spare('user-7')
  await topology.index(name('id', id), key)
  await topology
    .redis()
    .set(name('key', key), `{"owner_id":"user-7","attrs":{},"key":"${stored(key)}","id":"${id}"}`)
  const before = await all()
  await expect(tokens.update(id, () => ({}))).rejects.toMatchObject({
    code: 'TSRECORD',
    name: 'TokenstoreError'
  })
  expect(await all()).toEqual(before)
})
