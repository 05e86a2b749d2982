import { type Arg, bytes, client, closeAfterAll, until } from '../support'
import { strayTypes, VALUES } from '../support/cases'
import { id, Root } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

const made = async (tries = 5): Promise<Root> => {
  const root = new Root(redis)
  await root.run('makecode', 'm', 'd', '"another"', HOUR, 5)
  await root.run('makecode', 'n', 'd', '{"a":1}', HOUR, tries)
  return root
}
const right = (root: Root): Promise<unknown> => root.run('trycode', 'n', 'd')
const wrong = (root: Root): Promise<unknown> => root.run('trycode', 'n', 'e')
const none = (root: Root, ...names: Arg[]): Promise<void> =>
  root.unchanged(async () => {
    for (const name of names) {
      for (const digest of ['d', 'e', 'digest', '1'])
        expect(await root.run('trycode', name, digest)).toBeNull()
    }
  })

test('right: the value, and the code is gone; tries that were wrong stay spent', async () => {
  for (const used of [0, 1, 4]) {
    const root = await made()
    for (let n = 0; n < used; n++) await wrong(root)
    const name = `${root.name}:code:n`
    const before = await root.state()
    expect(await right(root)).toEqual([1, '{"a":1}'])
    const { made: since } = before[name]!.value as Record<string, string>
    const value = { left: String(5 - used), made: since }
    expect(await root.state()).toEqual({ ...before, [name]: { ...before[name]!, value } })
    expect(await root.faults()).toEqual([])
    await none(root, 'n')
    await root.run('makecode', 'n', 'd', '2', HOUR, 5)
    expect(await wrong(root)).toEqual([0, 4 - used])
  }
})

test('wrong: a try less each time; after the last there is no code, as long as the window lasts', async () => {
  const root = await made(3)
  const name = `${root.name}:code:n`
  const before = await root.state()
  const { value: code, end } = before[name]! as { value: Record<string, string>; end: number }
  for (const left of [2, 1]) {
    expect(await wrong(root)).toEqual([0, left])
    const value = { ...code, left: String(left) }
    expect(await root.state()).toEqual({ ...before, [name]: { type: 'hash', value, end } })
  }
  expect(await wrong(root)).toEqual([0, 0])
  const value = { left: '0', made: code.made }
  expect(await root.state()).toEqual({ ...before, [name]: { type: 'hash', value, end } })
  expect(await root.faults()).toEqual([])
  // Neither the right one nor another is one more try.
  await none(root, 'n')
  await root.later(HOUR + 1)
  expect(await root.state()).toEqual({})
  await none(root, 'n')
})

test('one try: right or none', async () => {
  const root = await made(1)
  for (const value of ['{"a":1}', '2', '3']) {
    expect(await right(root)).toEqual([1, value])
    await root.run('makecode', 'n', 'd', value === '2' ? '3' : '2', HOUR, 1)
  }
  expect(await wrong(root)).toEqual([0, 0])
  expect(await right(root)).toBeNull()
})

test('the last of a thousand tries is one', async () => {
  const root = await made(1000)
  for (let n = 999; n > 0; n--) expect(await wrong(root)).toEqual([0, n])
  expect(await right(root)).toEqual([1, '{"a":1}'])
})

test.each<[string, Arg]>([
  ['a part of it', 'diges'],
  ['more than it', 'digestt'],
  ['in upper case', 'DIGEST'],
  ['a pattern that fits', 'd.*'],
  ['bytes', Buffer.from([0, 0xff])],
  ['70 kB', 'd'.repeat(70_000)],
  ['the value', '1'],
  ['the tries', '5']
])('a digest that is %s is wrong', async (_, digest) => {
  const root = new Root(redis)
  await root.run('makecode', 'n', 'digest', '1', HOUR, 5)
  expect(await root.run('trycode', 'n', digest)).toEqual([0, 4])
})

test.each<[string, Arg]>([
  ['one byte', 'd'],
  ['256 bytes', 'd'.repeat(256)],
  ['bytes that are not UTF-8', Buffer.from([0, 0xff, 0xfe])],
  ['digits', '123456']
])('a digest of %s is right', async (_, digest) => {
  const root = new Root(redis)
  await root.run('makecode', 'n', digest, '1', HOUR, 5)
  expect(await root.run('trycode', 'n', digest)).toEqual([1, '1'])
})

