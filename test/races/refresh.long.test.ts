import type { Redis } from 'ioredis'
import { ConflictError, ReuseError, type Token } from '../../src/main'
import { audit, client, closeAfterAll, keyspace, timeOf } from '../support'
import {
  breaks,
  connected,
  contenders,
  isError,
  living,
  races,
  rounds,
  values,
  type Tokens
} from './race'

closeAfterAll()

const N = 4
const lifetimes = [{}, { ttl: 600 }, { idle: 600 }, { ttl: 600, idle: 500 }]

type Refresh = (i: number, key: string) => Promise<Token | null>

// To the current key, as the id says, and its record.
const CURRENT = `
local held = redis.call('GET', KEYS[1] .. ':key:' .. ARGV[1])
local id = held and held:match('^([%x-]+) ') or held and held:match('"id":"([^"]+)"')
local key = id and redis.call('GET', KEYS[1] .. ':id:' .. id)
return { key, key and redis.call('GET', KEYS[1] .. ':key:' .. key) }`

/** A refresh in two calls: to which token the key leads, and its new key. */
function splitRefresh(prefix: string, clients: Redis[], grace = 60_000): Refresh {
  let made = 0
  return async (i, given) => {
    const found = await clients[i]!.eval(CURRENT, 1, prefix, given)
    const [key, record] = found as [string, string | null]
    if (!record) return null
    const { id, owner_id, attrs } = JSON.parse(record) as Token
    const fresh = `${i}-${made++}`
    await clients[i]!.multi()
      .mset(`${prefix}:key:${fresh}`, record, `${prefix}:id:${id}`, fresh)
      .set(`${prefix}:key:${key}`, `${id} ${Date.now() + grace}`, 'PX', grace)
      .exec()
    return { key: fresh, id, owner_id, attrs }
  }
}

/** Of the contenders each second one loses its first answer, and asks again with the same key. */
function roundsOf(
  [adder, reader]: Tokens[],
  refresh: Refresh,
  wins: number[] = [],
  current: string[] = []
): (round: number) => Promise<void> {
  const race = races(33)
  return async (round) => {
    const lifetime = lifetimes[round % 4]
    const token = await adder!.add({ owner_id: 'user-7', attrs: { round }, ...lifetime })
    const keys: string[] = []
    const refreshes = Array.from({ length: N }, (_, i) => async () => {
      if ((i + round) % 2) keys.push((await refresh(i, token.key))?.key ?? 'lost')
      return refresh(i, token.key)
    })
    const [read, ...refreshed] = values(
      await race([() => reader!.getKey(token.key, { touch: false }), ...refreshes])
    )
    expect([read, ...refreshed]).not.toContain(null)
    const answered = refreshed.map((answer) => answer!.key)
    keys.push(token.key, ...answered)
    const left = (await adder!.set(token.id, { round, seen: true }))!
    wins[answered.indexOf(left.key)]!++
    current.push(left.key)
    expect(answered).toContain(left.key)
    expect(left.expires_at).toBe(
      token.expires_at && Math.max(...refreshed.map((answer) => answer!.expires_at!))
    )
    const opened = await Promise.all(keys.map((key) => reader!.getKey(key, { touch: false })))
    expect(opened).toEqual(keys.map((key) => ({ ...left, key })))
  }
}

test('of one key within its grace all refreshes are answered, also again, and all keys open', async () => {
  const { prefix, stores } = await contenders(N)
  const wins = new Array<number>(N).fill(0)
  const current: string[] = []
  const check = async (): Promise<void> => {
    const entries = Object.entries(await keyspace(client(), prefix))
    const records = entries.filter(([, { value }]) => String(value).startsWith('{'))
    expect(records.map(([name]) => name)).toEqual(
      current.map((key) => `${prefix}:key:${key}`).sort()
    )
    expect(await audit(client(), prefix)).toEqual([])
    expect(await stores[0]!.reset()).toBe(current.splice(0).length)
  }
  const refresh: Refresh = (i, key) => stores[i]!.refresh(key)
  await rounds(roundsOf(stores, refresh, wins, current), { check, seen: wins })
  expect(Math.min(...wins)).toBeGreaterThan(0)
})

