import type { Token } from '../../src/main'
import { audit, client, closeAfterAll, keyspace, names } from '../support'
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

const N = 6
const lifetimes = [{}, { ttl: 600 }, { idle: 600 }, { ttl: 600, idle: 500 }]

type Rotate = (i: number, token: Token) => Promise<Token | null>

function roundsOf(
  stores: Tokens[],
  rotate: Rotate,
  wins: number[] = []
): (round: number) => Promise<void> {
  const race = races(8)
  return async (round) => {
    const token = await stores[0]!.add({
      owner_id: 'user-7',
      attrs: { round },
      ...lifetimes[round % 4]
    })
    const rotated = values(await race(stores.map((_, i) => () => rotate(i, token))))
    expect(rotated).not.toContain(null)
    const keys = rotated.map((answer) => answer!.key)
    expect(rotated).toEqual(keys.map((key) => ({ ...token, key })))
    const opened = await Promise.all(
      [token.key, ...keys].map((key) => stores[0]!.getKey(key, { touch: false }))
    )
    const live = opened.filter((found) => found !== null)
    expect(live).toEqual([await stores[0]!.get(token.id)])
    wins[keys.indexOf(live[0]!.key)]!++
  }
}

test('of the keys that many rotates answer one opens, of the others nothing is left', async () => {
  const { prefix, stores } = await contenders(N)
  const wins = new Array<number>(N).fill(0)
  let held = 0
  const run = roundsOf(stores, (i, { id }) => stores[i]!.rotate(id), wins)
  await rounds(
    async (round) => {
      await run(round)
      held++
    },
    {
      check: async () => {
        expect(Object.keys(await keyspace(client(), prefix))).toHaveLength(2 * held + 1)
        expect(await audit(client(), prefix)).toEqual([])
        expect(await stores[0]!.reset()).toBe(held)
        held = 0
      },
      seen: wins
    }
  )
  expect(Math.min(...wins)).toBeGreaterThan(0)
})

test('within a grace every key that was ever answered reads the token', async () => {
  const { prefix, stores } = await contenders(N)
  const race = races(9)
  const ends: string[] = []
  const run = async (round: number): Promise<void> => {
    const token = await stores[0]!.add({
      owner_id: 'user-7',
      attrs: { round },
      ...lifetimes[round % 4]
    })
    const rotated = values(
      await race(stores.map((tokens) => () => tokens.rotate(token.id, { grace: 300 })))
    )
    const keys = [token.key, ...rotated.map((answer) => answer!.key)]
    const current = await stores[0]!.set(token.id, { round, seen: true })
    const opened = await Promise.all(keys.map((key) => stores[0]!.getKey(key, { touch: false })))
    expect(opened.map((found) => found?.attrs)).toEqual(keys.map(() => ({ round, seen: true })))
    expect(keys).toContain(current!.key)
    ends.push(keys[round % keys.length]!)
  }
  const check = async (): Promise<void> => {
    expect(Object.keys(await keyspace(client(), prefix))).toHaveLength((N + 2) * ends.length + 1)
    expect(await audit(client(), prefix)).toEqual([])
    await Promise.all(
      ends.splice(0).map(async (key) => expect(await stores[0]!.delKey(key)).toBe(true))
    )
    expect(await living(client(), prefix)).toEqual({})
    expect(await stores[0]!.reset()).toBe(0)
    expect(await names(client(), prefix)).toEqual({})
  }
  await rounds(run, { check })
})

function roundsFrom(
  stores: Tokens[],
  rotate: Rotate,
  wins: number[] = []
): (round: number) => Promise<void> {
  const race = races(10)
  return async (round) => {
    const token = await stores[0]!.add({ owner_id: 'user-7', ...lifetimes[round % 4] })
    const outcomes = await race(stores.map((_, i) => () => rotate(i, token)))
    const won = outcomes.findIndex((outcome) => !isError(outcome))
    const lost = outcomes.filter(isError)
    expect(lost.map(({ name }) => name)).toEqual(Array(N - 1).fill('ConflictError'))
    const { key } = outcomes[won] as Token
    expect(await stores[0]!.getKey(key, { touch: false })).toEqual({ ...token, key })
    expect(await stores[0]!.getKey(token.key, { touch: false })).toBeNull()
    wins[won]!++
  }
}

test('of many rotates from one key one wins, and its key opens the token', async () => {
  const { prefix, stores } = await contenders(N)
  const wins = new Array<number>(N).fill(0)
  const run = roundsFrom(stores, (i, { id, key }) => stores[i]!.rotate(id, { from: key }), wins)
  const held = await rounds(run, { seen: wins })
  expect(Object.keys(await keyspace(client(), prefix))).toHaveLength(2 * held + 1)
  expect(await audit(client(), prefix)).toEqual([])
  expect(Math.min(...wins)).toBeGreaterThan(0)
})

test('not from one key, all win', async () => {
  const { stores } = await contenders(N)
  await breaks(roundsFrom(stores, (i, { id }) => stores[i]!.rotate(id)))
})

test('in two calls, more than one answered key opens a token', async () => {
  const { prefix, stores } = await contenders(N)
  const clients = await connected(N)
  await breaks(
    roundsOf(stores, async (i, token) => {
      const redis = clients[i]!
      const record = await redis.get(`${prefix}:key:${token.key}`)
      if (record === null) return null
      const newKey = `${token.key.slice(0, -1)}${i}`
      await redis
        .multi()
        .mset(`${prefix}:key:${newKey}`, record, `${prefix}:id:${token.id}`, newKey)
        .del(`${prefix}:key:${token.key}`)
        .exec()
      return { ...token, key: newKey }
    })
  )
})
