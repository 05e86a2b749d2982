import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedis } from '../../scripts/redis-server'
import { type Arg, client, closeAfterAll, notRun } from '../support'
import { ATTRS, OWNERS, strayBeginnings, strayTypes } from '../support/cases'
import { id, key, Root } from '../support/root'

closeAfterAll()
const redis = client()

const HOUR = 3_600_000

type Triple = [key: string, record: string, expires_at: number]
interface Page {
  cursor: string
  triples: Triple[]
  ids: string[]
}

async function list(root: Root, owner: Arg = 'o', ...options: Arg[]): Promise<Page> {
  const [cursor, ...rest] = (await root.run('list', owner, ...options)) as [string, ...unknown[]]
  expect(rest.length % 3).toBe(0)
  const triples: Triple[] = []
  for (let i = 0; i < rest.length; i += 3) triples.push(rest.slice(i, i + 3) as Triple)
  return { cursor, triples, ids: triples.map(([, record]) => record.slice(7, 43)) }
}

/** All pages, from one cursor to the next; `between` runs before each page but the first. */
async function walk(
  root: Root,
  count: number,
  between?: (page: number, ids: string[]) => Promise<unknown>
): Promise<string[][]> {
  const pages: string[][] = []
  for (let cursor = ''; ;) {
    const page = await list(root, 'o', 'COUNT', count, ...(cursor ? ['AFTER', cursor] : []))
    pages.push(page.ids)
    expect(page.ids.length).toBeLessThanOrEqual(count)
    if (page.cursor === '') return pages
    await between?.(pages.length, page.ids)
    cursor = page.cursor
  }
}

const memberIds = async (root: Root): Promise<string[]> =>
  redis.zrange(root.at('tokens', 'o'), '0', '-1')

/**
 * Tokens whose order of end is 4, 2, 5, then 1 and 3, which never end; and one of another owner.
 */
async function five(): Promise<Root> {
  const root = new Root(redis)
  await root.issue(3)
  await root.issue(1)
  await root.issue(5, 'o', '{}', 'TTL', 3 * HOUR)
  await root.issue(2, 'o', '{}', 'TTL', 9 * HOUR, 'IDLE', 2 * HOUR)
  await root.issue(4, 'o', '{"a":1}', 'TTL', HOUR)
  await root.issue(6, 'p', '{}', 'TTL', HOUR)
  return root
}

describe('without options', () => {
  test('answers every triple, by end and then id', async () => {
    const root = await five()
    const triples = await Promise.all([4, 2, 5, 1, 3].map((n) => root.run('get', id(n))))
    await root.unchanged(async () =>
      expect(await list(root)).toMatchObject({ cursor: '', triples })
    )
    expect((await list(root, 'p')).ids).toEqual([id(6)])
  })

  test('an unknown owner has none, and gets no set', async () => {
    const root = await five()
    await root.unchanged(async () => {
      for (const owner of ['x', '*', 'O', Buffer.from([0, 0xff])])
        expect(await root.run('list', owner)).toEqual([''])
    })
  })

  test('answers what tokens have become', async () => {
    const root = await five()
    await root.run('set', id(1), '{"b":2}')
    await root.run('rotate', id(2), key(12), 'GRACE', HOUR)
    await root.later(HOUR / 2)
    await root.run('getkey', 'TOUCH', key(2))
    const triples = await Promise.all([4, 2, 5, 1, 3].map((n) => root.run('get', id(n))))
    await root.unchanged(async () => expect((await list(root)).triples).toEqual(triples))
    expect(triples[1]).toMatchObject([key(12), {}, {}])
  })

  test.each(ATTRS)('attrs byte for byte: %s', async (_, attrs) => {
    const root = new Root(redis)
    const tokens = [
      await root.issue(1, 'o', attrs),
      await root.issue(2, 'o', attrs, 'TTL', 2 * HOUR, 'IDLE', HOUR)
    ]
    const triples = tokens.map((token) => [token.key, token.record, token.expires_at])
    expect((await list(root)).triples).toEqual(triples.reverse())
    expect((await list(root, 'o', 'COUNT', 9)).triples).toEqual(triples)
  })

  test('owners of any bytes: each has its own', async () => {
    const root = new Root(redis)
    for (const [i, [, owner]] of OWNERS.entries())
      await root.issue(i, owner, '{}', ...(i % 2 ? ['TTL', HOUR] : []))
    await root.unchanged(async () => {
      for (const [i, [, owner]] of OWNERS.entries())
        expect((await list(root, owner)).ids).toEqual([id(i)])
    })
  })

  test.each([
    ['that never end', undefined],
    ['that end at two times', HOUR]
  ])('9,000 tokens %s at once', async (_, ttl) => {
    const root = new Root(redis)
    const end = ttl && (await root.now()) + ttl
    await root.seed(4501, 9000, 'o', end)
    await root.seed(1, 4500, 'o', end && end + 1)
    const { triples, ids } = await list(root)
    const order = Array.from({ length: 9000 }, (_, i) => (end ? (i + 4500) % 9000 : i) + 1)
    expect(ids).toEqual(order.map(id))
    const ends = order.map((n) => (end ? end + (n <= 4500 ? 1 : 0) : 0))
    expect(triples.map(([its_key, , expires_at]) => [its_key, expires_at])).toEqual(
      order.map((n, i) => [key(n), ends[i]])
    )
    await root.drop()
  })
})

