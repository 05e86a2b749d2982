import { type Arg, bytes, client, closeAfterAll, type Entry, until } from '../support'
import { strayTypes, VALUES } from '../support/cases'
import { id, key, Root, type State } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000
const MINUTE = 60_000

const NAMES: [what: string, name: Arg][] = [
  ['one byte', 'n'],
  ['colons', 'login:ann@example.org'],
  ['a name of another family', 'a:code:b'],
  ['globs', '*'],
  ['braces', '{n}'],
  ['NUL', 'n\0'],
  ['bytes that are not UTF-8', Buffer.from([0, 0xff, 0xfe])],
  ['signs of Lua patterns', '%1%'],
  ['the word EVERY', 'EVERY'],
  ['5 kB', 'n'.repeat(5000)]
]

interface Code {
  digest: string
  value: string
  left: number
}
const codeOf = (code: Partial<Code>, made: number, window: number): Entry => ({
  type: 'hash',
  value: Object.fromEntries(
    Object.entries({ ...code, made }).map(([field, value]) => [field, String(value)])
  ),
  end: made + window
})

/** What stands under a name, when one code was made for it at `now`. */
const only = (root: Root, code: Partial<Code>, now: number, window = HOUR): State => ({
  [`${root.name}:code:n`]: codeOf(code, now, window)
})

test.each<[number, number]>([
  [MINUTE, 1],
  [HOUR, 5],
  [9999999999999, 1000]
])('keeps digest, value and tries for a window of %d ms: %d tries', async (window, tries) => {
  for (const every of [[], ['EVERY', MINUTE], ['EVERY', window]]) {
    const root = new Root(redis)
    await root.becomes(
      () => root.run('makecode', 'n', 'd', '{"a":1}', window, tries, ...every),
      (now) => [1, only(root, { digest: 'd', value: '{"a":1}', left: tries }, now, window)]
    )
    expect(await root.faults()).toEqual([])
  }
})

test('the shortest window: soon nothing is left', async () => {
  const root = new Root(redis)
  await root.run('makecode', 'a', 'd', '1', 1, 5, 'EVERY', 1)
  await root.run('makecode', 'b', 'd', '1', 30, 1)
  await root.run('trycode', 'b', 'wrong')
  await until(async () => Object.keys(await root.state()).length === 0)
})

test.each(VALUES)('a value is kept byte for byte: %s', async (_, value) => {
  const root = new Root(redis)
  expect(await root.run('makecode', 'n', 'd', value, HOUR, 5)).toBe(1)
  expect((await root.state())[`${root.name}:code:n`]!.value).toMatchObject({ value: bytes(value) })
})

test.each<[string, Arg]>([
  ['one byte', 'd'],
  ['256 bytes', 'd'.repeat(256)],
  ['bytes that are not UTF-8', Buffer.from([0, 0xff, 0xfe])],
  ['a digit', '0'],
  ['the name of a field', 'left']
])('a digest of %s', async (_, digest) => {
  const root = new Root(redis)
  expect(await root.run('makecode', 'n', digest, '1', HOUR, 5)).toBe(1)
  expect((await root.state())[`${root.name}:code:n`]!.value).toMatchObject({
    ...{ digest: bytes(digest as string), value: '1', left: '5' }
  })
})

test('names of any bytes do not meet', async () => {
  const root = new Root(redis)
  for (const [i, [, name]] of NAMES.entries())
    expect(await root.run('makecode', name, `d${i}`, `${i}`, HOUR, 5)).toBe(1)
  const state = await root.state()
  expect(Object.keys(state)).toHaveLength(NAMES.length)
  for (const [i, [, name]] of NAMES.entries()) {
    expect(state[bytes(root.at('code', name))]!.value).toMatchObject({ digest: `d${i}` })
    expect(await root.run('trycode', name, `d${i}`)).toEqual([1, `${i}`])
  }
})

