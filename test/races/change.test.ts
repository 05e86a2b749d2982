import type { Redis } from 'ioredis'
import { ConflictError, LimitError, type Token } from '../../src/main'
import { audit, client, closeAfterAll, names } from '../support'
import { breaks, connected, contenders, isError, races, rounds, values, type Tokens } from './race'

closeAfterAll()

const lifetimes = [{}, { ttl: 600 }, { idle: 600 }]

/** Gives a token another owner. */
type Change = (i: number, token: Token, owner_id: string) => Promise<Token | null>

/** A change of owner in two calls: what is there, and what is to be instead. */
async function splitChange(
  redis: Redis,
  prefix: string,
  id: string,
  owner_id: string
): Promise<Token | null> {
  const lua = `local key = redis.call('GET', KEYS[1])
    local name = ARGV[1] .. (key or '')
    return { key, redis.call('GET', name), redis.call('PEXPIRETIME', name) }`
  const found = await redis.eval(lua, 1, `${prefix}:id:${id}`, `${prefix}:key:`)
  const [key, text, end] = found as [string, string, number]
  if (!text) return null
  const record = JSON.parse(text) as Token
  const names = [`${prefix}:key:${key}`, `${prefix}:id:${id}`] as const
  const multi = redis
    .multi()
    .mset(names[0], JSON.stringify({ ...record, owner_id }), names[1], key)
    .zrem(`${prefix}:tokens:${record.owner_id}`, id)
    .zadd(`${prefix}:tokens:${owner_id}`, end > 0 ? end : '+inf', id)
  if (end > 0) for (const name of names) multi.pexpireat(name, end)
  await multi.exec()
  return { key, id, owner_id, attrs: record.attrs, ...(end > 0 && { expires_at: end }) }
}

const CHANGERS = 4

function endsOf(ender: Tokens, change: Change, seen = { before: 0, after: 0 }) {
  const race = races(26)
  return async (round: number): Promise<void> => {
    const owners = ['a', 'b', 'c'].map((name) => `${name}-${round}`)
    const token = await ender.add({ owner_id: owners[0]!, ...lifetimes[round % 3] })
    const ends = async (): Promise<Token | null> => {
      expect(await (round % 2 ? ender.del(token.id) : ender.delKey(token.key))).toBe(true)
      return ender.getKey(token.key) // sent while changes may still be under way
    }
    const changes = Array.from(
      { length: CHANGERS },
      (_, i) => () => change(i, token, owners[i % 3]!)
    )
    const [left, ...changed] = values(await race([ends, ...changes]))
    for (const answer of changed) seen[answer ? 'before' : 'after']++
    expect([left, await ender.getKey(token.key), await ender.get(token.id)]).toEqual([
      null,
      null,
      null
    ])
  }
}

test('after del or delKey no change of owner revives the token', async () => {
  const { prefix, stores } = await contenders(1 + CHANGERS)
  const [ender, ...changers] = stores
  const seen = { before: 0, after: 0 }
  const run = endsOf(ender!, (i, { id }, owner_id) => changers[i]!.change(id, { owner_id }), seen)
  await rounds(run, { seen })
  expect(Math.min(seen.before, seen.after)).toBeGreaterThan(0)
  expect(await names(client(), prefix)).toEqual({})
})

test('in two calls, a change of owner revives it', async () => {
  const { prefix, stores } = await contenders(1)
  const clients = await connected(CHANGERS)
  await breaks(
    endsOf(stores[0]!, (i, { id }, owner_id) => splitChange(clients[i]!, prefix, id, owner_id))
  )
})

function ownersOf(
  prefix: string,
  [first, second]: Tokens[],
  change: Change,
  seen = { old: 0, new: 0, alive: 0 }
) {
  const race = races(27)
  const redis = client()
  return async (round: number): Promise<void> => {
    const [before, after] = [`old-${round}`, `new-${round}`]
    const token = await first!.add({ owner_id: before, ...lifetimes[round % 3] })
    // Whether there is a record, and whether each owner lists it, at one moment.
    const look = async (): Promise<boolean[]> => {
      const replies = await redis
        .multi()
        .exists(`${prefix}:key:${token.key}`)
        .zscore(`${prefix}:tokens:${before}`, token.id)
        .zscore(`${prefix}:tokens:${after}`, token.id)
        .exec()
      const [record, ...scores] = replies!.map(([, reply]) => reply)
      return [record === 1, ...scores.map((score) => score !== null)]
    }
    const watch = async (): Promise<void> => {
      for (let n = 0; n < 2; n++) {
        const [record, ...listed] = await look()
        expect(listed.filter(Boolean)).toHaveLength(Number(record))
      }
    }
    const [, old, its, ...changed] = values(
      await race<unknown>([
        watch,
        () => first!.delOwner(before),
        () => second!.delOwner(after),
        ...Array.from({ length: CHANGERS }, (_, i) => () => change(i, token, after))
      ])
    ) as [undefined, number, number, ...(Token | null)[]]
    const left = await first!.get(token.id)
    const gone = changed.filter((answer) => answer === null)
    // Of the old owner it can only be revoked before all changes, of the new one after one.
    if (old) expect(gone).toHaveLength(CHANGERS)
    else if (its) expect(gone.length).toBeLessThan(CHANGERS)
    else expect(gone).toEqual([])
    expect(old + its + Number(left !== null)).toBe(1)
    expect(await first!.getKey(token.key, { touch: false })).toEqual(left)
    if (left) expect(left).toEqual({ ...token, owner_id: after })
    expect(await look()).toEqual([left !== null, false, left !== null])
    seen[old ? 'old' : its ? 'new' : 'alive']++
  }
}

