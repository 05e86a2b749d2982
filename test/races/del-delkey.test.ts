import type { Token } from '../../src/main'
import { client, closeAfterAll, names } from '../support'
import { breaks, connected, contenders, races, rounds, values, type Tokens } from './race'

closeAfterAll()

const ENDERS = 7

/** How one of the contenders ends a token: answers 1 when it did, 0 when there was none. */
type End = (i: number, token: Token) => Promise<number | boolean>

function roundsOf(adder: Tokens, end: End, wins = new Array<number>(ENDERS).fill(0)) {
  const race = races(4)
  return async (round: number): Promise<void> => {
    const token = await adder.add({ owner_id: `user-${round}`, ...(round % 2 ? { ttl: 600 } : {}) })
    const results = values(await race(wins.map((_, i) => () => end(i, token)))).map(Number)
    expect(results.reduce((sum, ended) => sum + ended)).toBe(1)
    wins[results.indexOf(1)]!++
  }
}

test('of del, delKey and delOwner of one token exactly one ends it', async () => {
  const { prefix, stores } = await contenders(ENDERS)
  const wins = new Array<number>(ENDERS).fill(0)
  const end: End = (i, { id, key, owner_id }) => {
    if (i < 3) return stores[i]!.del(id)
    return i < 6 ? stores[i]!.delKey(key) : stores[i]!.delOwner(owner_id)
  }
  await rounds(roundsOf(stores[0]!, end, wins), { seen: wins })
  expect(Math.min(...wins)).toBeGreaterThan(0)
  expect(await names(client(), prefix)).toEqual({})
})

test('in two calls, more than one ends it', async () => {
  const { prefix, stores } = await contenders(1)
  const clients = await connected(ENDERS)
  await breaks(
    roundsOf(stores[0]!, async (i, { key }) => {
      const live = await clients[i]!.exists(`${prefix}:key:${key}`)
      if (live) await clients[i]!.del(`${prefix}:key:${key}`)
      return live
    })
  )
})