describe('a code for a name that has one', () => {
  /** Made an hour and a minute before its window ends, with a wrong try for each that is used. */
  const ready = async (tries: number, used: number): Promise<Root> => {
    const root = new Root(redis)
    await root.run('makecode', 'n', 'd', '1', HOUR + MINUTE, tries)
    for (let n = 0; n < used; n++) await root.run('trycode', 'n', 'wrong')
    await root.later(MINUTE)
    return root
  }

  test.each<[tries: number, used: number, more: number, left: number]>([
    [5, 0, 5, 5],
    [5, 2, 5, 3],
    [5, 4, 5, 1],
    // More tries than the window began with are none, and fewer are fewer.
    [5, 2, 1000, 3],
    [5, 2, 4, 3],
    [5, 2, 3, 3],
    [5, 2, 2, 2],
    [5, 0, 1, 1],
    [1000, 999, 1000, 1]
  ])(
    'takes its place, and has the tries that are left: %d, less %d; of %d there are %d',
    async (tries, used, more, left) => {
      const root = await ready(tries, used)
      // Shorter or longer, the window begins anew.
      for (const window of [HOUR / 2, HOUR, 5 * HOUR]) {
        await root.becomes(
          () => root.run('makecode', 'n', 'e', '2', window, more),
          (now) => [1, only(root, { digest: 'e', value: '2', left }, now, window)]
        )
      }
      expect(await root.faults()).toEqual([])
      expect(await root.run('trycode', 'n', 'd')).toEqual([0, left - 1])
    }
  )

  test('the same once more: only its window begins anew', async () => {
    const root = await ready(5, 1)
    await root.becomes(
      () => root.run('makecode', 'n', 'd', '1', HOUR, 5),
      (now) => [1, only(root, { digest: 'd', value: '1', left: 4 }, now)]
    )
  })

  test('0 once the tries are spent, as long as the window lasts', async () => {
    const root = await ready(3, 3)
    const [spent] = Object.values(await root.state())
    expect(spent!.value).toEqual({ left: '0', made: expect.any(String) as string })
    await root.unchanged(async () => {
      for (const tries of [1, 3, 1000]) {
        expect(await root.run('makecode', 'n', 'd', '1', HOUR, tries)).toBe(0)
        expect(await root.run('makecode', 'n', 'd', '1', HOUR, tries, 'EVERY', 1)).toBe(0)
      }
    })
    await root.later(HOUR)
    await root.becomes(
      () => root.run('makecode', 'n', 'd', '1', HOUR, 3),
      (now) => [1, only(root, { digest: 'd', value: '1', left: 3 }, now)]
    )
  })

  test('has the tries that are left after a right one, too, and waits as long', async () => {
    const root = await ready(3, 2)
    expect(await root.run('trycode', 'n', 'd')).toEqual([1, '1'])
    await root.unchanged(async () =>
      expect(await root.run('makecode', 'n', 'd', '2', HOUR, 3, 'EVERY', HOUR / 2)).toBe(0)
    )
    await root.becomes(
      () => root.run('makecode', 'n', 'd', '2', HOUR, 3, 'EVERY', MINUTE),
      (now) => [1, only(root, { digest: 'd', value: '2', left: 1 }, now)]
    )
  })

  test('tries are those of its window, however many codes are made in it', async () => {
    const root = new Root(redis)
    const lefts: unknown[] = []
    for (let n = 0; n < 8; n++) {
      await root.run('makecode', 'n', `d${n}`, '1', HOUR, 5)
      lefts.push(await root.run('trycode', 'n', 'wrong'))
      await root.later(HOUR - MINUTE)
    }
    expect(lefts).toEqual([[0, 4], [0, 3], [0, 2], [0, 1], [0, 0], null, [0, 4], [0, 3]])
  })
})

describe('EVERY', () => {
  test('0 and nothing written, until so long after the last code', async () => {
    const root = new Root(redis)
    await root.run('makecode', 'n', 'd', '1', HOUR, 5, 'EVERY', HOUR)
    await root.later(MINUTE)
    await root.unchanged(async () => {
      for (const every of [HOUR / 2, 2 * MINUTE])
        expect(await root.run('makecode', 'n', 'e', '2', HOUR, 5, 'EVERY', every)).toBe(0)
    })
    await root.becomes(
      () => root.run('makecode', 'n', 'e', '2', HOUR, 5, 'EVERY', MINUTE),
      (now) => [1, only(root, { digest: 'e', value: '2', left: 5 }, now)]
    )
    // It counts from the last code, not from the first.
    expect(await root.run('makecode', 'n', 'f', '3', HOUR, 5, 'EVERY', MINUTE)).toBe(0)
    // Without it none comes too soon.
    expect(await root.run('makecode', 'n', 'f', '3', HOUR, 5)).toBe(1)
  })

  test('to the millisecond', async () => {
    const root = new Root(redis)
    const made =
      (ago: number) =>
      async (ms: number): Promise<void> => {
        await root.run('makecode', 'n', 'd', '1', HOUR, 5)
        await redis.hset(root.at('code', 'n'), 'made', ms - ago)
      }
    const args = ['n', 'e', '2', HOUR, 5, 'EVERY', MINUTE]
    expect(await root.inMs(made(MINUTE - 1), 'makecode', ...args)).toBe(0)
    expect(await root.inMs(made(MINUTE), 'makecode', ...args)).toBe(1)
  })

  test('a code that is gone refuses none', async () => {
    const root = new Root(redis)
    await root.run('makecode', 'n', 'd', '1', MINUTE, 5)
    await root.later(MINUTE + 1)
    expect(await root.run('makecode', 'n', 'd', '1', HOUR, 5, 'EVERY', HOUR)).toBe(1)
  })
})