test('beside delOwner of the old and the new owner a token is revoked, or alive after both', async () => {
  const { prefix, stores } = await contenders(2 + CHANGERS)
  const changers = stores.slice(2)
  const seen = { old: 0, new: 0, alive: 0 }
  const change: Change = (i, { id }, owner_id) => changers[i]!.change(id, { owner_id })
  const check = async (): Promise<void> => expect(await audit(client(), prefix)).toEqual([])
  await rounds(ownersOf(prefix, stores, change, seen), { check, seen })
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(0)
  expect(await stores[0]!.reset()).toBe(seen.alive)
})

test('in two calls, it is alive though its owner was revoked, or twice listed', async () => {
  const { prefix, stores } = await contenders(2)
  const clients = await connected(CHANGERS)
  await breaks(
    ownersOf(prefix, stores, (i, { id }, owner_id) =>
      splitChange(clients[i]!, prefix, id, owner_id)
    )
  )
})

const N = 6
const ADDERS = 2
const LIMIT = 3

type Limited = (i: number, id: string, owner_id: string) => Promise<Token | null>

function limitsOf(stores: Tokens[], change: Limited, seen = { added: 0, moved: 0, left: 0 }) {
  const race = races(28)
  return async (round: number): Promise<void> => {
    const owner_id = `user-${round}`
    const held: Token[] = []
    for (let n = 0; n < round % LIMIT; n++) held.push(await stores[0]!.add({ owner_id }))
    const moving = await Promise.all(
      stores.slice(ADDERS).map((tokens) => tokens.add({ owner_id: `other-${round}` }))
    )
    const results = await race<Token | null>([
      ...stores.slice(0, ADDERS).map((tokens) => () => tokens.add({ owner_id, limit: LIMIT })),
      ...moving.map(
        ({ id }, i) =>
          () =>
            change(i, id, owner_id)
      ),
      // One that is the owner's already takes no place.
      ...held.slice(0, 1).map(
        ({ id }) =>
          () =>
            change(N - 1, id, owner_id)
      )
    ])
    expect(results.slice(N).filter(isError)).toEqual([])
    const racing = results.slice(0, N)
    const won = racing.filter((result) => !isError(result))
    expect(won).toHaveLength(LIMIT - held.length)
    expect(racing.filter((result) => result instanceof LimitError)).toHaveLength(N - won.length)
    expect(await stores[0]!.count(owner_id)).toBe(LIMIT)
    const stayed = await stores[0]!.list(`other-${round}`)
    const refused = moving.filter((_, i) => isError(racing[ADDERS + i]))
    expect(stayed.map(({ id }) => id)).toEqual(refused.map(({ id }) => id).sort())
    seen.left += stayed.length
    seen.moved += moving.length - stayed.length
    seen.added += racing.slice(0, ADDERS).filter((result) => !isError(result)).length
  }
}

test('reject: never more than the limit, however many add and move tokens at once', async () => {
  const { prefix, stores } = await contenders(N)
  const seen = { added: 0, moved: 0, left: 0 }
  const change: Limited = (i, id, owner_id) => stores[i]!.change(id, { owner_id, limit: LIMIT })
  const check = async (): Promise<void> => {
    expect(await audit(client(), prefix)).toEqual([])
    await stores[0]!.reset()
  }
  await rounds(limitsOf(stores, change, seen), { check, seen })
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(0)
})

test('in two calls, there are more than the limit', async () => {
  const { stores } = await contenders(N)
  await breaks(
    limitsOf(stores, async (i, id, owner_id) => {
      const token = await stores[i]!.get(id)
      if (token!.owner_id !== owner_id && (await stores[i]!.count(owner_id)) >= LIMIT)
        throw new LimitError('TSLIMIT', 'too many')
      return stores[i]!.change(id, { owner_id })
    })
  )
})