test('in two calls, more than one key is that of the token', async () => {
  const { prefix, stores } = await contenders(2)
  const clients = await connected(N)
  const run = roundsOf(stores, splitRefresh(prefix, clients))
  await breaks((round) => run(lifetimes.length * round)) // those that never expire
})

const GRACE_MS = 2
const PARTIES = 4

/** A refresh by one who thinks the key is the newest. */
type Present = (i: number, key: string, grace: number | null) => Promise<Token | null>

function reusesOf(looker: Tokens, present: Present, seen = { before: 0, after: 0 }) {
  const race = races(34)
  const redis = client()
  return async (round: number): Promise<void> => {
    const lifetime = lifetimes[Math.floor(round / PARTIES) % 4]
    const { id, key, owner_id } = await looker.add({ owner_id: 'user-7', ...lifetime })
    // A thief or the client comes first and has the newest key; all others have the old one.
    const first = round % PARTIES
    const others = Array.from({ length: PARTIES }, (_, i) => i).filter((i) => i !== first)
    const grace = round % 3 ? GRACE_MS / 1000 : null
    const newest = (await present(first, key, grace))!.key
    const over = (await timeOf(redis)) + GRACE_MS
    while ((await timeOf(redis)) <= over);
    const [next, ...presented] = await race([
      () => present(first, newest, grace),
      ...others.map((i) => () => present(i, key, grace))
    ])
    expect(presented.filter((result) => result !== null)).toEqual([expect.any(ReuseError)])
    expect(presented.find(isError)).toMatchObject({ code: 'TSREUSE', id, owner_id })
    expect(isError(next)).toBe(false)
    seen[next ? 'before' : 'after']++
    const keys = [key, newest, ...(next ? [(next as Token).key] : [])]
    const opened = keys.flatMap((each) => [looker.getKey(each), looker.refresh(each)])
    expect(await Promise.all([...opened, looker.get(id)])).toEqual(
      [...opened, null].map(() => null)
    )
  }
}

test('past its grace a key that is presented again revokes the token, once', async () => {
  const { prefix, stores } = await contenders(PARTIES)
  const seen = { before: 0, after: 0 }
  const present: Present = (i, key, grace) => stores[i]!.refresh(key, { grace })
  const check = async (): Promise<void> => {
    expect(await audit(client(), prefix)).toEqual([])
    expect(await living(client(), prefix)).toEqual({})
  }
  await rounds(reusesOf(stores[0]!, present, seen), { check, seen })
  expect(Math.min(seen.before, seen.after)).toBeGreaterThan(0)
})

test('in two calls, more than one is told so', async () => {
  const { prefix, stores } = await contenders(PARTIES)
  const clients = await connected(PARTIES)
  await breaks(
    reusesOf(stores[0]!, async (i, key, grace) => {
      const held = await clients[i]!.get(`${prefix}:key:${key}`)
      const [, id, till] = /^([\da-f-]+) (\d+)$/.exec(held ?? '') ?? []
      if (!id || Date.now() <= Number(till)) return stores[i]!.refresh(key, { grace })
      await stores[i]!.del(id)
      throw new ReuseError('TSREUSE', 'the key had been rotated out', id, 'user-7')
    })
  )
})

const REFRESHERS = 4
type End = 'del' | 'delOwner' | 'delKey'

function endsOf(ender: Tokens, end: End, refresh: Refresh, seen = { before: 0, after: 0 }) {
  const race = races(35)
  return async (round: number): Promise<void> => {
    const owner_id = `user-${round}`
    const { id, key } = await ender.add({ owner_id, ...lifetimes[round % 4] })
    const ends = {
      del: () => ender.del(id),
      delOwner: () => ender.delOwner(owner_id),
      delKey: () => ender.delKey(key)
    }[end]
    const [ended, ...refreshed] = values(
      await race<Token | number | boolean | null>([
        ends,
        ...Array.from({ length: REFRESHERS }, (_, i) => () => refresh(i, key))
      ])
    )
    expect(Number(ended)).toBe(1)
    const answered = (refreshed as (Token | null)[]).flatMap((token) => token?.key ?? [])
    seen.before += answered.length
    seen.after += REFRESHERS - answered.length
    const keys = [key, ...answered]
    expect(await Promise.all(keys.map((each) => ender.getKey(each)))).toEqual(keys.map(() => null))
    expect(await ender.list(owner_id)).toEqual([])
  }
}