test('tokens, hashes and codes of the same name do not meet', async () => {
  const root = new Root(redis)
  await root.run('add', 'n', id(1), 'n', '{}')
  await root.run('makehash', 'n', '1', HOUR, 'REPLACES', 'n', 'OWNER', 'n')
  const before = await root.state()
  expect(await root.run('makecode', 'n', 'n', '1', HOUR, 5)).toBe(1)
  expect(await root.state()).toMatchObject(before)
  expect(Object.keys(await root.state())).toHaveLength(3 + 3 + 1)
  await root.run('delowner', 'n', 'HASHES')
  expect(await root.run('trycode', 'n', 'n')).toEqual([1, '1'])
  expect(await root.run('getkey', 'PEEK', key(1))).toEqual([null, 0])
})

describe('TSBADARG', () => {
  const ready = async (): Promise<Root> => {
    const root = new Root(redis)
    await root.run('makecode', 'n', 'd', '1', HOUR, 5)
    return root
  }
  const refuses = async (root: Root, ...rest: Arg[]): Promise<void> => {
    for (const name of ['n', 'm']) await root.refuses('TSBADARG', 'makecode', name, ...rest)
  }

  test('any other number of KEYS or arguments, and empty or long ones', async () => {
    const root = await ready()
    const args = ['n', 'digest', '1', HOUR, 5]
    for (const surplus of [['EVERY'], ['surplus', 5], ['EVERY', 5, 'surplus']])
      await root.refusesOtherCounts('makecode', args, surplus)
    await root.refusesOtherCounts('makecode', args, ['EVERY', 5, 'EVERY', 5])
    await root.refuses('TSBADARG', 'makecode', '', 'd', '1', HOUR, 5)
    await refuses(root, '', '1', HOUR, 5)
    await refuses(root, 'd'.repeat(257), '1', HOUR, 5)
    await refuses(root, 'd'.repeat(255) + 'é', '1', HOUR, 5)
    await refuses(root, 'd'.repeat(70_000), '1', HOUR, 5)
    await refuses(root, 'd', '', HOUR, 5)
  })

  const numbers = ['', '0', '01', '-1', '+1', '1.5', '1e3', '0x10', ' 1', '1\n', 'inf', 'nan', 'x']
  test.each([...numbers, '10000000000000', '9'.repeat(400)])('a number of %j', async (bad) => {
    const root = await ready()
    await refuses(root, 'd', '1', bad, 5)
    await refuses(root, 'd', '1', bad, 5, 'EVERY', 1)
    await refuses(root, 'd', '1', HOUR, bad)
    await refuses(root, 'd', '1', HOUR, bad, 'EVERY', 5)
    await refuses(root, 'd', '1', HOUR, 5, 'EVERY', bad)
  })

  test.each(['1001', '9999', '10000'])('tries %s', async (tries) =>
    refuses(await ready(), 'd', '1', HOUR, tries)
  )

  test('EVERY longer than the window', async () => {
    await refuses(await ready(), 'd', '1', HOUR, 5, 'EVERY', HOUR + 1)
    await refuses(await ready(), 'd', '1', 9, 5, 'EVERY', 10)
  })

  test.each<[string, Arg]>([
    ['in lower case', 'every'],
    ['empty', ''],
    ['of another script', 'REPLACES'],
    ['a number', '5'],
    ['in bytes', Buffer.from([0, 0xff])],
    ['long', 'x'.repeat(70_000)]
  ])('a word %s instead of EVERY', async (_, word) =>
    refuses(await ready(), 'd', '1', HOUR, 5, word, 5)
  )
})

test.each(strayTypes('hash'))('WRONGTYPE: a %s where the code belongs', async (_, put) => {
  const root = new Root(redis)
  await put(redis, root.at('code', 'n'))
  await root.refuses('WRONGTYPE', 'makecode', 'n', 'd', '1', HOUR, 5)
  await root.refuses('WRONGTYPE', 'makecode', 'n', 'd', '1', HOUR, 5, 'EVERY', 5)
})

test.each<[string, Record<string, string>, number]>([
  ['no field of ours', { owner_id: 'o' }, 1],
  ['tries that are no number', { left: 'x' }, 0],
  ['tries below zero', { left: '-5' }, 0],
  ['a time that is no number', { left: '5', made: 'x' }, 1]
])('a hash that has %s', async (_, fields, reply) => {
  const root = new Root(redis)
  await redis.hset(root.at('code', 'n'), fields)
  const before = await root.state()
  expect(await root.run('makecode', 'n', 'd', '1', HOUR, 5, 'EVERY', HOUR)).toBe(reply)
  if (reply === 0) expect(await root.state()).toEqual(before)
  else expect(await root.run('trycode', 'n', 'd')).toEqual([1, '1'])
})

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':code:', '2:code:n'])
    await redis.set(root.name + name, 'a neighbour')
  const before = await root.state()
  expect(await root.run('makecode', 'n', 'd', '1', HOUR, 5)).toBe(1)
  expect(await root.state()).toMatchObject(before)
  expect(Object.keys(await root.state())).toHaveLength(Object.keys(before).length + 1)
})