test('evict: never more than the limit, each token over it is named in one answer', async () => {
  const { prefix, stores } = await contenders(N)
  const redis = client()
  const race = races(29)
  const seen = { added: 0, moved: 0 }
  let live = 0
  const run = async (round: number): Promise<void> => {
    const owner_id = `user-${round}`
    const limit = { owner_id, limit: LIMIT, onLimit: 'evict' } as const
    const own: Token[] = []
    for (let n = 0; n < round % LIMIT; n++) own.push(await stores[0]!.add({ owner_id }))
    const moving = await Promise.all(
      stores
        .slice(ADDERS)
        .map((tokens, i) =>
          tokens.add({ owner_id: `${i}-${round}`, ...lifetimes[(round + i) % 3] })
        )
    )
    const most: number[] = []
    const watch = async (): Promise<null> => {
      for (let n = 0; n < 2; n++) most.push(await redis.zcard(`${prefix}:tokens:${owner_id}`))
      return null
    }
    const answers = values(
      await race<(Token & { evicted?: string[] }) | null>([
        ...stores
          .slice(0, ADDERS)
          .map((tokens, i) => () => tokens.add({ ...limit, ...lifetimes[(round + i) % 3] })),
        ...moving.map(
          ({ id }, i) =>
            () =>
              stores[i]!.change(id, limit)
        ),
        ...own.slice(0, 1).map(
          ({ id }) =>
            () =>
              stores[N - 1]!.change(id, limit)
        ),
        watch
      ])
    )
    expect(Math.max(...most)).toBeLessThanOrEqual(LIMIT)
    const added = answers.slice(0, ADDERS).map((token) => token!.id)
    const evicted = answers.flatMap((token) => token?.evicted ?? [])
    const left = (await stores[0]!.list(owner_id)).map(({ id }) => id)
    expect(left).toHaveLength(LIMIT)
    const all = [...added, ...own.map(({ id }) => id), ...moving.map(({ id }) => id)]
    expect([...evicted, ...left].sort()).toEqual(all.sort())
    for (const id of evicted) seen[added.includes(id) ? 'added' : 'moved']++
    live += LIMIT
  }
  const check = async (): Promise<void> => {
    expect(await audit(redis, prefix)).toEqual([])
    expect(await stores[0]!.reset()).toBe(live)
    live = 0
  }
  await rounds(run, { check, seen })
  expect(Math.min(seen.added, seen.moved)).toBeGreaterThan(0)
})

// Each use is written: more than touchEvery has gone by since the last.
const idle = { idle: 600, touchEvery: 0.001 }
const USERS = 4
const changes = [{}, { idle: 1200 }, { idle: 300 }, { idle: null, ttl: 3000 }]

function usesOf(stores: Tokens[], change: Change, seen = { before: 0, after: 0, moved: 0 }) {
  const race = races(30)
  return async (round: number): Promise<void> => {
    const [before, after] = [`old-${round}`, `new-${round % 20}`]
    // One that stays, and ends sooner.
    await stores[0]!.add({ owner_id: before, idle: 60 })
    const token = await stores[0]!.add({ owner_id: before })
    const [changed, ...used] = values(
      await race([
        () => change(round, token, after),
        ...stores.slice(1).map((tokens) => () => tokens.getKey(token.key))
      ])
    )
    // No use may miss; what each answers is that of the one order or the other.
    expect(used).not.toContain(null)
    const left = (await stores[0]!.get(token.id))!
    const later = used.filter((answer) => answer!.owner_id === after)
    const isUse = round % changes.length > 0
    const ends = [changed, ...(isUse ? later : used)].map((answer) => answer!.expires_at!)
    expect(left).toMatchObject({ owner_id: after, expires_at: Math.max(...ends) })
    if (!isUse) expect([token.expires_at, ...ends.slice(1)]).toContain(ends[0])
    expect(await stores[0]!.getKey(token.key, { touch: false })).toEqual(left)
    seen.before += used.length - later.length
    seen.after += later.length
    seen.moved += Number(!isUse && left.expires_at! > token.expires_at!)
  }
}

test('a use beside a change of owner or lifetime comes before it or after, and neither is lost', async () => {
  const { prefix, stores } = await contenders(1 + USERS, idle)
  const seen = { before: 0, after: 0, moved: 0 }
  const run = usesOf(
    stores,
    (round, { id }, owner_id) =>
      stores[0]!.change(id, { owner_id, ...changes[round % changes.length] }),
    seen
  )
  const check = async (): Promise<void> => expect(await audit(client(), prefix)).toEqual([])
  const ran = await rounds(run, { check, seen })
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(0)
  expect(await stores[0]!.reset()).toBe(2 * ran)
})

test('in two calls, a use is lost', async () => {
  const { prefix, stores } = await contenders(1 + USERS, idle)
  const [redis] = await connected(1)
  const run = usesOf(stores, (_, { id }, owner_id) => splitChange(redis!, prefix, id, owner_id))
  await breaks((round) => run(changes.length * round))
})

