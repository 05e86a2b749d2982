/**
 * One of the processes of audit.test.ts: all methods on tokens that it shares with the others,
 * many calls in flight, until its stdin closes or it is killed. What was answered goes to stdout,
 * a JSON line at a time. Arguments: URL, prefix, seed.
 */
import { KeyTakenError, LimitError, ReuseError, Tokenstore, type Token } from '../../src/main'
import { random } from '../support'

export interface Report {
  operations: number
  /** Ids of tokens whose end was answered: none of them may ever be seen again. */
  ended: string[]
  faults: string[]
}

const OWNERS = 40
/**
 * Owners of which no more than LIMIT tokens may live; those of the first half are rejected over
 * it, not evicted.
 */
export const LIMITED = 20
export const LIMIT = 20
const IN_FLIGHT = 64
const POOL = 200
const NAMES = 50

/** Whether a token is one whose owner is changed: what delOwner revokes is known of others only. */
const isMoved = (id: string): boolean => /[0-7]$/.test(id)

interface Hash {
  hash: string
  owner_id: string
}

async function work([url, prefix, seed]: string[]): Promise<void> {
  const rng = random(Number(seed))
  const below = (n: number): number => Math.floor(rng() * n)
  // What does not end at once outlives the test, so that nothing ends while it is audited.
  const tokens = Tokenstore({
    redis: url!,
    prefix: prefix!,
    idle: 600,
    touchEvery: 0.001,
    timeout: 30_000
  })
  const pool: Token[] = []
  const hashes: Hash[] = []
  const codes = new Map<string, string>()
  let report: Report = { operations: 0, ended: [], faults: [] }
  let running = true
  const flush = (): void => {
    process.stdout.write(`${JSON.stringify(report)}\n`)
    report = { operations: 0, ended: [], faults: [] }
  }
  process.stdin.on('close', () => (running = false)).resume()

  const know = (token: Token): void => {
    pool[pool.length < POOL ? pool.length : below(POOL)] = token
  }
  const ownerAt = (n: number): string => `user-${n}`
  const limitOf = (n: number): object =>
    n < LIMITED ? { limit: LIMIT, onLimit: n < LIMITED / 2 ? 'reject' : 'evict' } : {}
  const fault = (text: string): void => void report.faults.push(text)
  const end = async (ids: string[], keys: string[]): Promise<void> => {
    report.ended.push(...ids)
    if (ids.length > 0 && below(4) === 0) {
      report.operations += 2
      const [byId, byKey] = await Promise.all([
        tokens.get(ids[0]!),
        keys[0] ? tokens.getKey(keys[0]) : null
      ])
      if (byId ?? byKey) fault(`${ids[0]} is alive after its end was answered`)
    }
  }

  const operations: [weight: number, run: (token: Token) => Promise<unknown>][] = [
    [50, (token) => tokens.getKey(token.key)],
    [20, (token) => tokens.getKey(token.key, { touch: false })],
    [5, (token) => tokens.get(token.id)],
    [
      16,
      async () => {
        const n = below(OWNERS)
        const lifetime = [
          {},
          {},
          { ttl: 600 },
          { idle: null },
          { idle: null, ttl: 0.05 },
          { ttl: 0.2 }
        ][below(6)]
        const added = await tokens.add({
          owner_id: ownerAt(n),
          attrs: { n },
          ...lifetime,
          ...limitOf(n)
        })
        know(added)
        await end(added.evicted ?? [], [])
      }
    ],
    [10, (token) => tokens.set(token.id, { set: below(1000) })],
    [
      3,
      (token) =>
        tokens.update(token.id, (attrs) => ({ ...attrs, updates: Number(attrs.updates ?? 0) + 1 }))
    ],
    [6, (token) => tokens.del(token.id).then(() => end([token.id], [token.key]))],
    [4, async (token) => (await tokens.delKey(token.key)) && end([token.id], [token.key])],
    [
      8,
      async (token) => {
        const rotated = await tokens.rotate(
          token.id,
          [{}, { grace: 0.02 }, { grace: 600 }][below(3)]
        )
        if (rotated) know(rotated)
      }
    ],
    [
      6,
      async (token) => {
        const [grace, detect] = [
          [600, null],
          [0.02, 600],
          [null, null]
        ][below(3)]!
        try {
          const refreshed = await tokens.refresh(token.key, { grace, detect })
          if (refreshed) know(refreshed)
        } catch (error) {
          if (!(error instanceof ReuseError)) throw error
          await end([error.id], [token.key])
        }
      }
    ],
    [
      6,
      async (token) => {
        const n = below(OWNERS)
        const changed = await tokens.change(token.id, {
          ...[{ ttl: 600 }, { idle: 600 }, { idle: null }, { ttl: null }, { ttl: 0.2 }][below(5)],
          ...(below(2) && { attrs: { n } }),
          ...(isMoved(token.id) && { owner_id: ownerAt(n), ...limitOf(n) })
        })
        if (changed) know(changed)
        await end(changed?.evicted ?? [], [])
      }
    ],
    [
      4,
      async () => {
        for (const token of (await tokens.list(ownerAt(below(OWNERS)))).slice(0, 4)) know(token)
      }
    ],
    [2, () => tokens.count(ownerAt(below(OWNERS)))],
    [
      1,
      async (token) => {
        const { owner_id } = token
        const known = pool.filter(
          ({ id, owner_id: its }) => its === owner_id && id !== token.id && !isMoved(id)
        )
        const made = hashes.filter((hash) => hash.owner_id === owner_id)
        const withHashes = below(2) === 0
        await tokens.delOwner(owner_id, { except: token.id, hashes: withHashes })
        await end(
          known.map(({ id }) => id),
          known.map(({ key }) => key)
        )
        if (!withHashes) return
        const found = await Promise.all(made.map(({ hash }) => tokens.getHash(hash)))
        if (found.some((value) => value !== null)) fault(`a hash outlived delOwner ${owner_id}`)
      }
    ],
    [
      3,
      async () => {
        const n = below(NAMES)
        const owner_id = ownerAt(n % OWNERS)
        const options = { ttl: 30, replaces: `name-${n}`, owner_id }
        hashes.push({ hash: await tokens.makeHash({ n }, options), owner_id })
      }
    ],
    [1, async () => hashes.length > 0 && tokens.getHash(hashes[below(hashes.length)]!.hash)],
    [2, async () => hashes.length > 0 && tokens.takeHash(hashes.pop()!.hash)],
    [
      2,
      async () => {
        const name = `name-${below(NAMES)}`
        const every = below(2) ? { every: 0.01 } : {}
        const code = await tokens.makeCode(name, { ttl: 0.5, value: name, ...every })
        if (code !== null) codes.set(name, code)
      }
    ],
    [
      3,
      async () => {
        const name = `name-${below(NAMES)}`
        const code = below(2) ? codes.get(name) : '0'
        const tried = await tokens.tryCode(name, code)
        if (!tried.ok) return
        if (tried.value !== name) fault(`${name}: the value of another code`)
        if ((await tokens.tryCode(name, code)).ok) fault(`${name}: a code was right twice`)
      }
    ]
  ]
  const total = operations.reduce((sum, [weight]) => sum + weight, 0)
  const pick = (): ((token: Token) => Promise<unknown>) => {
    let n = below(total)
    return operations.find(([weight]) => (n -= weight) < 0)![1]
  }

  await tokens.count('nobody')
  flush()
  const reports = setInterval(flush, 50)
  const lane = async (): Promise<void> => {
    while (running) {
      try {
        await pick()(
          pool[below(pool.length)] ?? { key: 'none', id: 'none', owner_id: 'none', attrs: {} }
        )
      } catch (error) {
        if (!(error instanceof KeyTakenError || error instanceof LimitError)) fault(String(error))
      }
      report.operations++
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane))
  clearInterval(reports)
  flush()
  await tokens.quit()
}

if (require.main === module) void work(process.argv.slice(2))