test.each(VALUES)('a value is answered byte for byte: %s', async (_, value) => {
  const root = new Root(redis)
  await root.run('makecode', 'n', 'd', value, HOUR, 5)
  expect(await right(root)).toEqual([1, bytes(value)])
})

describe('of none nothing, and nothing written', () => {
  test.each<[string, Arg]>([
    ['unknown', 'x'],
    ['in upper case', 'N'],
    ['a glob', '*'],
    ['long', 'n'.repeat(70_000)],
    ['bytes', Buffer.from([0, 0xff])]
  ])('a name that is %s', async (_, name) => none(await made(), name))

  test('a code that has expired, or expires by itself', async () => {
    const root = await made()
    await root.later(HOUR + 1)
    await none(root, 'n', 'm')
    await root.run('makecode', 'n', 'd', '1', 30, 5)
    await until(async () => (await redis.exists(root.at('code', 'n'))) === 0)
    await none(root, 'n')
  })

  test('a code that another has taken the place of: its digest is a wrong one', async () => {
    const root = await made()
    await root.run('makecode', 'n', 'newer', '2', HOUR, 5)
    expect(await right(root)).toEqual([0, 4])
    expect(await root.run('trycode', 'n', 'newer')).toEqual([1, '2'])
  })

  test('the owner or id of a token, a hash, or a name of REPLACES', async () => {
    const root = new Root(redis)
    await root.run('add', 'd', id(1), 'o', '{}')
    await root.run('makehash', 'd', '1', HOUR, 'REPLACES', 'n', 'OWNER', 'o')
    await none(root, 'd', id(1), 'o', 'n')
  })

  test.each<[string, Record<string, string | number>]>([
    ['no field of ours', { owner_id: 'o' }],
    ['no digest', { value: '1', left: 5, made: 1 }],
    ['no value', { digest: 'd', left: 5, made: 1 }],
    ['no tries', { digest: 'd', value: '1', made: 1 }],
    ['tries that are no number', { digest: 'd', value: '1', left: 'x', made: 1 }],
    ['no try left', { digest: 'd', value: '1', left: 0, made: 1 }],
    ['tries below zero', { digest: 'd', value: '1', left: -5, made: 1 }]
  ])('a hash that has %s', async (_, fields) => {
    const root = new Root(redis)
    await redis.hset(root.at('code', 'n'), fields)
    await none(root, 'n')
  })
})

test('of many who try the right one exactly one gets the value', async () => {
  const root = new Root(redis)
  const clients = Array.from({ length: 8 }, () => new Root(client(), root.name))
  for (let n = 0; n < 25; n++) {
    await root.run('makecode', 'n', 'd', `${n}`, HOUR, 5)
    const replies = await Promise.all(clients.map(right))
    expect(replies.filter((reply) => reply !== null)).toEqual([[1, `${n}`]])
  }
})

test('many who try wrong ones have no more tries than there are', async () => {
  const root = new Root(redis)
  const clients = Array.from({ length: 8 }, () => new Root(client(), root.name))
  for (let n = 0; n < 25; n++) {
    await redis.del(root.at('code', 'n'))
    await root.run('makecode', 'n', 'd', `${n}`, HOUR, 5)
    const replies = await Promise.all(clients.map(wrong))
    const lefts = replies.filter((reply) => reply !== null).map((reply) => (reply as number[])[1]!)
    expect(lefts.sort()).toEqual([0, 1, 2, 3, 4])
  }
})

test('TSBADARG: any other number of KEYS or arguments, and empty ones', async () => {
  const root = await made()
  await root.refusesOtherCounts('trycode', ['n', 'd'])
  await root.refuses('TSBADARG', 'trycode', '', 'd')
  await root.refuses('TSBADARG', 'trycode', 'n', '')
})

test.each(strayTypes('hash'))('WRONGTYPE: a %s where the code belongs', async (_, put) => {
  const root = new Root(redis)
  await put(redis, root.at('code', 'n'))
  await root.refuses('WRONGTYPE', 'trycode', 'n', 'd')
})

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':code:', '2:code:n'])
    await redis.set(root.name + name, 'a neighbour')
  const before = await root.state()
  await root.run('makecode', 'n', 'd', '1', HOUR, 5)
  expect(await wrong(root)).toEqual([0, 4])
  expect(await right(root)).toEqual([1, '1'])
  await none(root, 'n', 'm')
  expect(await root.state()).toMatchObject(before)
  expect(Object.keys(await root.state())).toHaveLength(Object.keys(before).length + 1)
})