describe('pages', () => {
  const order = [4, 2, 5, 1, 3].map(id)

  test.each([1, 2, 3, 4, 5, 6, 1000])(
    'of %d, by end and then id, until an empty cursor',
    async (count) => {
      const root = await five()
      const pages = await root.unchanged(() => walk(root, count))
      expect(pages.flat()).toEqual(order)
      expect(pages).toHaveLength(Math.ceil(5 / count))
    }
  )

  test('AFTER alone answers all the rest', async () => {
    const root = await five()
    for (let n = 1; n < 5; n++) {
      const { cursor } = await list(root, 'o', 'COUNT', n)
      const rest = { cursor: '', ids: order.slice(n) }
      expect(await list(root, 'o', 'AFTER', cursor)).toMatchObject(rest)
      expect(await list(root, 'o', 'AFTER', cursor, 'COUNT', 1000)).toMatchObject(rest)
      expect(await list(root, 'o', 'COUNT', 1000, 'AFTER', cursor)).toMatchObject(rest)
    }
  })

  test('a cursor is where the page ended: score and id', async () => {
    const root = await five()
    const [, , end] = (await root.run('get', id(2))) as [string, string, number]
    expect((await list(root, 'o', 'COUNT', 2)).cursor).toBe(`${end}:${id(2)}`)
    expect((await list(root, 'o', 'COUNT', 4)).cursor).toBe(`inf:${id(1)}`)
  })

  test.each<[string, Arg[], number[]]>([
    ['before everything', [`0:${id(0)}`], [4, 2, 5, 1, 3]],
    ['behind everything', [`inf:${id(9)}`], []],
    ['behind the last', [`inf:${id(3)}`], []],
    ['among the never-ending', [`inf:${id(2)}`], [3]],
    ['a score of many digits', [`99999999999999999999:${id(0)}`], [1, 3]]
  ])('a cursor %s, whose member was never there', async (_, [cursor], numbers) => {
    const root = await five()
    expect(await list(root, 'o', 'AFTER', cursor!)).toMatchObject({
      cursor: '',
      ids: numbers.map(id)
    })
    expect((await list(root, 'o', 'AFTER', cursor!, 'COUNT', 1)).ids).toEqual(
      numbers.slice(0, 1).map(id)
    )
  })

  test.each([
    ['that never end', undefined],
    ['that end in the same ms', HOUR]
  ])('ties: tokens %s', async (_, ttl) => {
    const root = new Root(redis)
    await root.seed(1, 50, 'o', ttl && (await root.now()) + ttl)
    for (const count of [1, 7, 50]) {
      expect((await walk(root, count)).flat()).toEqual(
        Array.from({ length: 50 }, (_, i) => id(i + 1))
      )
    }
  })

  test('members at a cursor, before and behind it, may end: no other is missed', async () => {
    for (const ttl of [undefined, HOUR]) {
      const root = new Root(redis)
      await root.seed(1, 20, 'o', ttl && (await root.now()) + ttl)
      const pages = await walk(root, 4, async (page, ids) => {
        await root.run('del', ids[3]!) // at the cursor
        await root.run('del', ids[0]!) // before it
        await root.run('del', id(5 * page)) // behind it
      })
      expect(pages).toEqual(
        [[1, 2, 3, 4], [6, 7, 8, 9], [11, 12, 13, 14], [16, 17, 18, 19], []].map((p) => p.map(id))
      )
    }
  })

  test('tokens used meanwhile move on: they may come again, none is missed', async () => {
    const root = new Root(redis)
    for (let n = 1; n <= 9; n++) await root.issue(n, 'o', '{}', 'IDLE', HOUR + n, 'EVERY', 1)
    await root.later(HOUR / 2)
    const pages = await walk(root, 3, async (page) => {
      if (page === 1) await root.run('getkey', 'TOUCH', key(1), key(3), key(5))
    })
    expect(pages).toEqual([[1, 2, 3].map(id), [4, 6, 7].map(id), [8, 9, 1].map(id), [3, 5].map(id)])
  })

  test('tokens added meanwhile come when they end later, and disturb nothing', async () => {
    const root = await five()
    const pages = await walk(root, 2, async (page) => {
      await root.issue(10 * page, 'o', '{}', 'TTL', 1000 * page)
      await root.issue(10 * page + 1)
    })
    expect(pages.flat().filter((one) => order.includes(one))).toEqual(order)
    expect(pages.flat()).not.toContain(id(10))
    expect(pages.flat()).toContain(id(11))
  })

  test('tokens that expire meanwhile: the walk goes on behind them', async () => {
    const root = await five()
    const [score, last] = (await list(root, 'o', 'COUNT', 1)).cursor.split(':')
    await root.later(2.5 * HOUR)
    const cursor = `${Number(score) - 2.5 * HOUR}:${last}`
    expect(await list(root, 'o', 'AFTER', cursor, 'COUNT', 2)).toMatchObject({
      ids: [id(5), id(1)]
    })
  })

  test('a page of dead members is short, and its cursor goes on', async () => {
    const root = new Root(redis)
    await root.seed(1, 10)
    for (const n of [1, 2, 3, 4, 5, 8])
      await redis.del(root.at('key', key(n)), root.at('id', id(n)))
    expect(await walk(root, 3)).toEqual([[], [id(6)], [7, 9].map(id), [id(10)]])
    expect(await memberIds(root)).toEqual([6, 7, 9, 10].map(id))
    expect(await root.faults()).toEqual([])
  })

  test('9,000 tokens, page by page', async () => {
    const root = new Root(redis)
    await root.seed(1, 9000)
    expect((await walk(root, 1000)).flat()).toEqual(
      Array.from({ length: 9000 }, (_, i) => id(i + 1))
    )
    await root.drop()
  })
})

