import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import {
  PATIENCE,
  startSentinels,
  type Node,
  type SentinelGroup
} from '../../scripts/redis-cluster'
import type { Tokenstore } from '../../src/main'
import type { Config, Token } from '../../src/types'
import { audit, closeAfterAll, freshPrefix, store, until } from '../support'
import {
  clusterAudit,
  clusterClient,
  errorsAnswered,
  load,
  report,
  untyped,
  useCluster
} from './support'

const CALLERS = 20
const TIMEOUT = 2000
/**
 * A hung master is noticed by the silence on a connection, and perhaps not at
 * the first try: a new connection to it is silent as well, and a cluster's
 * client gives each node that it asks for the masters 1 s.
 */
const HUNG = TIMEOUT + 1500
/**
 * What may be under way to a replica when its master dies; on one machine it is
 * next to nothing.
 */
const REPLICATED_MS = 1000

interface Kept extends Token {
  n: number
  /** When the answer to the last write came. */
  written: number
  /** A write without an answer may have happened. */
  unsure: boolean
  /**
   * The lowest n of a write without an answer that may happen yet, where the
   * client repeats what was on its way.
   */
  late: number
}

interface Ended {
  id: string
  key: string
  at: number
  confirmed: boolean
}

/**
 * Whether a client may send a call again after its caller was told that it
 * failed.
 */
const repeatsCalls = ({ redis }: Config): boolean =>
  redis instanceof Cluster && redis.options.retryDelayOnFailover !== 0

const confirms = (caller: number): boolean => caller % 5 === 0

/**
 * Callers who each work on tokens of their own and remember what they were
 * answered; every fifth one with `replicas`. Until the dead master is back
 * there may be no replica left for them.
 */
function work(tokens: Tokenstore, repeats: boolean) {
  const kept = new Map<string, Kept>()
  const ended: Ended[] = []
  const wrong: string[] = []
  const own = Array.from({ length: CALLERS }, (): Kept[] => [])
  const running = load(CALLERS, async (caller, rng) => {
    const mine = own[caller]!
    const replicas = confirms(caller) ? 1 : 0
    const at = Math.floor(rng() * mine.length)
    const one = mine[at]
    const what = Math.floor(rng() * 6)
    if (!one || (what === 0 && mine.length < 30)) {
      const token = await tokens.add({
        owner_id: `user-${caller}-${at}`,
        attrs: { n: 0 },
        replicas
      })
      const entry = {
        ...token,
        n: 0,
        written: Date.now(),
        unsure: false,
        late: Infinity
      }
      mine.push(entry)
      kept.set(token.id, entry)
    } else if (what === 1 && mine.length > 5) {
      mine.splice(at, 1)
      kept.delete(one.id)
      if (await tokens.del(one.id, { replicas })) {
        ended.push({
          id: one.id,
          key: one.key,
          at: Date.now(),
          confirmed: replicas > 0
        })
      }
    } else if (what === 2) {
      const { n, late } = one
      Object.assign(one, {
        unsure: true,
        late: repeats ? Math.min(late, n + 1) : late
      })
      const token = await tokens.set(one.id, { n: n + 1 }, { replicas })
      // Null is the answer for a token that the failover lost; checked in the
      // end.
      if (token)
        Object.assign(one, {
          n: n + 1,
          written: Date.now(),
          unsure: false,
          late
        })
    } else {
      const token = await tokens.getKey(one.key)
      if (token && (token.id !== one.id || token.owner_id !== one.owner_id))
        wrong.push('getKey: another token')
    }
  })
  return { running, kept, ended, wrong }
}

/**
 * Takes a master away under load and compares what the callers were told with
 * what is there. Calls that are sent later than `notice` ms after the election
 * are all answered.
 */
async function failOver(
  title: string,
  config: Config,
  patience: (ms: number) => Promise<void>,
  takeAway: () => unknown,
  elect: () => Promise<unknown>,
  look: () => Promise<string[]>,
  notice = 500
): Promise<void> {
  const { running, kept, ended, wrong } = work(
    store({ ...config, timeout: TIMEOUT }),
    repeatsCalls(config)
  )
  const plain = Array.from({ length: CALLERS }, (_, caller) => caller).filter(
    (caller) => !confirms(caller)
  )
  let killed: number
  let elected: number
  try {
    await until(
      () => kept.size > 100 && ended.length > 20 && ended.some(({ confirmed }) => confirmed)
    )
    await sleep(REPLICATED_MS)
    await patience(1000)
    killed = Date.now()
    await takeAway()
    await elect()
    elected = Date.now()
    await patience(PATIENCE)
    // Everybody is served again, without any help.
    await until(
      () => plain.every((caller) => running.answeredAfter(elected + notice, caller) !== undefined),
      30_000
    )
    await sleep(2000)
  } finally {
    await running.stop()
  }
  const told = running.errors.filter(({ stalled }) => !stalled)
  const plainErrors = told.filter(({ caller }) => !confirms(caller))
  const lastSent = Math.max(killed, ...plainErrors.map(({ sent }) => sent))

  expect(untyped(running).slice(0, 3)).toEqual([])
  expect(wrong).toEqual([])
  for (const { at } of told) expect(at).toBeGreaterThanOrEqual(killed)
  expect(lastSent).toBeLessThanOrEqual(elected + notice)

  const tokens = store(config)
  let lost = 0
  let older = 0
  for (const { key, id, n, written, unsure, late } of kept.values()) {
    const token = await tokens.getKey(key)
    const settled = written < killed - REPLICATED_MS || written > elected
    if (token === null) lost++
    else if (Number(token.attrs.n) < n) older++
    if (!settled) continue
    expect(token).toMatchObject({ id })
    expect(Number(token!.attrs.n)).toBeGreaterThanOrEqual(Math.min(n, late))
    expect(Number(token!.attrs.n)).toBeLessThanOrEqual(unsure ? n + 1 : n)
  }
  let alive = 0
  let confirmedAlive = 0
  for (const { key, at, confirmed } of ended) {
    const found = (await tokens.getKey(key)) !== null
    alive += Number(found)
    confirmedAlive += Number(found && confirmed)
    if (found) expect(at).toBeGreaterThan(killed - REPLICATED_MS)
    if (found) expect(at).toBeLessThan(elected)
  }
  report(title, {
    calls: running.calls,
    errors: plainErrors.length,
    'errors of those who ask for replicas': told.length - plainErrors.length,
    'outage s':
      (Math.max(...plain.map((caller) => running.answeredAfter(killed + 50, caller)!)) - killed) /
      1000,
    'until the election s': (elected - killed) / 1000,
    'last call that failed, sent after s': (lastSent - killed) / 1000,
    tokens: kept.size,
    lost,
    older,
    revoked: ended.length,
    'revocations alive': alive,
    'confirmed revocations alive': confirmedAlive
  })
  expect(confirmedAlive).toBe(0)
  expect(await look()).toEqual([])
}

