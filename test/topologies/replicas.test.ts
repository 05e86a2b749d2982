import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { startMaster, startNode, type Node } from '../../scripts/redis-cluster'
import { ReplicationError, Tokenstore, UnavailableError } from '../../src/main'
import { audit, freshPrefix, random, until } from '../support'
import { refused, report } from './support'

// A longer run than every change needs: TOPOLOGY_SECONDS=600.
const SECONDS = Number(process.env.TOPOLOGY_SECONDS ?? 40)
const CALLERS = 10

interface Link {
  port: number
  cut(): void
}

/**
 * The way from a master to its replica, on which everything is under way for
 * some ms, and lost when it is cut.
 */
async function link(to: number, lag: number): Promise<Link> {
  const sockets = new Set<Socket>()
  let whole = true
  const server = createServer((replica) => {
    const master = connect(to, '127.0.0.1')
    for (const socket of [replica, master]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => [replica, master].forEach((end) => end.destroy()))
    }
    replica.on('data', (data) => master.write(data))
    master.on('data', (data) => setTimeout(() => whole && replica.write(data), lag))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    whole = false
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { port: (server.address() as AddressInfo).port, cut }
}

interface Group {
  master: Node
  replicas: Node[]
  links: Link[]
  /**
   * For how many ms at least what the master does is under way to the replicas.
   */
  lag: number
}

/**
 * A master and two replicas, at least so many ms away, and one of them further.
 */
async function group(rng: () => number, lag = 3): Promise<Group> {
  const master = await startMaster()
  const replicas = await Promise.all([startMaster(), startMaster()])
  const links = await Promise.all(
    replicas.map((_, i) => link(master.port, lag + rng() * (i === 0 ? 5 : 15)))
  )
  await Promise.all(replicas.map(({ redis }, i) => redis.replicaof('127.0.0.1', links[i]!.port)))
  const synced = async ({ redis }: Node): Promise<boolean> =>
    (await redis.info('replication')).includes('link_status:up')
  await until(async () => (await Promise.all(replicas.map(synced))).every(Boolean))
  return { master, replicas, links, lag }
}

const stopAll = async ({ master, replicas, links }: Group): Promise<void> => {
  for (const { cut } of links) cut()
  await Promise.all([master, ...replicas].map((node) => node.stop()))
}

/** What callers were answered until the master was killed. */
interface Answered {
  revoked: { id: string; key: string }[]
  taken: string[]
  /** Those that nobody tried to end. */
  issued: { id: string; key: string }[]
  unconfirmed: number
}

/** Issues and ends tokens in every way until the master is gone. */
async function workUntilKilled(
  { master, lag }: Group,
  prefix: string,
  replicas: number,
  after: number
): Promise<Answered> {
  const answered: Answered = {
    revoked: [],
    taken: [],
    issued: [],
    unconfirmed: 0
  }
  let running = true
  const caller = async (n: number): Promise<void> => {
    // A store each, so that each has its own WAIT.
    const tokens = Tokenstore({
      redis: master.url,
      prefix,
      replicas,
      timeout: 1000
    })
    const owner_id = `user-${n}`
    const turn = async (i: number): Promise<void> => {
      const a = await tokens.add({ owner_id })
      answered.issued.push(await tokens.add({ owner_id: `keeps-${n}` }))
      const ways: (() => Promise<boolean>)[] = [
        () => tokens.del(a.id),
        () => tokens.delKey(a.key),
        async () => (await tokens.delOwner(owner_id)) > 0,
        async () => {
          const rotated = (await tokens.rotate(a.id))!
          answered.revoked.push({ id: '', key: a.key })
          a.key = rotated.key
          return tokens.del(a.id)
        }
      ]
      if (await ways[(i + n) % ways.length]!()) answered.revoked.push(a)
      const hash = await tokens.makeHash(i)
      if ((await tokens.takeHash(hash)) !== null) answered.taken.push(hash)
    }
    try {
      for (let i = 0; running; i++) {
        // Goes on after one, which a busy machine may cause as well.
        await turn(i).catch((error: unknown) => {
          if (!(error instanceof UnavailableError || error instanceof ReplicationError)) throw error
          answered.unconfirmed++
        })
      }
    } finally {
      await tokens.quit()
    }
  }
  const all = Promise.all(Array.from({ length: CALLERS }, (_, n) => caller(n)))
  // By the work done, so that a busy machine does not kill before there is any.
  await until(() => answered.revoked.length >= after)
  // And for so long that the replicas have some of it.
  await sleep(lag + (after % 20))
  process.kill(master.pid, 'SIGKILL')
  running = false
  await all
  return answered
}

/**
 * Makes the replica that has most of it the master, as Sentinel and Redis
 * Cluster do.
 */
async function promote({ replicas, links }: Group): Promise<Node> {
  for (const { cut } of links) cut()
  const offsets = await Promise.all(
    replicas.map(async ({ redis }) =>
      Number(/slave_repl_offset:(\d+)/.exec(await redis.info('replication'))![1])
    )
  )
  const best = replicas[offsets.indexOf(Math.max(...offsets))]!
  await best.redis.replicaof('NO', 'ONE')
  return best
}

/**
 * Kills a master at a random moment and counts what came back, and what was
 * lost, on its successor.
 */
async function round(servers: Group, rng: () => number, replicas: number) {
  const prefix = freshPrefix()
  const answered = await workUntilKilled(servers, prefix, replicas, 10 + Math.floor(rng() * 60))
  const best = await promote(servers)
  const tokens = Tokenstore({ redis: best.url, prefix, timeout: 10_000 })
  try {
    const alive = async ({ id, key }: { id: string; key: string }): Promise<boolean> =>
      (await tokens.getKey(key)) !== null || (id !== '' && (await tokens.get(id)) !== null)
    const count = (found: boolean[]): number => found.filter(Boolean).length
    return {
      revoked: answered.revoked.length,
      alive: count(await Promise.all(answered.revoked.map(alive))),
      taken: answered.taken.length,
      takenAgain: count(
        await Promise.all(
          answered.taken.map(async (hash) => (await tokens.takeHash(hash)) !== null)
        )
      ),
      issued: answered.issued.length,
      lost: count(
        await Promise.all(
          answered.issued.map(async ({ key }) => (await tokens.getKey(key)) === null)
        )
      ),
      unconfirmed: answered.unconfirmed,
      faults: await audit(best.redis, prefix)
    }
  } finally {
    await tokens.quit()
  }
}

type Sums = Omit<Awaited<ReturnType<typeof round>>, 'faults'> & {
  kills: number
}

/**
 * Rounds for so many seconds, and 20 at least; the servers of the next one
 * start while one runs.
 */
async function rounds(
  seconds: number,
  seed: number,
  replicas: number,
  lag?: number
): Promise<Sums> {
  const rng = random(seed)
  const sums: Sums = {
    kills: 0,
    revoked: 0,
    alive: 0,
    taken: 0,
    takenAgain: 0,
    issued: 0,
    lost: 0,
    unconfirmed: 0
  }
  let next = group(rng, lag)
  for (const end = Date.now() + seconds * 1000; Date.now() < end || sums.kills < 20;) {
    const servers = await next
    next = group(rng, lag)
    try {
      const { faults, ...counts } = await round(servers, rng, replicas)
      expect(faults).toEqual([])
      sums.kills++
      for (const [name, n] of Object.entries(counts)) sums[name as keyof Sums] += n
    } finally {
      await stopAll(servers)
    }
  }
  await stopAll(await next)
  return sums
}

test(
  'what a replica has confirmed is still so after the master is killed',
  async () => {
    const sums = await rounds(SECONDS, 1, 1)
    report('kills, replicas: 1', { ...sums })
    expect(sums).toMatchObject({ alive: 0, takenAgain: 0, lost: 0 })
    expect(sums.revoked).toBeGreaterThanOrEqual(10 * sums.kills)
  },
  (SECONDS + 60) * 1000
)

test('without that, revocations come back', async () => {
  // Further away than a token lives here, so that whatever is alive somewhere
  // on the way is revoked on the master.
  const sums = await rounds(5, 2, 0, 60)
  report('kills, replicas: 0', { ...sums })
  expect(sums.alive).toBeGreaterThan(0)
})

describe('a write that too few replicas confirm', () => {
  let servers: Group | undefined
  beforeAll(async () => {
    servers = await group(random(3))
  })
  afterAll(async () => stopAll(servers!))

  const paused = async (call: () => Promise<void>): Promise<void> => {
    servers!.replicas[0]!.pause()
    try {
      await call()
    } finally {
      servers!.replicas[0]!.resume()
    }
  }

  const key = 'k'.repeat(24)
  const id = '0190a0b0-0000-7000-8000-000000000001'

  test('is done, and says so, while a replica hangs', async () => {
    const { master } = servers!
    const prefix = freshPrefix()
    const tokens = Tokenstore({
      redis: master.url,
      prefix,
      replicas: 2,
      timeout: 10_000
    })
    const hasty = Tokenstore({
      redis: master.url,
      prefix,
      replicas: 2,
      timeout: 700
    })
    const looking = Tokenstore({ redis: master.url, prefix, timeout: 10_000 })
    const token = await tokens.add({ owner_id: 'ann', attrs: { n: 1 } })
    const [b, c, d] = [
      await tokens.add(token),
      await tokens.add({ owner_id: 'ann' }),
      await tokens.add({ owner_id: 'bo' })
    ]
    expect(b).toEqual(token)
    const hash = await tokens.makeHash('a')
    const by1of2 = 'done, but confirmed by 1 of 2 replicas'
    await paused(async () => {
      await refused(`set: ${by1of2}`, () => hasty.set(token.id, { n: 2 }))
      expect(await looking.get(token.id)).toMatchObject({ attrs: { n: 2 } })
      await refused(`rotate: ${by1of2}`, () => hasty.rotate(token.id))
      expect(await looking.getKey(token.key)).toBeNull()
      await refused(`del: ${by1of2}`, () => hasty.del(token.id))
      expect(await looking.get(token.id)).toBeNull()
      await refused(`delkey: ${by1of2}`, () => hasty.delKey(c.key))
      expect(await looking.getKey(c.key)).toBeNull()
      await refused(`delowner: ${by1of2}`, () => hasty.delOwner('bo'))
      expect(await looking.get(d.id)).toBeNull()
      await refused(`add: ${by1of2}`, () => hasty.add({ owner_id: 'cy', key, id }))
      expect(await looking.count('cy')).toBe(1)
      await refused(`takehash: ${by1of2}`, () => hasty.takeHash(hash))
      expect(await looking.getHash(hash)).toBeNull()
      // Fewer are enough for whoever says so.
      expect(await tokens.del(id, { replicas: 1 })).toBe(true)
    })
    expect(await tokens.add({ owner_id: 'ann' })).toMatchObject({
      owner_id: 'ann'
    })
    expect(await audit(master.redis, prefix)).toEqual([])
    await Promise.all([tokens.quit(), hasty.quit(), looking.quit()])
  })

  test('is done, and says so, when there is no such replica', async () => {
    const lone = await startNode()
    const hasty = Tokenstore({ redis: lone.url, replicas: 1, timeout: 500 })
    const looking = Tokenstore({ redis: lone.url, timeout: 10_000 })
    await refused('add: done, but confirmed by 0 of 1 replicas', () =>
      hasty.add({ owner_id: 'ann', key, id })
    )
    expect(await looking.count('ann')).toBe(1)
    await Promise.all([hasty.quit(), looking.quit()])
    await lone.stop()
  })
})
