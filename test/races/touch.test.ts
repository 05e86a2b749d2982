import { setTimeout as sleep } from 'node:timers/promises'
import type { Token } from '../../src/main'
import { scripts } from '../../src/scripts'
import { audit, client, closeAfterAll, keyspace, timeOf } from '../support'
import { breaks, connected, contenders, living, races, ROUNDS, values, type Tokens } from './race'

closeAfterAll()

// Uses that are written: each moves the end, since more than touchEvery has gone by.
const idle = { idle: 600, touchEvery: 0.001 }
const BATCH = 50

interface Idler {
  token: Token
  /** A key that reads the token within a grace, or its own. */
  old: string
  round: number
}

/** Runs so many rounds on tokens that a use moves, of a few owners or of one each. */
async function idlers(
  tokens: Tokens,
  { owners = 5, grace }: { owners?: number; grace?: number },
  run: (idler: Idler) => Promise<void>,
  check: () => Promise<void>
): Promise<void> {
  for (let first = 0; first < ROUNDS; first += BATCH) {
    const batch = await Promise.all(
      Array.from({ length: BATCH }, async (_, i) => {
        const token = await tokens.add({
          owner_id: `user-${i % owners}`,
          ...(i % 3 ? {} : { ttl: 3000 })
        })
        const old = token.key
        if (grace) token.key = (await tokens.rotate(token.id, { grace }))!.key
        return { token, old, round: first + i }
      })
    )
    await sleep(2)
    await Promise.all(batch.map(run))
    await check()
  }
}

type End = 'del' | 'delKey' | 'delOwner'
/** A use by one of the users, which answers the token or null. */
type Use = (i: number, idler: Idler) => Promise<Token | null>

const USERS = 5

function endsOf(
  ender: Tokens,
  end: End,
  use: Use,
  seen = { moved: 0, ended: 0 }
): (idler: Idler) => Promise<void> {
  const race = races(12)
  return async (idler) => {
    const { token, round } = idler
    const ends = async (): Promise<Token | null> => {
      // Uses go out together at the end of the tick; without a step ahead of it, the end nearly
      // always comes first.
      if (round % 2) await ender.get(token.id)
      const ended = await {
        del: () => ender.del(token.id),
        delKey: () => ender.delKey(token.key),
        delOwner: () => ender.delOwner(token.owner_id)
      }[end]()
      expect(Number(ended)).toBe(1)
      return ender.getKey(token.key) // sent while uses may still be under way
    }
    const uses = Array.from({ length: USERS }, (_, i) => () => use(i, idler))
    const [left, ...used] = values(await race([ends, ...uses]))
    for (const found of used) {
      if (found === null) seen.ended++
      else if (found.expires_at! > token.expires_at!) seen.moved++
    }
    expect([left, await ender.getKey(token.key), await ender.get(token.id)]).toEqual([
      null,
      null,
      null
    ])
  }
}

test.each<[End, number | undefined]>([
  ['del', undefined],
  ['delKey', undefined],
  ['delOwner', undefined],
  ['del', 30]
])('a use never revives a token that %s ended (grace: %s)', async (end, grace) => {
  const { prefix, stores } = await contenders(1 + USERS, idle)
  const redis = client()
  const [ender, ...users] = stores
  const seen = { moved: 0, ended: 0 }
  const use: Use = (i, { token, old }) => users[i]!.getKey(i % 2 ? token.key : old)
  const owners = end === 'delOwner' ? BATCH : 5
  await idlers(ender!, { owners, grace }, endsOf(ender!, end, use, seen), async () =>
    expect(await living(redis, prefix)).toEqual({})
  )
  expect(Math.min(seen.moved, seen.ended)).toBeGreaterThan(0)
})

test('in two calls, a use revives a token', async () => {
  const { prefix, stores } = await contenders(1, idle)
  const clients = await connected(USERS)
  const run = endsOf(stores[0]!, 'del', async (i, { token }) => {
    const { key, id, owner_id } = token
    const record = await clients[i]!.get(`${prefix}:key:${key}`)
    if (record === null) return null
    await clients[i]!.multi()
      .set(`${prefix}:key:${key}`, record, 'PX', 60_000)
      .set(`${prefix}:id:${id}`, key, 'PX', 60_000)
      .zadd(`${prefix}:tokens:${owner_id}`, Date.now() + 60_000, id)
      .exec()
    return token
  })
  await breaks(async (round) => {
    const token = await stores[0]!.add({ owner_id: 'user-7' })
    await run({ token, old: token.key, round })
  })
})

test('in the last millisecond of a token no key opens what is not listed', async () => {
  const { prefix, stores } = await contenders(1, { ...idle, idle: 0.02 })
  const [tokens] = stores
  const redis = client()
  // A name whose TTL is set to the current millisecond is deleted at once: so del does with the
  // owner set, when the last to expire of what is left of it does so now. The record may still be
  // there.
  for (let round = 0, met = 0; met < 20; round++) {
    const owner_id = `user-${round}`
    const { key, expires_at } = await tokens!.add({ owner_id })
    const { id } = await tokens!.add({ owner_id, idle: null })
    while ((await timeOf(redis)) < expires_at!);
    const replies = await redis
      .multi()
      .eval(scripts.del.lua, 1, prefix, id)
      .eval(scripts.getkey.lua, 1, prefix, 'TOUCH', key)
      .eval(scripts.list.lua, 1, prefix, owner_id)
      .exists(`${prefix}:key:${key}`)
      .exec()
    const [, [record], [, ...listed], left] = replies!.map(([, reply]) => reply) as [
      number,
      unknown[],
      unknown[],
      number
    ]
    if (left === 1 && listed.length === 0) met++
    if (listed.length === 0) expect(record).toBeNull()
  }
})

test('uses beside rotates move the end of the one token there is', async () => {
  const { prefix, stores } = await contenders(6, idle)
  const redis = client()
  const race = races(13)
  let moved = 0
  const run = async ({ token, round }: Idler): Promise<void> => {
    const graced = round % 2 === 1
    const results = values(
      await race(
        stores.map(
          (tokens, i) => () =>
            i % 2 ? tokens.rotate(token.id, graced ? { grace: 300 } : {}) : tokens.getKey(token.key)
        )
      )
    )
    // Within a grace no read may miss; without one only those that come after a rotate do.
    expect(results.filter((found, i) => found === null && (graced || i % 2))).toEqual([])
    const last = (await stores[round % 6]!.get(token.id))!
    expect(last.expires_at).toBe(
      Math.max(...results.flatMap((found) => (found ? [found.expires_at!] : [])))
    )
    const old = await stores[0]!.getKey(token.key, { touch: false })
    expect(old).toEqual(
      graced ? expect.objectContaining({ id: token.id, expires_at: last.expires_at }) : null
    )
    if (last.expires_at! > token.expires_at!) moved++
  }
  await idlers(stores[0]!, {}, run, async () => {
    // Half of the tokens have three more keys within their grace.
    expect(Object.keys(await keyspace(redis, prefix))).toHaveLength(2 * BATCH + (3 * BATCH) / 2 + 5)
    expect(await audit(redis, prefix)).toEqual([])
    expect(await stores[0]!.reset()).toBe(BATCH)
  })
  expect(moved).toBeGreaterThan(0)
})
