import type { Redis } from 'ioredis'
import type { Token } from '../../src/main'
import { audit, client, closeAfterAll } from '../support'
import { breaks, connected, contenders, races, rounds, values, type Tokens } from './race'

closeAfterAll()

const LISTS = 4
const lifetimes = [{}, { ttl: 600 }, { idle: 600 }]

type List = (i: number, owner_id: string) => Promise<{ id: string }[]>

describe('a list that drops an id without its record, beside an add that restores it', () => {
  function roundsOf(
    prefix: string,
    [adder, restorer]: Tokens[],
    list: List,
    seen = { before: 0, after: 0 }
  ) {
    const race = races(23)
    const redis = client()
    return async (round: number): Promise<void> => {
      const owner_id = `user-${round}`
      const lifetime = lifetimes[round % 3]
      const { id, key } = await adder!.add({ owner_id, ...lifetime })
      await redis.del(`${prefix}:key:${key}`)
      const restore = { owner_id, id, ...lifetime, ...(round % 2 ? { key } : {}) }
      const [restored, ...lists] = values(
        await race<Token | { id: string }[]>([
          () => restorer!.add(restore),
          ...Array.from({ length: LISTS }, (_, i) => () => list(i, owner_id))
        ])
      ) as [Token, ...{ id: string }[][]]
      for (const listed of lists) seen[listed.length ? 'after' : 'before']++
      expect(await adder!.list(owner_id)).toEqual([restored])
      expect(await adder!.get(id)).toEqual(restored)
      expect(await adder!.getKey(restored.key, { touch: false })).toEqual(restored)
    }
  }

  test('leaves it whole', async () => {
    const { prefix, stores } = await contenders(2 + LISTS)
    const lists = stores.slice(2)
    const seen = { before: 0, after: 0 }
    const ran = await rounds(
      roundsOf(prefix, stores, (i, owner_id) => lists[i]!.list(owner_id), seen),
      { check: async () => expect(await audit(client(), prefix)).toEqual([]), seen }
    )
    expect(Math.min(seen.before, seen.after)).toBeGreaterThan(0)
    expect(await stores[0]!.reset()).toBe(ran)
  })

  test('in two calls, leaves it alive but unlisted', async () => {
    const { prefix, stores } = await contenders(2)
    const clients = await connected(LISTS)
    await breaks(
      roundsOf(prefix, stores, async (i, owner_id) => {
        const found = await look(clients[i]!, prefix, owner_id)
        for (const { id } of found.filter(({ record }) => record === null)) {
          await clients[i]!.multi()
            .zrem(`${prefix}:tokens:${owner_id}`, id)
            .del(`${prefix}:id:${id}`)
            .exec()
        }
        return found.filter(({ record }) => record !== null)
      })
    )
  })
})

describe('list and count beside rotates', () => {
  const TOKENS = 3

  function roundsOf(
    [adder, ...rotators]: Tokens[],
    list: List,
    count: (i: number, owner_id: string) => Promise<number>
  ) {
    const race = races(24)
    return async (round: number): Promise<void> => {
      const owner_id = `user-${round}`
      const lifetime = lifetimes[round % 3]
      const ids: string[] = []
      for (let i = 0; i < TOKENS; i++) ids.push((await adder!.add({ owner_id, ...lifetime })).id)
      const results = values(
        await race<{ id: string }[] | number | null>([
          ...rotators.flatMap((tokens, i) => [
            () => tokens.rotate(ids[i % TOKENS]!, round % 2 ? { grace: 300 } : {}).then(() => null),
            () => tokens.rotate(ids[(i + 1) % TOKENS]!).then(() => null)
          ]),
          ...Array.from({ length: LISTS }, (_, i) => () => list(i, owner_id)),
          ...Array.from({ length: LISTS }, (_, i) => () => count(i, owner_id))
        ])
      ).filter((result) => result !== null)
      const seen = results.map((result) =>
        typeof result === 'number' ? result : result.map(({ id }) => id)
      )
      expect(seen).toEqual([
        ...Array<string[]>(LISTS).fill(ids),
        ...Array<number>(LISTS).fill(TOKENS)
      ])
    }
  }

  test('miss none', async () => {
    const { prefix, stores } = await contenders(3 + LISTS)
    const lists = stores.slice(3)
    let held = 0
    const run = roundsOf(
      stores.slice(0, 3),
      (i, owner_id) => lists[i]!.list(owner_id),
      (i, owner_id) => lists[i]!.count(owner_id)
    )
    await rounds(
      async (round) => {
        await run(round)
        held += TOKENS
      },
      {
        check: async () => {
          expect(await audit(client(), prefix)).toEqual([])
          expect(await stores[0]!.reset()).toBe(held)
          held = 0
        }
      }
    )
  })

  test('in two calls, miss some', async () => {
    const { prefix, stores } = await contenders(3)
    const clients = await connected(LISTS)
    const list: List = async (i, owner_id) =>
      (await look(clients[i]!, prefix, owner_id)).filter(({ record }) => record !== null)
    await breaks(roundsOf(stores, list, async (i, owner_id) => (await list(i, owner_id)).length))
  })
})

/** A list in two calls: which ids an owner has and their keys, and what is under those. */
async function look(
  redis: Redis,
  prefix: string,
  owner_id: string
): Promise<{ id: string; record: string | null }[]> {
  const lua = `local ids, keys = redis.call('ZRANGE', KEYS[1], 0, -1), {}
    for i, id in ipairs(ids) do keys[i] = redis.call('GET', ARGV[1] .. id) end
    return { ids, keys }`
  const found = await redis.eval(lua, 1, `${prefix}:tokens:${owner_id}`, `${prefix}:id:`)
  const [ids, keys] = found as [string[], (string | null)[]]
  if (ids.length === 0) return []
  const records = await redis.mget(keys.map((key) => `${prefix}:key:${key}`))
  return ids.map((id, i) => ({ id, record: records[i]! }))
}
