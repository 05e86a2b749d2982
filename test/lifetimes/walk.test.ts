import { startRedis, type RedisServer } from '../../scripts/redis-server'
import type { Page, Token, Tokenstore } from '../../src/main'
import { client, closeAfterAll, freshPrefix, random, store } from '../support'

closeAfterAll()

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

const WALKS = 1000
const AT_ONCE = 4
const owner_id = 'user-7'

/** An owner whose tokens come, go and are used while somebody walks over them. */
class Owner {
  /** What cannot end but by a call of ours; others may expire on the way. */
  readonly alive = new Map<string, Token>()
  readonly ended = new Set<string>()
  #pending: Promise<unknown>[] = []

  constructor(
    readonly stores: Tokenstore[],
    readonly below: (n: number) => number,
    readonly size: number
  ) {}

  /** Waits for what is under way, and makes up the number again. */
  async settle(): Promise<void> {
    await Promise.all(this.#pending.splice(0))
    await Promise.all(Array.from({ length: this.size - this.alive.size }, () => this.#add()))
  }

  /** Begins something, and does not wait for it. */
  disturb(): void {
    const tokens = this.stores[this.below(this.stores.length)]!
    const token = [...this.alive.values()][this.below(this.alive.size)]!
    const what = this.below(10)
    if (what < 2) this.#pending.push(this.#add())
    else if (what < 4) {
      if (this.alive.size < this.size / 2) return
      this.alive.delete(token.id)
      this.#pending.push(tokens.del(token.id).then(() => this.ended.add(token.id)))
    } else if (what === 4) this.#pending.push(tokens.set(token.id, { n: this.below(100) }))
    else if (what === 5) {
      const rotate = async (): Promise<void> => {
        const rotated = await tokens.rotate(token.id)
        if (rotated && this.alive.has(token.id)) this.alive.set(token.id, rotated)
      }
      this.#pending.push(rotate())
    } else this.#pending.push(tokens.getKey(token.key)) // moves it on, past others
  }

  async #add(): Promise<void> {
    const lifetimes = [
      { idle: 300 },
      { idle: 100 + this.below(600) },
      { idle: 600, ttl: 650 },
      { ttl: 600 },
      {},
      { ttl: 0.05 }
    ]
    const lifetime = lifetimes[this.below(lifetimes.length)] as { ttl?: number }
    const token = await this.stores[this.below(this.stores.length)]!.add({ owner_id, ...lifetime })
    if (lifetime.ttl !== 0.05) this.alive.set(token.id, token)
  }
}

async function owner(seed: number, size: number): Promise<Owner> {
  const prefix = freshPrefix()
  const rng = random(seed)
  const config = { prefix, redis: server.url, touchEvery: 0.001 }
  const made = new Owner(
    [store(config), store(config), store(config)],
    (n) => Math.floor(rng() * n),
    size
  )
  await made.settle()
  return made
}

/** Walks over a few owners at once. */
async function walks(
  seed: number,
  size: number,
  walk: (some: Owner) => Promise<void>
): Promise<void> {
  const lane = async (_: unknown, i: number): Promise<void> => {
    const some = await owner(seed + i, size)
    for (let n = 0; n < WALKS / AT_ONCE; n++) {
      await walk(some)
      await some.settle()
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
}

test('each yields every token that lives through the walk once, whatever happens', async () => {
  let disturbed = 0
  // Two pages.
  await walks(51, 130, async (some) => {
    const before = [...some.alive.keys()]
    const gone = new Set(some.ended)
    const yielded: string[] = []
    for await (const { id } of some.stores[0]!.each(owner_id)) {
      yielded.push(id)
      if (some.below(8) === 0 && ++disturbed) some.disturb()
    }
    const lived = before.filter((id) => some.alive.has(id))
    const unique = new Set(yielded)
    expect(yielded).toHaveLength(unique.size)
    expect(lived.filter((id) => !unique.has(id))).toEqual([])
    expect(yielded.filter((id) => gone.has(id))).toEqual([])
  })
  expect(disturbed).toBeGreaterThan(10 * WALKS)
})

test('pages of any size miss no token that lives through the walk', async () => {
  let pages = 0
  let again = 0
  await walks(61, 25, async (some) => {
    const before = [...some.alive.keys()]
    const found: string[] = []
    const limit = 1 + some.below(8)
    let cursor: string | null = null
    do {
      for (let n = some.below(4); n > 0; n--) some.disturb()
      const page: Page<Token> = await some.stores[some.below(3)]!.list(owner_id, { limit, cursor })
      expect(page.tokens.length).toBeLessThanOrEqual(limit)
      found.push(...page.tokens.map(({ id }) => id))
      cursor = page.cursor
      pages++
    } while (cursor !== null)
    expect(before.filter((id) => some.alive.has(id) && !found.includes(id))).toEqual([])
    again += found.length - new Set(found).size
  })
  expect(pages).toBeGreaterThan(4 * WALKS)
  expect(again).toBeGreaterThan(0) // used meanwhile: a page may repeat what each does not
})

test('pages counted from the start would miss one', async () => {
  const prefix = freshPrefix()
  const redis = client({}, server.url)
  const tokens = store({ prefix, redis: server.url })
  for (let n = 0; n < 4; n++) await tokens.add({ owner_id })
  const first = await redis.zrange(`${prefix}:tokens:${owner_id}`, '0', '1')
  await tokens.del(first[0]!)
  const second = await redis.zrange(`${prefix}:tokens:${owner_id}`, '2', '3')
  const all = (await tokens.list(owner_id)).map(({ id }) => id)
  expect(all.filter((id) => ![...first, ...second].includes(id))).toHaveLength(1)
})
