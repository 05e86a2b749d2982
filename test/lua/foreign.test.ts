import { type Arg, client, closeAfterAll, random } from '../support'
import { OWNERS, strayRecords, STRAY_TYPES } from '../support/cases'
import { id, key, Root, type State } from '../support/root'

closeAfterAll()
const redis = client()
const HOUR = 3_600_000

// What others wrote where ours should be: an error has our code or is Redis' own WRONGTYPE, and
// comes with nothing written; and no script fails in Lua.

const SCORES = ['1.5', '-inf', '1e300', '-1e300', '9.3e18', '1e17', '-5', '4102444800000.5']

describe.each(SCORES)('a score of %s in the set of an owner', (score) => {
  /** Token 1, which ends first, token 2, and a member with that score. */
  const filled = async (member: Arg = id(9)): Promise<Root> => {
    const root = new Root(redis)
    for (const n of [1, 2]) await root.issue(n, 'o', '{}', 'IDLE', n * HOUR, 'EVERY', 1)
    await root.later(10)
    await redis.zadd(root.at('tokens', 'o'), score, member)
    return root
  }
  /** The set must not end before one of its tokens does. */
  const outlives = async (root: Root, ...tokens: number[]): Promise<void> => {
    const end = (name: Buffer): Promise<number> => redis.pexpiretime(name)
    const last = await end(root.at('tokens', 'o'))
    for (const n of tokens)
      expect(last === -1 || last >= (await end(root.at('key', key(n))))).toBe(true)
  }

  test.each<[script: string, args: Arg[], left: number[]]>([
    ['add', [key(3), id(3), 'o', '{}', 'TTL', HOUR], [1, 2, 3]],
    ['add', [key(3), id(3), 'o', '{}'], [1, 2]],
    ['add', [key(3), id(3), 'o', '{}', 'LIMIT', 2, 'EVICT'], []],
    ['getkey', ['TOUCH', key(1), key(2)], [1, 2]],
    ['list', ['o'], [1, 2]],
    ['list', ['o', 'COUNT', 1], [1, 2]],
    ['count', ['o'], [1, 2]],
    ['rotate', [id(1), key(3)], [2]],
    ['refresh', [key(1), key(3)], [2]],
    ['change', [id(1), 'ATTRS', '{"a":1}'], [1, 2]],
    ['change', [id(1), 'OWNER', 'p', 'TTL', 'NEVER'], [2]],
    ['change', [id(1), 'OWNER', 'o', 'LIMIT', 1, 'EVICT'], [1]],
    ['del', [id(1)], [2]],
    ['delkey', [key(1)], [2]],
    ['delowner', ['o'], []],
    ['delowner', ['o', 'EXCEPT', id(1)], [1]],
    ['delowner', ['o', 'COUNT', 1], []]
  ])('%s %j does its work', async (script, args, left) => {
    const root = await filled()
    expect(await root.run(script, ...args)).toBeTruthy()
    await outlives(root, ...left)
  })

  test('that of a live token: it is revoked all the same, by any way', async () => {
    for (const [script, ...args] of [
      ['del', id(1)],
      ['delkey', key(1)],
      ['delowner', 'o']
    ] as const) {
      const root = await filled(id(1))
      expect(await root.run(script, ...args)).toBeGreaterThan(0)
      expect(await root.run('getkey', 'TOUCH', key(1))).toEqual([null, 0])
    }
  })

  test('that of a live token: change and refresh answer it, or nil', async () => {
    for (const [script, ...args] of [
      ['change', id(1), 'ATTRS', '{"a":1}'],
      ['change', id(1), 'OWNER', 'p', 'LIMIT', 5, 'EVICT'],
      ['change', id(1), 'OWNER', 'p', 'TTL', HOUR],
      ['refresh', key(1), key(3), 'DETECT', HOUR]
    ] as const) {
      const root = await filled(id(1))
      const before = await root.state()
      const reply = await root.run(script, ...args)
      // None is left by half, and each is still to be revoked.
      if (reply === null) expect(await root.state()).toEqual(before)
      expect(await root.run('del', id(1))).toBe(1)
      expect(await root.run('getkey', 'TOUCH', key(1), key(3))).toEqual([null, 0, null, 0])
      for (const owner of ['o', 'p'])
        expect(await redis.zscore(root.at('tokens', owner), id(1))).toBeNull()
    }
  })

  test('of the set that a change joins: it does its work', async () => {
    for (const limit of [[], ['LIMIT', 1, 'EVICT'], ['LIMIT', 9, 'REJECT']] as Arg[][]) {
      const root = await filled()
      await root.issue(5, 'p', '{}', 'TTL', HOUR)
      expect(await root.run('change', id(5), 'OWNER', 'o', ...limit)).toBeTruthy()
      expect(await root.run('count', 'p')).toBe(0)
      const [, , end] = (await root.run('get', id(5))) as number[]
      const last = await redis.pexpiretime(root.at('tokens', 'o'))
      expect(last === -1 || last >= end!).toBe(true)
    }
  })

  test('pages go on behind it', async () => {
    const root = await filled()
    await root.seed(3, 6)
    await redis.zadd(root.at('tokens', 'o'), score, id(4), '+inf', 'x')
    const seen = new Set<string>()
    let cursor = ''
    do {
      const after = cursor === '' ? [] : ['AFTER', cursor]
      const [next, ...rest] = (await root.run('list', 'o', 'COUNT', 1, ...after)) as string[]
      for (let i = 0; i < rest.length; i += 3) seen.add(rest[i]!)
      cursor = next!
    } while (cursor !== '')
    for (const n of [1, 2, 3, 5, 6]) expect(seen).toContain(key(n))
  })
})

