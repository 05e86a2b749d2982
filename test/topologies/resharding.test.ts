import { setTimeout as sleep } from 'node:timers/promises'
import { partitioned } from '../../src/layout'
import type { Tokenstore } from '../../src/main'
import type { Token } from '../../src/types'
import { closeAfterAll, freshPrefix, store } from '../support'
import {
  clusterAudit,
  clusterClient,
  clusterKeyspace,
  errorsAnswered,
  load,
  report,
  useCluster
} from './support'

jest.setTimeout(180_000)
closeAfterAll()
const { cluster } = useCluster()

const CALLERS = 50
const OWNERS = 4

type Kept = Map<string, Token & { n: number }>

/**
 * Fifty callers, each with tokens of its own among the owners whose slots move,
 * so that each knows what every answer has to be: its tokens as it left them.
 */
function work(tokens: Tokenstore, owners: string[], replicas: number) {
  const own = Array.from({ length: CALLERS }, (): Kept => new Map())
  const hashes = Array.from({ length: CALLERS }, (): [hash: string, value: number][] => [])
  let value = 0
  const running = load(CALLERS, async (caller, rng) => {
    const kept = own[caller]!
    const one = [...kept.values()][Math.floor(rng() * kept.size)]
    const what = Math.floor(rng() * 10)
    if (!one || (what === 0 && kept.size < 12)) {
      const owner_id = owners[Math.floor(rng() * owners.length)]!
      const token = await tokens.add({
        owner_id,
        attrs: { n: 0, caller },
        replicas
      })
      if (kept.has(token.id)) throw new Error('an id was issued twice')
      kept.set(token.id, { ...token, n: 0 })
    } else if (what <= 3) {
      const token = await tokens.getKey(one.key)
      if (token?.id !== one.id || token.attrs.n !== one.n)
        throw new Error(`getKey: ${JSON.stringify(token)}`)
    } else if (what === 4) {
      const token = await tokens.set(one.id, { n: one.n + 1, caller }, { replicas })
      if (token?.attrs.n !== ++one.n || token.key !== one.key)
        throw new Error(`set: ${JSON.stringify(token)}`)
    } else if (what === 5) {
      const token = await tokens.update(one.id, (attrs) => ({
        ...attrs,
        n: Number(attrs.n) + 1
      }))
      if (token?.attrs.n !== ++one.n) throw new Error(`update: ${JSON.stringify(token)}`)
    } else if (what === 6) {
      const token = await tokens.rotate(one.id, { replicas })
      if (token?.attrs.n !== one.n || token.key === one.key)
        throw new Error(`rotate: ${JSON.stringify(token)}`)
      one.key = token.key
    } else if (what === 7 && kept.size > 8) {
      kept.delete(one.id)
      if (!(await tokens.del(one.id, { replicas }))) throw new Error('del: was not there')
      if (await tokens.getKey(one.key)) throw new Error('del: still there')
    } else if (what === 8) {
      const listed = await tokens.list(one.owner_id)
      const mine = listed.filter(({ attrs }) => attrs.caller === caller)
      const expected = [...kept.values()].filter(({ owner_id }) => owner_id === one.owner_id)
      if (String(mine.map(({ id }) => id)) !== String(expected.map(({ id }) => id).sort())) {
        throw new Error(`list: ${mine.length} of ${expected.length} tokens`)
      }
    } else {
      const made = hashes[caller]!.pop()
      if (made) {
        const [hash, was] = made
        if ((await tokens.takeHash(hash, { replicas })) !== was)
          throw new Error('takeHash: another value')
        if ((await tokens.takeHash(hash, { replicas })) !== null)
          throw new Error('takeHash: taken twice')
      } else {
        const replaces = owners[Math.floor(rng() * owners.length)]! + caller
        const kept = ++value
        hashes[caller]!.push([await tokens.makeHash(kept, { replaces }), kept])
      }
    }
  })
  return { running, own }
}

/** So many owners, by the slot of their root. */
async function ownersBySlot(prefix: string): Promise<Map<number, string[]>> {
  const found = new Map<number, string[]>()
  for (let i = 0; i < OWNERS; i++) {
    const root = prefix.includes('{') ? prefix : partitioned(prefix).ownerRoot(`user-${i}`)
    const slot = await cluster().nodes[0]!.redis.cluster('KEYSLOT', root)
    found.set(slot, [...(found.get(slot) ?? []), `user-${i}`])
  }
  return found
}

test.each<[name: string, prefix: () => string, replicas: number, longest: number]>([
  ['partitioned', freshPrefix, 0, 2000],
  // Here a call may wait for the whole slot, and so for all names of the store.
  ['in one slot', () => `{${freshPrefix()}}`, 0, 10_000],
  ['partitioned, with confirmed writes', freshPrefix, 1, 10_000]
])('50 callers notice nothing of slots that move, name by name and back: %s', async (...args) => {
  const [name, makePrefix, replicas, longest] = args
  const prefix = makePrefix()
  // What took too long is told by its time: a call that failed would leave
  // its caller with other tokens than it knows of.
  const tokens = store({
    redis: clusterClient(cluster()),
    prefix,
    timeout: 30_000
  })
  const bySlot = await ownersBySlot(prefix)
  const owners = [...bySlot.values()].flat()
  const { running, own } = work(tokens, owners, replicas)
  await sleep(300)

  const masters = await cluster().masters()
  const asked = await errorsAnswered(masters, 'ASK')
  let moves = 0
  let longestMove = 0
  let namesMoved = 0
  const until = Date.now() + 7000
  try {
    while (Date.now() < until) {
      for (const slot of bySlot.keys()) {
        const from = await cluster().ownerOf(slot)
        const to = masters[(masters.indexOf(from) + 1 + (moves % 2)) % 3]!
        // A few names at a time, so that callers meet owners of whom a part
        // has moved.
        const ms = await cluster().moveSlot(slot, to, { batch: 12, pause: 4 })
        namesMoved += Number(await to.redis.cluster('COUNTKEYSINSLOT', slot))
        longestMove = Math.max(longestMove, ms)
        moves++
        await sleep(100)
      }
    }
  } finally {
    await running.stop()
  }

  const redirected = (await errorsAnswered(masters, 'ASK')) - asked
  report(`resharding, ${name}`, {
    calls: running.calls,
    errors: running.errors.length,
    moves,
    namesMoved,
    redirected,
    'longest move ms': longestMove,
    'longest call ms': running.longest
  })
  expect(running.errors.slice(0, 5)).toEqual([])
  expect(running.longest).toBeLessThan(longest)
  // Callers were there while the slots moved.
  expect(redirected).toBeGreaterThan(moves)

  const kept = own.flatMap((tokens) => [...tokens.values()])
  for (const { key, id, owner_id, attrs, n } of kept) {
    expect(await tokens.getKey(key)).toEqual({
      key,
      id,
      owner_id,
      attrs: { ...attrs, n }
    })
  }
  for (const owner_id of owners) {
    const expected = kept.filter((token) => token.owner_id === owner_id).map(({ id }) => id)
    expect((await tokens.list(owner_id)).map(({ id }) => id)).toEqual(expected.sort())
  }
  expect(await clusterAudit(cluster(), prefix)).toEqual([])
  const names = Object.keys(await clusterKeyspace(cluster(), prefix))
  expect(names.filter((name) => name.includes(':key:'))).toHaveLength(kept.length)
  expect(await tokens.reset()).toBeGreaterThanOrEqual(kept.length)
  expect(await clusterKeyspace(cluster(), prefix)).toEqual({})
})