test.each<End>(['del', 'delOwner', 'delKey'])(
  'after %s no key of a token that is refreshed opens',
  async (end) => {
    const { prefix, stores } = await contenders(1 + REFRESHERS)
    const [ender, ...refreshers] = stores
    const seen = { before: 0, after: 0 }
    const refresh: Refresh = (i, key) => refreshers[i]!.refresh(key)
    await rounds(endsOf(ender!, end, refresh, seen), { seen })
    expect(Math.min(seen.before, seen.after)).toBeGreaterThan(0)
    expect(await living(client(), prefix)).toEqual({})
    expect(await audit(client(), prefix)).toEqual([])
  }
)

test('in two calls, a refresh revives the token', async () => {
  const { prefix, stores } = await contenders(1)
  const run = endsOf(stores[0]!, 'del', splitRefresh(prefix, await connected(REFRESHERS)))
  await breaks((round) => run(lifetimes.length * round))
})

const ROTATORS = 2
/** How a token is rotated beside its refreshes: at once, with a grace, or only from its key. */
const ways = ['at once', 'grace', 'from'] as const
type Rotate = (i: number, token: Token, way: (typeof ways)[number]) => Promise<Token | null>

function rotatesOf(
  stores: Tokens[],
  rotate: Rotate,
  seen = { rotated: 0, refreshed: 0, moved: 0 }
) {
  const refreshers = stores.slice(ROTATORS)
  const race = races(36)
  return async (round: number): Promise<void> => {
    const token = await stores[0]!.add({ owner_id: 'user-7', ...lifetimes[round % 4] })
    const way = ways[round % ways.length]!
    const results = await race([
      ...stores.slice(0, ROTATORS).map((_, i) => () => rotate(i, token, way)),
      ...refreshers.map((tokens) => () => tokens.refresh(token.key))
    ])
    const lost = results.filter(isError)
    const refreshed = results.slice(ROTATORS).filter((result) => result !== null)
    // The first of all decides: a rotate ends the key, a refresh gives it a grace.
    expect([0, refreshers.length]).toContain(refreshed.length)
    if (way === 'grace') expect(refreshed).toHaveLength(refreshers.length)
    else seen[refreshed.length ? 'refreshed' : 'rotated']++
    const losers = way === 'from' ? (refreshed.length ? ROTATORS : ROTATORS - 1) : 0
    expect(lost).toEqual(Array(losers).fill(expect.any(ConflictError)))
    const answers = results.filter((result) => result && !isError(result)) as Token[]
    const left = (await stores[0]!.get(token.id))!
    expect(answers.map(({ key }) => key)).toContain(left.key)
    expect(left.expires_at).toBe(
      token.expires_at && Math.max(...answers.map(({ expires_at }) => expires_at!))
    )
    expect(await stores[0]!.getKey(left.key, { touch: false })).toEqual(left)
    seen.moved += Number(left.expires_at! > token.expires_at!)
  }
}

test('of a refresh and a rotate the first decides what becomes of the key', async () => {
  const { prefix, stores } = await contenders(5)
  const seen = { rotated: 0, refreshed: 0, moved: 0 }
  const rotate: Rotate = (i, { id, key }, way) =>
    stores[i]!.rotate(id, { 'at once': {}, grace: { grace: 10 }, from: { from: key } }[way])
  const check = async (): Promise<void> => expect(await audit(client(), prefix)).toEqual([])
  const ran = await rounds(rotatesOf(stores, rotate, seen), { check, seen })
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(0)
  expect(await stores[0]!.reset()).toBe(ran)
})

test('in two calls, both do', async () => {
  const { stores } = await contenders(5)
  const run = rotatesOf(stores, async (i, { id, key }) => {
    const found = await stores[i]!.get(id)
    if (found!.key !== key) throw new ConflictError('TSCONFLICT', 'another key')
    return stores[i]!.rotate(id)
  })
  await breaks((round) => run(ways.length * round + ways.indexOf('from')))
})