describe('a name that leads back to itself', () => {
  test.each<[script: string, args: Arg[]]>([
    ['getkey', ['TOUCH', key(1)]],
    ['get', [id(1)]],
    ['set', [id(1), '{}']],
    ['rotate', [id(1), key(2)]],
    ['change', [id(1), 'TTL', 'NEVER']],
    ['refresh', [key(1), key(2)]],
    ['del', [id(1)]],
    ['delkey', [key(1)]]
  ])('%s: TSRECORD', async (script, args) => {
    const root = new Root(redis)
    await redis.set(root.at('id', id(1)), key(1))
    await redis.set(root.at('key', key(1)), `${id(1)} 9999999999999`)
    await root.refuses('TSRECORD', script, ...args)
  })
})

test('fields of a later version are no concern of this one', async () => {
  const root = new Root(redis)
  for (const [n, fields] of [
    ...['', ',"ends_at":9999999999999', ',"idle":5000,"every":500'].entries()
  ]) {
    const record = `{"id":"${id(n)}","owner_id":"o"${fields},"later":1,"attrs":{"a":1}}`
    await redis.set(root.at('key', key(n)), record, 'PX', HOUR)
    await redis.set(root.at('id', id(n)), key(n), 'PX', HOUR)
    await redis.zadd(root.at('tokens', 'o'), 9999999999999, id(n))
    expect(await root.run('getkey', 'PEEK', key(n))).toMatchObject([record, {}])
    expect(await root.run('rotate', id(n), key(n + 10))).toMatchObject([key(n + 10), record, {}])
    expect(await root.run('refresh', key(n + 10), key(n + 20))).toMatchObject([{}, record, {}])
    expect(await root.run('set', id(n), '{}')).not.toBeNull()
    const [, changed] = (await root.run('change', id(n), 'ATTRS', '{"a":1}')) as string[]
    expect(changed).toBe(record)
    expect(await root.run('del', id(n))).toBe(1)
  }
})

test('a record whose id has another form: change keeps what it does not change', async () => {
  const root = new Root(redis)
  const owner = 'o'.repeat(60)
  const record = `{"id":"5","owner_id":"${owner}","later":1,"attrs":{"a":1}}`
  await redis.set(root.at('id', '5'), key(1))
  await redis.set(root.at('key', key(1)), record)
  await redis.zadd(root.at('tokens', owner), '+inf', '5')
  expect(await root.run('change', '5', 'ATTRS', '{"a":1}')).toEqual([key(1), record, 0])
})

