import { audit, client, closeAfterAll, names } from '../support'
import { breaks, connected, contenders, races, rounds, values, type Tokens } from './race'

closeAfterAll()

const OWNERS = 2

type DelOwner = (i: number, owner_id: string, except: string | undefined) => Promise<number>

function roundsOf(
  stores: Tokens[],
  delOwner: DelOwner,
  seen = { ended: 0, alive: 0 },
  left: string[] = []
): (round: number) => Promise<void> {
  const [first, second] = stores
  const adders = stores.slice(OWNERS)
  const race = races(5)
  return async (round) => {
    const owner_id = `user-${round}`
    left.push(owner_id)
    const except = round % 2 ? undefined : (await first!.add({ owner_id })).id
    const lifetime = [{}, { ttl: 600 }, { idle: 600 }][round % 3]
    await first!.add({ owner_id, ...lifetime })
    const keys: string[] = []
    const counts = values(
      await race<number>([
        () => delOwner(0, owner_id, except),
        () => delOwner(1, owner_id, except),
        ...adders.map((tokens) => async () => {
          keys.push((await tokens.add({ owner_id, ...lifetime })).key)
          return 0
        })
      ])
    )
    const opened = await Promise.all(keys.map((key) => second!.getKey(key)))
    const alive = opened.flatMap((token) => (token ? [token.id] : []))
    const kept = except ? [except] : []
    const listed = (await second!.list(owner_id)).map(({ id }) => id)
    expect(listed.toSorted()).toEqual([...kept, ...alive].sort())
    expect(counts.reduce((sum, n) => sum + n) + alive.length).toBe(1 + adders.length)
    seen.ended += adders.length - alive.length
    seen.alive += alive.length
  }
}

test('an add beside delOwner is ended and counted, or later and alive', async () => {
  const { prefix, stores } = await contenders(6)
  const seen = { ended: 0, alive: 0 }
  const left: string[] = []
  const delOwner: DelOwner = (i, owner_id, except) =>
    stores[i]!.delOwner(owner_id, except ? { except } : {})
  const check = async (): Promise<void> => {
    expect(await audit(client(), prefix)).toEqual([])
    await Promise.all(left.splice(0).map((owner_id) => stores[0]!.delOwner(owner_id)))
    expect(await names(client(), prefix)).toEqual({})
  }
  await rounds(roundsOf(stores, delOwner, seen, left), { check, seen })
  expect(Math.min(seen.ended, seen.alive)).toBeGreaterThan(0)
})

test('in two calls, a token is alive but unlisted, or counted twice', async () => {
  const { prefix, stores } = await contenders(6)
  const clients = await connected(OWNERS)
  await breaks(
    roundsOf(stores, async (i, owner_id, except) => {
      const ids = (await clients[i]!.zrange(`${prefix}:tokens:${owner_id}`, '0', '-1')).filter(
        (id) => id !== except
      )
      if (ids.length === 0) return 0
      const idNames = ids.map((id) => `${prefix}:id:${id}`)
      const keys = await clients[i]!.mget(idNames)
      const multi = clients[i]!.multi().del(
        ...idNames,
        ...keys.map((key) => `${prefix}:key:${key}`)
      )
      await (
        except
          ? multi.zrem(`${prefix}:tokens:${owner_id}`, ...ids)
          : multi.del(`${prefix}:tokens:${owner_id}`)
      ).exec()
      return ids.length
    })
  )
})
