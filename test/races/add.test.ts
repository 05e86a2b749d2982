import { KeyTakenError, type Token } from '../../src/main'
import { audit, client, closeAfterAll } from '../support'
import { breaks, connected, contenders, isError, races, rounds, values, type Tokens } from './race'

closeAfterAll()

const N = 6
const keyOf = (round: number): string => String(round).padStart(24, 'k')
const idOf = (round: number): string => `01900000-0000-7000-8000-${String(round).padStart(12, '0')}`

/** The one that won; all others were told that the key or the id is taken. */
function winnerOf<T>(results: (T | Error)[]): T {
  const winners = results.filter((result) => !isError(result))
  expect(winners).toHaveLength(1)
  expect(results.filter((result) => result instanceof KeyTakenError)).toHaveLength(N - 1)
  return winners[0] as T
}

type Add = (i: number, key: string, round: number) => Promise<Token>

function addsOf(looker: Tokens, add: Add, wins: number[] = []): (round: number) => Promise<void> {
  const race = races(1)
  return async (round) => {
    const key = keyOf(round)
    const results = await race(Array.from({ length: N }, (_, i) => () => add(i, key, round)))
    const winner = winnerOf(results)
    expect(await looker.getKey(key)).toEqual(winner)
    wins[results.indexOf(winner)]!++
  }
}

test('of many adds that force one key exactly one wins, and the others write nothing', async () => {
  const { prefix, stores } = await contenders(N)
  const wins = new Array<number>(N).fill(0)
  const ran = await rounds(
    addsOf(
      stores[0]!,
      (i, key, round) => stores[i]!.add({ owner_id: `user-${i}`, key, attrs: { round } }),
      wins
    ),
    { check: async () => expect(await audit(client(), prefix)).toEqual([]), seen: wins }
  )
  expect(Math.min(...wins)).toBeGreaterThan(0)
  expect(await Promise.all(stores.map((tokens, i) => tokens.count(`user-${i}`)))).toEqual(wins)
  expect(await stores[0]!.reset()).toBe(ran)
})

test('in two calls, more than one wins', async () => {
  const { prefix, stores } = await contenders(1)
  const clients = await connected(N)
  await breaks(
    addsOf(stores[0]!, async (i, key, round) => {
      if (await clients[i]!.exists(`${prefix}:key:${key}`))
        throw new KeyTakenError('TSKEYTAKEN', 'taken')
      const token = { id: idOf(round), owner_id: `user-${i}`, attrs: { round } }
      await clients[i]!.set(`${prefix}:key:${key}`, JSON.stringify(token))
      return { key, ...token }
    })
  )
})

test('of many adds of one key and id all answer the one token', async () => {
  const { prefix, stores } = await contenders(N)
  const race = races(2)
  const ran = await rounds(async (round) => {
    const id = idOf(round)
    const results = values(
      await race(
        stores.map(
          (tokens, i) => () => tokens.add({ owner_id: 'u', key: keyOf(round), id, attrs: { i } })
        )
      )
    )
    expect(new Set(results.map((token) => JSON.stringify(token))).size).toBe(1)
  })
  expect(await stores[0]!.count('u')).toBe(ran)
  expect(await audit(client(), prefix)).toEqual([])
  expect(await stores[0]!.reset()).toBe(ran)
})

type Restore = (i: number, id: string, key: string) => Promise<unknown>

function restoresOf(
  looker: Tokens,
  restore: Restore,
  wins: number[] = []
): (round: number) => Promise<void> {
  const race = races(25)
  return async (round) => {
    const id = idOf(round)
    const keys = Array.from({ length: N }, (_, i) => `${i}${keyOf(round).slice(1)}`)
    const results = await race(keys.map((key, i) => () => restore(i, id, key)))
    const winner = winnerOf(results)
    expect(await looker.get(id)).toEqual(winner)
    const opened = await Promise.all(keys.map((key) => looker.getKey(key)))
    expect(opened.filter((found) => found !== null)).toEqual([winner])
    wins[results.indexOf(winner)]!++
  }
}

test('of many adds that restore one id under different keys exactly one wins', async () => {
  const { prefix, stores } = await contenders(N)
  const wins = new Array<number>(N).fill(0)
  const ran = await rounds(
    restoresOf(
      stores[0]!,
      (i, id, key) => stores[i]!.add({ owner_id: `user-${i}`, id, key }),
      wins
    ),
    { check: async () => expect(await audit(client(), prefix)).toEqual([]), seen: wins }
  )
  expect(Math.min(...wins)).toBeGreaterThan(0)
  expect(await stores[0]!.reset()).toBe(ran)
})

test('in two calls, more than one restores it', async () => {
  const { prefix, stores } = await contenders(1)
  const clients = await connected(N)
  await breaks(
    restoresOf(stores[0]!, async (i, id, key) => {
      if (await clients[i]!.exists(`${prefix}:id:${id}`))
        throw new KeyTakenError('TSKEYTAKEN', 'taken')
      const token = { id, owner_id: `user-${i}`, attrs: {} }
      await clients[i]!.mset(
        `${prefix}:key:${key}`,
        JSON.stringify(token),
        `${prefix}:id:${id}`,
        key
      )
      return { key, ...token }
    })
  )
})