describe('in a cluster', () => {
  closeAfterAll()
  const { cluster } = useCluster()

  test.each<[name: string, prefix: () => string, hangs: boolean]>([
    ['killed, partitioned', freshPrefix, false],
    ['killed, in one slot', () => `{${freshPrefix()}}`, false],
    ['hung, in one slot', () => `{${freshPrefix()}}`, true]
  ])(
    'a master that is lost under load costs typed errors until the election, and nothing else: %s',
    async (name, makePrefix, hangs) => {
      const prefix = makePrefix()
      const config = {
        redis: clusterClient(cluster(), hangs ? { retryDelayOnFailover: 0 } : {}),
        prefix
      }
      const slot = await cluster().nodes[0]!.redis.cluster('KEYSLOT', prefix)
      const victim = await cluster().ownerOf(prefix.includes('{') ? slot : 0)
      const others = cluster().nodes.filter((node) => node !== victim)
      try {
        await failOver(
          `failover in a cluster, ${name}`,
          config,
          (ms) => cluster().patience(ms),
          () => (hangs ? victim.pause() : victim.kill()),
          () =>
            until(
              async () => (await cluster().masters()).length === 3 && (await allOk(others)),
              20_000
            ),
          () => clusterAudit(cluster(), prefix),
          hangs ? HUNG : undefined
        )

        // A script cache is not replicated: what a client believes to be there
        // is sent again.
        const tokens = store(config)
        const masters = await cluster().masters()
        const count = (): Promise<number[]> =>
          Promise.all(Array.from({ length: 50 }, (_, i) => tokens.count(`user-${i}`)))
        await count()
        for (const { redis } of masters) await redis.script('FLUSH')
        const before = await errorsAnswered(masters, 'NOSCRIPT')
        await count()
        expect(await errorsAnswered(masters, 'NOSCRIPT')).toBeGreaterThan(before)
      } finally {
        if (hangs) victim.resume()
        else await victim.restart()
        await cluster().healthy()
      }
    }
  )

  const allOk = async (nodes: Node[]): Promise<boolean> => {
    const states = await Promise.all(nodes.map(({ redis }) => redis.cluster('INFO')))
    return states.every((state) => state.includes('cluster_state:ok'))
  }
})

describe('under Sentinel', () => {
  closeAfterAll()
  let group: SentinelGroup | undefined
  beforeAll(async () => {
    group = await startSentinels()
  }, 180_000)
  afterAll(async () => group?.stop())

  test.each([
    ['killed', false],
    ['hung', true]
  ])(
    'a master that is lost under load costs typed errors until the election, and nothing else: %s',
    async (name, hangs) => {
      const prefix = freshPrefix()
      const config = { redis: group!.options, prefix }
      const victim = await group!.master()
      const second = async (): Promise<Node> => {
        let master = await group!.master()
        await until(async () => (master = await group!.master()) !== victim)
        return master
      }
      try {
        await failOver(
          `failover under Sentinel, ${name}`,
          config,
          // Sentinel asks once a second, and would give up a master again that
          // it has not asked yet.
          (ms) => group!.patience(Math.max(ms, 2500)),
          () => (hangs ? victim.pause() : victim.kill()),
          second,
          async () => audit((await second()).redis, prefix),
          hangs ? HUNG : undefined
        )
        const tokens = store(config)
        const master = await second()
        await tokens.count('ann')
        await master.redis.script('FLUSH')
        const before = await errorsAnswered([master], 'NOSCRIPT')
        await tokens.count('ann')
        expect(await errorsAnswered([master], 'NOSCRIPT')).toBeGreaterThan(before)
      } finally {
        if (hangs) {
          victim.resume()
          await victim.kill()
        }
        await group!.rejoin(victim)
      }
      expect(await store(config).reset()).toBeGreaterThan(0)
    },
    180_000
  )
})
