import { client, closeAfterAll, until, bytes, type Arg } from '../support'
import { HASHES, strayTypes, VALUES } from '../support/cases'
import { id, Root } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

interface Script {
  script: string
  /** What it returns of a hash with this value, and of one that is not there. */
  found(value: string): unknown
  missing: unknown
  /** Whether the hash is gone then. */
  ends: boolean
}

const SCRIPTS: Script[] = [
  { script: 'gethash', found: (value) => value, missing: null, ends: false },
  { script: 'takehash', found: (value) => value, missing: null, ends: true },
  { script: 'delhash', found: () => 1, missing: 0, ends: true }
]

describe.each(SCRIPTS)('$script', ({ script, found, missing, ends }) => {
  const nothing = async (root: Root, ...hashes: Arg[]): Promise<void> => {
    await root.unchanged(async () => {
      for (const hash of hashes) expect(await root.run(script, hash)).toBe(missing)
    })
  }

  /** Makes a hash, and expects what the script does with it, and nothing else. */
  const meets = async (root: Root, hash: Arg, value: string): Promise<void> => {
    const before = await root.state()
    await root.run('makehash', hash, value, HOUR)
    const made = await root.state()
    expect(await root.run(script, hash)).toBe(found(bytes(value)))
    expect(await root.state()).toEqual(ends ? before : made)
    if (ends) await nothing(root, hash)
    else expect(await root.unchanged(() => root.run(script, hash))).toBe(found(bytes(value)))
  }

  test.each(VALUES)('a value byte for byte: %s', async (_, value) => {
    const root = new Root(redis)
    await root.run('makehash', 'def', '0', HOUR, 'REPLACES', 'n')
    await meets(root, 'abc', value)
  })

  test.each(HASHES)('a hash of %s', async (_, hash) => meets(new Root(redis), hash, '[1]'))

  test('one of an owner: its entry stays until its time is over', async () => {
    const root = new Root(redis)
    await root.run('makehash', 'abc', '1', HOUR, 'REPLACES', 'n', 'OWNER', 'o')
    const made = await root.state()
    expect(await root.run(script, 'abc')).toBe(found('1'))
    const left = Object.entries(made).filter(([name]) => !ends || !name.endsWith(':hash:abc'))
    expect(await root.state()).toEqual(Object.fromEntries(left))
    expect(await root.faults()).toEqual([])
    await root.later(HOUR + 1)
    expect(await root.state()).toEqual({})
  })

  test('what another program put there, whatever text, though it has no TTL', async () => {
    const root = new Root(redis)
    for (const text of ['no JSON', ' ', '\0\xff']) {
      await redis.set(root.at('hash', 'abc'), Buffer.from(text, 'latin1'))
      expect(await root.run(script, 'abc')).toBe(found(text))
    }
  })

  describe('of none nothing, and nothing written', () => {
    test.each<[string, Arg]>([
      ['unknown', 'x'],
      ['in upper case', 'ABC'],
      ['a glob', '*'],
      ['long', 'x'.repeat(70_000)],
      ['bytes', Buffer.from([0, 0xff])]
    ])('a hash that is %s', async (_, hash) => {
      const root = new Root(redis)
      await root.run('makehash', 'abc', '1', HOUR)
      await nothing(root, hash)
    })

    test.each<[string, (root: Root) => Promise<unknown>]>([
      ['was taken', (root) => root.run('takehash', 'abc')],
      ['was deleted', (root) => root.run('delhash', 'abc')],
      ['was replaced', (root) => root.run('makehash', 'def', '2', HOUR, 'REPLACES', 'n')],
      ['has expired', (root) => root.later(HOUR + 1)]
    ])('a hash that %s', async (_, end) => {
      const root = new Root(redis)
      await root.run('makehash', 'abc', '1', HOUR, 'REPLACES', 'n')
      await end(root)
      await nothing(root, 'abc')
    })

    test('one that expires by itself', async () => {
      const root = new Root(redis)
      await root.run('makehash', 'abc', '1', 30)
      await until(async () => (await redis.exists(root.at('hash', 'abc'))) === 0)
      await nothing(root, 'abc')
    })

    test('the key, id or owner of a token, or a name of REPLACES', async () => {
      const root = new Root(redis)
      await root.run('add', 'the-key', id(1), 'o', '{}')
      await root.run('makehash', 'abc', '1', HOUR, 'REPLACES', 'n')
      await root.run('makecode', 'c', 'd', '1', HOUR, 5)
      await nothing(root, 'the-key', id(1), 'o', 'n', 'c', 'd')
    })
  })

  test('TSBADARG: any other number of KEYS or arguments, and an empty hash', async () => {
    const root = new Root(redis)
    await root.run('makehash', 'abc', '1', HOUR)
    await root.refusesOtherCounts(script, ['abc'])
    await root.refuses('TSBADARG', script, '')
  })

  if (script === 'delhash') {
    test.each(strayTypes('string'))(
      'a %s where the value belongs goes like any',
      async (_, put) => {
        const root = new Root(redis)
        await put(redis, root.at('hash', 'abc'))
        expect(await root.run('delhash', 'abc')).toBe(1)
        expect(await root.state()).toEqual({})
      }
    )
  } else {
    test.each(strayTypes('string'))('WRONGTYPE: a %s where the value belongs', async (_, put) => {
      const root = new Root(redis)
      await put(redis, root.at('hash', 'abc'))
      await root.refuses('WRONGTYPE', script, 'abc')
    })
  }

  test('neighbours are neither read nor written, not even one called like the root', async () => {
    const root = new Root(redis)
    for (const name of ['', ':', ':hash:', '2:hash:abc'])
      await redis.set(root.name + name, '"a neighbour"')
    const before = await root.state()
    await nothing(root, 'abc')
    await meets(root, 'abc', '1')
    expect(await root.state()).toMatchObject(before)
  })
})

test('of many callers of takehash exactly one gets the value', async () => {
  const root = new Root(redis)
  const clients = Array.from({ length: 8 }, () => new Root(client(), root.name))
  for (let n = 0; n < 25; n++) {
    await root.run('makehash', 'abc', `${n}`, HOUR)
    const replies = await Promise.all(clients.map((one) => one.run('takehash', 'abc')))
    expect(replies.filter((reply) => reply !== null)).toEqual([`${n}`])
  }
})