describe('on the way', () => {
  test.each<[string, Arg[]]>([
    ['all at once', []],
    ['page by page', ['COUNT', 1000]],
    ['in a page that ends before them', ['COUNT', 1]],
    ['behind one of them', ['AFTER', `0:${id(0)}`]]
  ])('expired members are passed over, and left to the next add: %s', async (_, options) => {
    const root = await five()
    await root.later(2.5 * HOUR)
    const live = [5, 1, 3].slice(0, options[1] === 1 ? 1 : 3)
    await root.unchanged(async () =>
      expect((await list(root, 'o', ...options)).ids).toEqual(live.map(id))
    )
    expect(await memberIds(root)).toEqual([4, 2, 5, 1, 3].map(id))
    await root.issue(7)
    expect(await memberIds(root)).toEqual([5, 1, 3, 7].map(id))
  })

  test('of many expired members none makes it slow or fills a page', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.zadd(
      root.at('tokens', 'o'),
      ...Array.from({ length: 2500 }, (_, n) => ['1', id(n + 10)]).flat()
    )
    await root.unchanged(async () => {
      expect(await list(root, 'o', 'COUNT', 1)).toMatchObject({ cursor: '', ids: [id(1)] })
      expect(await list(root, 'o', 'COUNT', 1, 'AFTER', `1:${id(0)}`)).toMatchObject({
        cursor: '',
        ids: [id(1)]
      })
    })
  })

  test('an owner whose tokens have all expired has none', async () => {
    const root = new Root(redis)
    await redis.zadd(root.at('tokens', 'o'), 5, id(1), 6, id(2))
    await root.unchanged(async () => {
      expect(await root.run('list', 'o')).toEqual([''])
      expect(await root.run('list', 'o', 'COUNT', 1, 'AFTER', `5:${id(1)}`)).toEqual([''])
    })
  })

  test.each<[string, Arg[]]>([
    ['all at once', []],
    ['page by page', ['COUNT', 1000]]
  ])(
    'what Redis evicted leaves the set, which ends with its last; ids stay, %s',
    async (_, options) => {
      const root = await five()
      await redis.del(
        root.at('key', key(1)),
        root.at('key', key(3)),
        root.at('id', id(3)),
        root.at('key', key(4))
      )
      const before = await root.state()
      const [, , last] = (await root.run('get', id(5))) as [string, string, number]
      const [, , first] = (await root.run('get', id(2))) as [string, string, number]
      expect((await list(root, 'o', ...options)).ids.sort()).toEqual([2, 5].map(id))
      const value = [id(2), `${first}`, id(5), `${last}`]
      expect(await root.state()).toEqual({
        ...before,
        [`${root.name}:tokens:o`]: { type: 'zset', value, end: last }
      })
      await redis.del(root.at('key', key(2)), root.at('id', id(5)), root.at('key', key(5)))
      expect(await root.run('list', 'o', ...options)).toEqual([''])
      expect((await root.state())[`${root.name}:tokens:o`]).toBeUndefined()
    }
  )

  test('an id whose key was issued again is dropped, the other stays, rotated or not', async () => {
    const root = new Root(redis)
    for (const n of [1, 2, 3]) await root.issue(n)
    await redis.del(root.at('key', key(1)), root.at('key', key(2)))
    await root.run('add', key(1), id(11), 'p', '{}')
    await root.run('add', key(2), id(12), 'o', '{}')
    await root.run('rotate', id(12), key(22), 'GRACE', HOUR)
    const kept = await root.run('getkey', 'PEEK', key(1), key(2), key(22))
    expect((await list(root)).ids).toEqual([id(3), id(12)])
    expect(await memberIds(root)).toEqual([id(3), id(12)])
    expect(await root.run('getkey', 'PEEK', key(1), key(2), key(22))).toEqual(kept)
    await redis.del(root.at('id', id(1)), root.at('id', id(2)))
    expect(await root.faults()).toEqual([])
    expect(Object.keys(await root.state())).toHaveLength(2 + 2 + 3 + 2)
  })

  test('an id that was restored for another owner is dropped, its token stays', async () => {
    const root = new Root(redis)
    await root.issue(1)
    await redis.del(root.at('key', key(1)))
    await root.run('add', key(2), id(1), 'p', '{}')
    expect(await root.run('list', 'o')).toEqual([''])
    expect((await list(root, 'p')).ids).toEqual([id(1)])
    expect(Object.keys(await root.state())).toHaveLength(3)
    expect(await root.faults()).toEqual([])
  })
})

