import { audit, client, closeAfterAll, keyspace } from '../support'
import { breaks, connected, contenders, races, rounds, values, type Tokens } from './race'

closeAfterAll()

const N = 6

const NAMES = 100

type Make = (i: number, value: unknown, replaces: string) => Promise<string>

function roundsOf(
  looker: Tokens,
  prefix: string,
  make: Make,
  wins: number[] = []
): (round: number) => Promise<void> {
  const race = races(18)
  const redis = client()
  return async (round) => {
    // So that later rounds end what earlier ones left.
    const replaces = `reset:user-${round % NAMES}`
    const hashes = values(
      await race(Array.from({ length: N }, (_, i) => () => make(i, { round, i }, replaces)))
    )
    const found = await Promise.all(hashes.map((hash) => looker.getHash(hash)))
    const left = found.findIndex((value) => value !== null)
    expect(found.filter((value) => value !== null)).toEqual([{ round, i: left }])
    expect(await redis.get(`${prefix}:latest:${replaces}`)).toBe(hashes[left])
    wins[left]!++
  }
}

test('of many hashes made at once under one name exactly one is left', async () => {
  const { prefix, stores } = await contenders(N)
  const wins = new Array<number>(N).fill(0)
  const make: Make = (i, value, replaces) => stores[i]!.makeHash(value, { ttl: 600, replaces })
  await rounds(roundsOf(stores[0]!, prefix, make, wins), { seen: wins })
  expect(Math.min(...wins)).toBeGreaterThan(0)
  expect(Object.keys(await keyspace(client(), prefix))).toHaveLength(2 * NAMES)
  expect(await audit(client(), prefix)).toEqual([])
})

test('a hash that is taken is never given twice', async () => {
  const { prefix, stores } = await contenders(N, { hashSize: 2 }) // 4096 hashes in all
  const race = races(19)
  const made = new Map<string, string>()
  const run = async (round: number): Promise<void> => {
    const hashes = values(
      await race(stores.map((tokens, i) => () => tokens.makeHash(`${round}/${i}`, 600)))
    )
    for (const [i, hash] of hashes.entries()) {
      expect(made.has(hash)).toBe(false)
      made.set(hash, `${round}/${i}`)
    }
  }
  const check = async (): Promise<void> => {
    expect(await audit(client(), prefix)).toEqual([])
    const found = await Promise.all([...made.keys()].map((hash) => stores[0]!.getHash(hash)))
    expect(found).toEqual([...made.values()])
    expect(await stores[0]!.reset()).toBe(made.size)
    made.clear()
  }
  await rounds(run, { check })
})

test('in two calls, more than one is left', async () => {
  const { prefix, stores } = await contenders(1)
  const clients = await connected(N)
  let made = 0
  await breaks(
    roundsOf(stores[0]!, prefix, async (i, value, replaces) => {
      const hash = `hash-${made++}`
      const older = await clients[i]!.get(`${prefix}:latest:${replaces}`)
      await clients[i]!.mset(
        `${prefix}:hash:${hash}`,
        JSON.stringify(value),
        `${prefix}:latest:${replaces}`,
        hash
      )
      if (older !== null) await clients[i]!.del(`${prefix}:hash:${older}`)
      return hash
    })
  )
})
