import type { Token } from '../../src/main'
import { client, closeAfterAll, names } from '../support'
import { breaks, connected, contenders, races, rounds, values, type Tokens } from './race'

closeAfterAll()

const SETTERS = 5

type Set = (i: number, token: Token, attrs: Record<string, unknown>) => Promise<unknown>

function roundsOf(deleter: Tokens, set: Set, seen = { before: 0, after: 0 }) {
  const race = races(3)
  return async (round: number): Promise<void> => {
    const token = await deleter.add({ owner_id: 'user-7', attrs: { round } })
    const { id, key } = token
    const del = async (): Promise<unknown> => {
      expect(await deleter.del(id)).toBe(true)
      return deleter.getKey(key) // sent while answers to set may still be under way
    }
    const sets = Array.from({ length: SETTERS }, (_, i) => () => set(i, token, { i }))
    const [left, ...written] = values(await race([del, ...sets]))
    for (const answer of written) seen[answer === null ? 'after' : 'before']++
    expect([left, await deleter.getKey(key), await deleter.get(id)]).toEqual([null, null, null])
  }
}

test('after del has answered the token is gone, whatever set began before', async () => {
  const { prefix, stores } = await contenders(1 + SETTERS)
  const [deleter, ...setters] = stores
  const seen = { before: 0, after: 0 }
  await rounds(
    roundsOf(deleter!, (i, { id }, attrs) => setters[i]!.set(id, attrs), seen),
    { seen }
  )
  expect(Math.min(seen.before, seen.after)).toBeGreaterThan(0)
  expect(await names(client(), prefix)).toEqual({})
})

test('in two calls, set revives the token', async () => {
  const { prefix, stores } = await contenders(1)
  const clients = await connected(SETTERS)
  await breaks(
    roundsOf(stores[0]!, async (i, { key }) => {
      const record = await clients[i]!.get(`${prefix}:key:${key}`)
      return record && clients[i]!.set(`${prefix}:key:${key}`, record)
    })
  )
})
