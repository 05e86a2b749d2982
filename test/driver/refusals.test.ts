import { rmSync } from 'node:fs'
import { UnavailableError, type Tokenstore } from '../../src/main'
import { closeAfterAll, keyspace, until } from '../support'
import { closeAfterEach, open, own, server } from './opened'

closeAfterAll()
closeAfterEach()

// A Redis that is there, but writes nothing for now, or cannot run what the scripts call.

const timeout = 10_000

/** How a server comes to refuse writes, and what it says then. */
const REFUSALS: [code: string, refuse: (port: number, dir: string) => Promise<unknown>][] = [
  ['NOREPLICAS', (port) => own(port).config('SET', 'min-replicas-to-write', '1')],
  ['READONLY', (port) => own(port).replicaof('127.0.0.1', '1')],
  ['OOM', (port) => own(port).config('SET', 'maxmemory', '1')],
  [
    'MISCONF',
    async (port, dir) => {
      rmSync(dir, { recursive: true })
      const redis = own(port)
      await redis.config('SET', 'save', '3600 1')
      await redis.bgsave()
      await until(async () => (await redis.info()).includes('rdb_last_bgsave_status:err'))
    }
  ]
]

describe.each(REFUSALS)('a server that answers %s', (code, refuse) => {
  let tokens: Tokenstore
  let port: number
  let kept: { key: string; id: string }
  let typed: string | null

  beforeEach(async () => {
    const started = await server('--save', '')
    port = started.port
    // A client of the caller's stays with a replica.
    tokens = open({ redis: own(port), timeout })
    kept = await tokens.add({ owner_id: 'ann', attrs: { a: 1 } })
    typed = await tokens.makeCode('login')
    const brief = await tokens.add({ owner_id: 'ann', ttl: 0.05 })
    await until(async () => (await tokens.getKey(brief.key)) === null)
    await refuse(port, started.dir)
  })

  test('each write is unavailable, and nothing is written', async () => {
    const before = await keyspace(own(port), '*')
    const writes = [
      () => tokens.add({ owner_id: 'ann' }),
      () => tokens.set(kept.id, {}),
      () => tokens.update(kept.id, () => ({})),
      () => tokens.change(kept.id, { ttl: 60 }),
      () => tokens.rotate(kept.id),
      () => tokens.refresh(kept.key),
      () => tokens.makeHash(1, { owner_id: 'ann' }),
      () => tokens.makeCode('login'),
      // Nobody learns which of the two is right.
      () => tokens.tryCode('login', typed),
      () => tokens.tryCode('login', 'wrong')
    ]
    for (const write of writes) {
      const error: unknown = await write().catch((error: unknown) => error)
      expect(error).toBeInstanceOf(UnavailableError)
      expect((error as Error).message).toContain(`: Redis answered ${code} `)
    }
    expect(await keyspace(own(port), '*')).toEqual(before)
  })

  test('each read is answered, beside a token that has expired', async () => {
    expect(await tokens.getKey(kept.key)).toMatchObject({ id: kept.id })
    expect(await tokens.get(kept.id)).toMatchObject({ attrs: { a: 1 } })
    expect(await tokens.count('ann')).toBe(1)
    expect(await tokens.list('ann')).toMatchObject([{ id: kept.id }])
    const page = await tokens.list('ann', { limit: 10 })
    expect(page).toMatchObject({ tokens: [{ id: kept.id }], cursor: null })
    const walked: string[] = []
    for await (const { id } of tokens.each('ann')) walked.push(id)
    for await (const { id } of tokens.all()) walked.push(id)
    for await (const owner_id of tokens.owners()) walked.push(owner_id)
    expect(walked).toEqual([kept.id, kept.id, 'ann'])
  })
})

test('a server without a command of the scripts is told to be too old', async () => {
  const { port } = await server('--rename-command', 'PEXPIRETIME', '')
  const tokens = open({ redis: { port }, timeout })
  const { id } = await tokens.add({ owner_id: 'ann' })
  const before = await keyspace(own(port), '*')
  for (const call of [() => tokens.get(id), () => tokens.set(id, { a: 1 })]) {
    const error: unknown = await call().catch((error: unknown) => error)
    expect(error).toMatchObject({
      name: 'TokenstoreError',
      code: 'TSVERSION',
      message: expect.stringMatching(/^[gs]et: Redis 7\.0 or newer is needed: ERR /)
    })
  }
  expect(await keyspace(own(port), '*')).toEqual(before)
})