describe('TSBADARG', () => {
  test('any other number of KEYS or arguments, and an empty owner_id', async () => {
    const root = await five()
    const cursor = `inf:${id(1)}`
    await root.refusesOtherCounts('list', ['o'], ['COUNT'])
    await root.refusesOtherCounts('list', ['o'], ['AFTER'])
    await root.refusesOtherCounts('list', ['o'], ['COUNT', 5, 'AFTER'])
    await root.refusesOtherCounts('list', ['o'], ['COUNT', 5, 'AFTER', cursor, 'surplus'])
    await root.refusesOtherCounts('list', ['o'], ['COUNT', 5, 'COUNT', 5])
    await root.refusesOtherCounts('list', ['o'], ['AFTER', cursor, 'AFTER', cursor])
    await root.refuses('TSBADARG', 'list', '')
  })

  test.each([
    '',
    '0',
    '00',
    '01',
    '-1',
    '+1',
    '1.5',
    '1e2',
    ' 1',
    '1\n',
    'x',
    'inf',
    '1001',
    '99999999999999999999'
  ])('COUNT %j', async (bad) => (await five()).refuses('TSBADARG', 'list', 'o', 'COUNT', bad))

  test.each([
    '',
    'x',
    ':',
    'inf:',
    `:${id(1)}`,
    `${id(1)}`,
    `-1:${id(1)}`,
    `1.5:${id(1)}`,
    `1e9:${id(1)}`,
    `INF:${id(1)}`,
    `nan:${id(1)}`,
    `-inf:${id(1)}`,
    `5 :${id(1)}`,
    `5:${id(1)}\n`,
    '5:not hex',
    '(5:a'
  ])('AFTER %j', async (bad) => {
    const root = await five()
    await root.refuses('TSBADARG', 'list', 'o', 'AFTER', bad)
    await root.refuses('TSBADARG', 'list', 'x', 'COUNT', 1, 'AFTER', bad)
  })

  test.each(['count', 'after', '', 'LIMIT', '5'])('an unknown option %j', async (word) =>
    (await five()).refuses('TSBADARG', 'list', 'o', word, 5)
  )
})

