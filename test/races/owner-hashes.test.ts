import type { Redis } from 'ioredis'
import { audit, client, closeAfterAll, names } from '../support'
import { breaks, connected, contenders, races, rounds, values, type Tokens } from './race'

closeAfterAll()

const N = 5

type DelHashes = (owner_id: string) => Promise<unknown>

/** delOwner with its hashes in two calls: which there are, and their end. */
function splitDelHashes(prefix: string, redis: Redis): DelHashes {
  return async (owner_id) => {
    const index = `${prefix}:hashes:${owner_id}`
    const hashes = await redis.zrange(index, '0', '-1')
    await redis.del(index, ...hashes.map((hash) => `${prefix}:hash:${hash}`))
  }
}

function makesOf(
  prefix: string,
  makers: Tokens[],
  delHashes: DelHashes,
  seen = { deleted: 0, alive: 0 },
  left: string[] = []
) {
  const race = races(40)
  const redis = client()
  return async (round: number): Promise<void> => {
    const owner_id = `user-${round}`
    const named = round % 2 ? { replaces: `reset:${owner_id}` } : {}
    const before = await makers[0]!.makeHash('before', { owner_id, ...named })
    const [, ...made] = values(
      await race<unknown>([
        () => delHashes(owner_id),
        ...makers.map((tokens, i) => () => tokens.makeHash(i, { owner_id, ...named }))
      ])
    ) as [unknown, ...string[]]
    const found = await Promise.all([before, ...made].map((hash) => makers[0]!.getHash(hash)))
    expect(found[0]).toBeNull()
    const alive = made.filter((_, i) => found[1 + i] !== null)
    if (named.replaces) expect(alive.length).toBeLessThanOrEqual(1)
    // Whatever lives is listed, so that the next delOwner finds it.
    const listed = await redis.zrange(`${prefix}:hashes:${owner_id}`, '0', '-1')
    expect(listed.sort()).toEqual(alive.sort())
    left.push(owner_id)
    if (named.replaces) return // whether delOwner or the next hash was it, nobody can tell
    seen.alive += alive.length
    seen.deleted += made.length - alive.length
  }
}

test('a hash made beside delOwner is deleted, or later and listed', async () => {
  const { prefix, stores } = await contenders(1 + N)
  const [ender, ...makers] = stores
  const seen = { deleted: 0, alive: 0 }
  const left: string[] = []
  const delHashes: DelHashes = (owner_id) => ender!.delOwner(owner_id, { hashes: true })
  const check = async (): Promise<void> => {
    expect(await audit(client(), prefix)).toEqual([])
    await Promise.all(left.splice(0).map(delHashes))
    const rest = Object.keys(await names(client(), prefix))
    expect(rest.filter((name) => !name.startsWith(`${prefix}:latest:`))).toEqual([])
  }
  await rounds(makesOf(prefix, makers, delHashes, seen, left), { check, seen })
  expect(Math.min(seen.deleted, seen.alive)).toBeGreaterThan(0)
})

test('in two calls, one is alive but not listed', async () => {
  const { prefix, stores } = await contenders(N)
  const [redis] = await connected(1)
  await breaks(makesOf(prefix, stores, splitDelHashes(prefix, redis!)))
})

type Take = (i: number, hash: string) => Promise<unknown>

function takesOf(ender: Tokens, take: Take, seen = { taken: 0, deleted: 0 }) {
  const race = races(41)
  return async (round: number): Promise<void> => {
    const owner_id = `user-${round}`
    const hash = await ender.makeHash({ round }, { owner_id })
    const ends = async (): Promise<unknown> => {
      await ender.delOwner(owner_id, { hashes: true })
      return ender.takeHash(hash) // sent while others may still take it
    }
    const [late, ...taken] = values(
      await race([ends, ...Array.from({ length: N }, (_, i) => () => take(i, hash))])
    )
    expect(late).toBeNull()
    const won = taken.filter((value) => value !== null)
    expect(won).toEqual(won.length ? [{ round }] : [])
    seen[won.length ? 'taken' : 'deleted']++
  }
}

test('beside delOwner one takes the hash, or none', async () => {
  const { prefix, stores } = await contenders(1 + N)
  const [ender, ...takers] = stores
  const seen = { taken: 0, deleted: 0 }
  await rounds(
    takesOf(ender!, (i, hash) => takers[i]!.takeHash(hash), seen),
    { seen }
  )
  expect(Math.min(seen.taken, seen.deleted)).toBeGreaterThan(0)
  expect(await names(client(), prefix)).toEqual({})
})

test('in two calls, more than one takes it', async () => {
  const { prefix, stores } = await contenders(1)
  const clients = await connected(N)
  await breaks(
    takesOf(stores[0]!, async (i, hash) => {
      const name = `${prefix}:hash:${hash}`
      const value = await clients[i]!.get(name)
      await clients[i]!.del(name)
      return value === null ? null : (JSON.parse(value) as unknown)
    })
  )
})