type Replace = (token: Token, owner_id: string, attrs?: { n: number }) => Promise<Token | null>

function updatesOf(stores: Tokens[], change: Replace, seen = { before: 0, after: 0 }) {
  const [rotator, ...updaters] = stores
  const race = races(31)
  return async (round: number): Promise<void> => {
    const [before, after] = [`old-${round % 20}`, `new-${round % 20}`]
    const lifetime = lifetimes[round % 3]
    const token = await rotator!.add({ owner_id: before, attrs: { n: 0 }, ...lifetime })
    const attrs = round % 2 ? { n: 100 } : undefined
    const [changed, rotated, ...updated] = values(
      await race([
        async () => {
          // An update is two calls; without one ahead of it the change nearly always comes first.
          if (round % 4 > 1) await rotator!.get(token.id)
          return change(token, after, attrs)
        },
        () => rotator!.rotate(token.id),
        ...updaters.map(
          (tokens) => () => tokens.update(token.id, ({ n }) => ({ n: Number(n) + 1 }))
        )
      ])
    )
    const counts = updated.map((answer) => Number(answer!.attrs.n)).sort((a, b) => a - b)
    const later = counts.filter((n) => n > 100)
    expect(counts).toEqual([
      ...updaters.slice(later.length).map((_, i) => 1 + i),
      ...later.map((_, i) => 101 + i)
    ])
    expect(await rotator!.getKey(rotated!.key, { touch: false })).toEqual({
      ...changed,
      key: rotated!.key,
      attrs: { n: attrs ? 100 + later.length : updaters.length }
    })
    if (attrs) seen.before += updaters.length - later.length
    seen.after += later.length
  }
}

test('updates and a rotate beside a change are all applied', async () => {
  const { prefix, stores } = await contenders(3)
  const seen = { before: 0, after: 0 }
  const change: Replace = ({ id }, owner_id, attrs) =>
    stores[0]!.change(id, { owner_id, ttl: 3000, attrs })
  const check = async (): Promise<void> => expect(await audit(client(), prefix)).toEqual([])
  const ran = await rounds(updatesOf(stores, change, seen), { check, seen })
  expect(Math.min(seen.before, seen.after)).toBeGreaterThan(0)
  expect(await stores[0]!.reset()).toBe(ran)
})

test('in two calls, an update is lost', async () => {
  const { prefix, stores } = await contenders(3)
  const [redis] = await connected(1)
  const run = updatesOf(stores, ({ id }, owner_id) => splitChange(redis!, prefix, id, owner_id))
  await breaks((round) => run(4 * round))
})

/** Replaces attrs `{"n":0}` by `{"i":…}`: by set, or by change, which moves the token as well. */
type ReplaceIf = (i: number, id: string, owner_id: string) => Promise<unknown>

function conflictsOf(looker: Tokens, replace: ReplaceIf, wins: number[] = []) {
  const race = races(32)
  return async (round: number): Promise<void> => {
    const [before, after] = [`old-${round % 20}`, `new-${round % 20}`]
    const token = await looker.add({ owner_id: before, attrs: { n: 0 } })
    const results = await race(
      Array.from({ length: N }, (_, i) => () => replace(i, token.id, after))
    )
    const won = results.findIndex((result) => !isError(result))
    expect(results.filter((result) => result instanceof ConflictError)).toHaveLength(N - 1)
    expect(await looker.getKey(token.key)).toEqual({
      ...token,
      owner_id: won % 2 ? before : after,
      attrs: { i: won }
    })
    wins[won]!++
  }
}

test('of many sets and changes from the same attrs exactly one wins', async () => {
  const { prefix, stores } = await contenders(N)
  const wins = new Array<number>(N).fill(0)
  const from = { n: 0 }
  const replace: ReplaceIf = (i, id, owner_id) =>
    i % 2
      ? stores[i]!.set(id, { i }, { from })
      : stores[i]!.change(id, { owner_id, attrs: { i }, from })
  const ran = await rounds(conflictsOf(stores[0]!, replace, wins), { seen: wins })
  expect(Math.min(...wins)).toBeGreaterThan(0)
  expect(await audit(client(), prefix)).toEqual([])
  expect(await stores[0]!.reset()).toBe(ran)
})

test('in two calls, more than one wins', async () => {
  const { stores } = await contenders(N)
  await breaks(
    conflictsOf(stores[0]!, async (i, id, owner_id) => {
      const token = await stores[i]!.get(id)
      if (token!.attrs.n !== 0) throw new ConflictError('TSCONFLICT', 'of two calls')
      const attrs = { i }
      return i % 2 ? stores[i]!.set(id, attrs) : stores[i]!.change(id, { owner_id, attrs })
    })
  )
})