describe('what is not of this layout', () => {
  /** Something else lies under the key or the id of token 1: that stays, the member goes. */
  const drops = async (root: Root): Promise<void> => {
    const before = await root.state()
    expect((await list(root)).ids).toEqual([4, 2, 5, 3].map(id))
    const name = `${root.name}:tokens:o`
    const members = before[name]!.value as string[]
    members.splice(members.indexOf(id(1)), 2)
    expect(await root.state()).toEqual(before)
  }

  test.each(strayBeginnings(id(1), key(1)))('a foreign record is dropped: %s', async (_, text) => {
    const root = await five()
    await redis.set(root.at('key', key(1)), text)
    await drops(root)
  })

  test.each(strayTypes('string'))(
    'a %s where a record or an id belongs is dropped',
    async (_, put) => {
      for (const [family, rest] of [
        ['key', key(1)],
        ['id', id(1)]
      ] as const) {
        const root = await five()
        await redis.del(root.at(family, rest))
        await put(redis, root.at(family, rest))
        await drops(root)
      }
    }
  )

  test.each(strayTypes('zset'))(
    'WRONGTYPE: a %s where the owner set belongs, as 0.0.4 left it',
    async (_, put) => {
      const root = await five()
      await redis.del(root.at('tokens', 'o'))
      await put(redis, root.at('tokens', 'o'))
      await root.refuses('WRONGTYPE', 'list', 'o')
      await root.refuses('WRONGTYPE', 'list', 'o', 'COUNT', 1000)
      await root.refuses('WRONGTYPE', 'list', 'o', 'COUNT', 1, 'AFTER', `inf:${id(1)}`)
    }
  )
})

test('neighbours are neither read nor written, not even one called like the root', async () => {
  const root = new Root(redis)
  for (const name of ['', ':', ':tokens:', '2:tokens:o'])
    await redis.set(root.name + name, 'a neighbour')
  await root.issue(1)
  await root.unchanged(async () => {
    expect((await list(root)).ids).toEqual([id(1)])
    expect(await root.run('list', 'x')).toEqual([''])
    expect(await root.run('list', 'x', 'COUNT', 1)).toEqual([''])
  })
  await redis.del(root.at('id', id(1)))
  expect(await root.run('list', 'o')).toEqual([''])
})

// In Danish aa is the last letter, behind z. Redis takes over the locale in which it is started,
// and Lua compares by it.
test('the order is that of the bytes of the ids in every locale', async () => {
  const [source, name] = ['/usr/share/i18n/locales/da_DK', 'da_DK.UTF-8']
  if (!existsSync(source))
    return notRun('the Danish locale is not installed: Debian has it as locales')
  const locales = mkdtempSync(join(tmpdir(), 'tokenstore-locale-'))
  execFileSync('localedef', ['--no-archive', '-i', source, '-f', 'UTF-8', join(locales, name)], {
    stdio: 'ignore'
  })
  const [path, all] = [process.env.LOCPATH, process.env.LC_ALL]
  Object.assign(process.env, { LOCPATH: locales, LC_ALL: name })
  const server = await startRedis()
  const restore = (name: string, value?: string) =>
    value === undefined ? delete process.env[name] : (process.env[name] = value)
  restore('LOCPATH', path)
  restore('LC_ALL', all)
  try {
    const danish = client({}, server.url)
    expect(await danish.eval("return {'aa' > 'b', 'aa' < 'b'}", 0)).toEqual([1, null])
    const root = new Root(danish)
    const ids = ['9', '0a', 'a9', 'aa', 'ab', 'b0', 'f0'].map(
      (end) => id(0).slice(0, -end.length) + end
    )
    for (const one of [...ids].reverse()) await root.run('add', `key of ${one}`, one, 'o', '{}')
    expect((await walk(root, 1)).flat()).toEqual([...ids].sort())
    await root.run('add', 'key of another', id(0), 'o', '{}', 'TTL', HOUR)
    expect((await list(root)).ids).toEqual([id(0), ...[...ids].sort()])
  } finally {
    await server.stop()
    rmSync(locales, { recursive: true })
  }
})
