import { LimitError } from '../../src/main'
import { audit, client, closeAfterAll } from '../support'
import { breaks, contenders, isError, races, rounds, values, type Tokens } from './race'

closeAfterAll()

const N = 6
const LIMIT = 3
const lifetimes = [{}, { ttl: 600 }, { idle: 600 }, { ttl: 500, idle: 400 }]

type Add = (i: number, token: { owner_id: string; ttl?: number; idle?: number }) => Promise<unknown>

function roundsOf(stores: Tokens[], add: Add): (round: number) => Promise<void> {
  const race = races(6)
  return async (round) => {
    const owner_id = `user-${round}`
    for (let n = 0; n < round % LIMIT; n++) await stores[0]!.add({ owner_id })
    const results = await race(
      stores.map((_, i) => () => add(i, { owner_id, ...lifetimes[(round + i) % 4] }))
    )
    const added = results.filter((result) => !isError(result))
    expect(added).toHaveLength(LIMIT - (round % LIMIT))
    expect(results.filter((result) => result instanceof LimitError)).toHaveLength(N - added.length)
    expect(await stores[0]!.count(owner_id)).toBe(LIMIT)
  }
}

test('reject: never more than the limit, however many add at once', async () => {
  const { prefix, stores } = await contenders(N)
  const redis = client()
  let held = 0
  const run = roundsOf(stores, (i, token) => stores[i]!.add({ ...token, limit: LIMIT }))
  await rounds(
    async (round) => {
      await run(round)
      held += LIMIT
    },
    {
      check: async () => {
        expect(await audit(redis, prefix)).toEqual([])
        expect(await stores[0]!.reset()).toBe(held)
        held = 0
      }
    }
  )
})

test('evict: never more than the limit, each token over it is named in one answer', async () => {
  const { prefix, stores } = await contenders(N)
  const redis = client()
  const race = races(7)
  let held = 0
  const run = async (round: number): Promise<void> => {
    const owner_id = `user-${round}`
    const most: number[] = []
    const watch = async (): Promise<{ id: string; evicted?: string[] }> => {
      for (let n = 0; n < 4; n++) most.push(await redis.zcard(`${prefix}:tokens:${owner_id}`))
      return { id: 'watch' }
    }
    const add = { owner_id, limit: LIMIT, onLimit: 'evict' } as const
    const [, ...added] = values(
      await race([
        watch,
        ...stores.map((tokens, i) => () => tokens.add({ ...add, ...lifetimes[(round + i) % 4] }))
      ])
    )
    expect(Math.max(...most)).toBeLessThanOrEqual(LIMIT)
    const evicted = added.flatMap((token) => token.evicted!)
    expect(evicted).toHaveLength(N - LIMIT)
    const left = (await stores[0]!.list(owner_id)).map(({ id }) => id)
    expect([...evicted, ...left].sort()).toEqual(added.map(({ id }) => id).sort())
    held += LIMIT
  }
  const check = async (): Promise<void> => {
    expect(await audit(redis, prefix)).toEqual([])
    expect(await stores[0]!.reset()).toBe(held)
    held = 0
  }
  await rounds(run, { check })
})

test('in two calls, there are more than the limit', async () => {
  const { stores } = await contenders(N)
  await breaks(
    roundsOf(stores, async (i, token) => {
      if ((await stores[i]!.count(token.owner_id)) >= LIMIT)
        throw new LimitError('TSLIMIT', 'too many')
      return stores[i]!.add(token)
    })
  )
})