// Everything at once: names of all families with what may lie there, and calls on them.
test('2,000 random calls: an error has a code, and comes with nothing written', async () => {
  const rng = random(20)
  const below = (n: number): number => Math.floor(rng() * n)
  const one = <T>(of: readonly T[]): T => of[below(of.length)]!
  const ids = [1, 2, 3].map(id)
  const keys = ['k1', 'k2', 'k3']
  const owners = ['o', 'b/n', ...OWNERS.slice(0, 3).map(([, owner]) => owner)]
  const texts = ids.flatMap((each) => strayRecords(each, 'k1').map(([, text]) => text))
  const lifetimes = [
    '',
    ',"ends_at":9999999999999',
    ',"idle":60000,"every":1',
    ',"idle":60000,"every":60000'
  ]
  const record = (): string =>
    `{"id":"${one(ids)}","owner_id":"o"${one(lifetimes)}${one(['', one(lifetimes)])},"attrs":{}}`
  const rests: Record<string, readonly Arg[]> = {
    key: keys,
    id: ids,
    tokens: owners,
    hash: ['h1', 'h2'],
    latest: ['n'],
    hashes: owners,
    code: ['n']
  }
  const values: Record<string, () => string> = {
    key: () =>
      one([record(), record(), one(texts), `${one(ids)} ${one(['0', '1', '9999999999999'])}`]),
    id: () => one([...keys, '', 'x']),
    hash: () => one(['1', 'x']),
    latest: () => one(['h1', 'h2'])
  }
  const put = async (root: Root): Promise<void> => {
    // A token now and then, or what goes on from one would never be met.
    if (below(4) === 0) {
      await root.run('add', one(keys), one(ids), 'o', '{}', 'IDLE', HOUR).catch(() => 0)
      return
    }
    const family = one(Object.keys(rests))
    const name = root.at(family, one(rests[family]!))
    const value = values[family]
    if (below(8) === 0) {
      await redis.del(name)
      await one(STRAY_TYPES)[1](redis, name)
    } else if (value) {
      await redis.set(name, value())
    } else if (family === 'code') {
      const [field, number] = [one(['digest', 'value', 'left', 'made']), one([...SCORES, '0', 'x'])]
      await redis.hset(name, field, number).catch(() => 0)
    } else {
      const member = one([...(family === 'hashes' ? ['h1', 'h2'] : ids), 'x', ''])
      await redis.zadd(name, one([...SCORES, '+inf']), member).catch(() => 0)
    }
    if (below(2)) await redis.pexpire(name, HOUR)
  }
  const options = (...of: Arg[][]): Arg[] => one([[], ...of])
  const calls: Record<string, () => Arg[]> = {
    add: () => [
      one(keys),
      one(ids),
      one(owners),
      '{}',
      ...options(['TTL', HOUR], ['IDLE', HOUR]),
      ...options(['LIMIT', 1, one(['EVICT', 'REJECT'])])
    ],
    getkey: () => [one(['TOUCH', 'PEEK']), one(keys), one(keys)],
    get: () => [one(ids)],
    set: () => [one(ids), '{"a":1}'],
    del: () => [one(ids)],
    delkey: () => [one(keys)],
    delowner: () => [
      one(owners),
      ...options(['COUNT', 1], ['EXCEPT', one(ids)]),
      ...options(['HASHES'])
    ],
    change: () => [
      one(ids),
      ...options(['IF', one(['{}', '{"a":1}'])]),
      ...['ATTRS', '{}'],
      ...options(['OWNER', one(owners), ...options(['LIMIT', 1, one(['EVICT', 'REJECT'])])]),
      ...options(['TTL', one([HOUR, 'NEVER'])]),
      ...options(['IDLE', one([HOUR, 'NEVER'])])
    ],
    refresh: () => [
      one(keys),
      one(keys),
      ...options(['GRACE', HOUR / 2]),
      ...options(['DETECT', HOUR])
    ],
    makecode: () => ['n', one(['0', 'x']), '1', HOUR, 5, ...options(['EVERY', 5])],
    trycode: () => ['n', one(['0', 'x'])],
    list: () => [one(owners), ...options(['COUNT', 1, 'AFTER', `5:${one(ids)}`])],
    count: () => [one(owners)],
    rotate: () => [one(ids), one(keys), ...options(['GRACE', HOUR], ['IF', one(keys)])],
    makehash: () => [
      ...[one(['h1', 'h2']), '1', HOUR],
      ...options(['REPLACES', 'n']),
      ...options(['OWNER', one(owners)])
    ],
    gethash: () => [one(['h1', 'h2'])],
    takehash: () => [one(['h1', 'h2'])],
    delhash: () => [one(['h1', 'h2'])]
  }
  const codes = new Set<string>()
  for (let n = 0, root = new Root(redis); n < 2000; n++) {
    if (n % 40 === 0) root = new Root(redis)
    for (let puts = 0; puts < 3; puts++) await put(root)
    const script = one(Object.keys(calls))
    const args = calls[script]!()
    const before: State = await root.state()
    const error = await root.run(script, ...args).then(
      () => '',
      ({ message }: Error) => message
    )
    if (error === '') continue
    codes.add(error.split(' ')[0]!)
    expect([script, args, error, await root.state()]).toEqual([script, args, error, before])
  }
  expect([...codes].sort()).toEqual([
    'TSCONFLICT',
    'TSKEYTAKEN',
    'TSLIMIT',
    'TSRECORD',
    'WRONGTYPE'
  ])
})
