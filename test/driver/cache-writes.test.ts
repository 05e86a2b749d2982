import { setTimeout as sleep } from 'node:timers/promises'
import { v7 as uuid } from 'uuid'
import { startMaster, startReplica, type Node } from '../../scripts/redis-cluster'
import { ReuseError, UnavailableError, type Tokenstore } from '../../src/main'
import type { Config, Token } from '../../src/types'
import { freshPrefix, until } from '../support'
import { Counts, Gate, useServer, wayTo, withCache } from './cached'
import { closeAfterEach, open, own } from './opened'

const { url, port, counts } = useServer()
closeAfterEach()

// A longer run than every change needs, a thousand writes of each: CACHE_BATCHES=50.
const BATCHES = Number(process.env.CACHE_BATCHES ?? 2)
const BATCH = 20
// By so much later than here Redis tells what was written.
const LATE_MS = 5

interface Stores {
  /** Hears late what changes, so that only what it knows itself keeps it from old answers. */
  tokens: Tokenstore
  /** Another process, on the same data. */
  plain: Tokenstore
}

async function late(to: number, config: Config = {}): Promise<Stores> {
  const through = await wayTo(to, {
    answer: (_data, { tracks }) => (tracks ? sleep(LATE_MS) : undefined)
  })
  const prefix = freshPrefix()
  return {
    tokens: withCache({ prefix, redis: { port: through }, ...config }),
    plain: open({ prefix, redis: { port: to }, timeout: 10_000 })
  }
}

interface Write {
  /** Before the token is read: another key of it, or the like. */
  prepare?(stores: Stores, token: Token): Promise<{ key: string } | null>
  write(stores: Stores, token: Token, old: string): Promise<unknown>
  /** What its key is answered from then on. Null unless said otherwise. */
  becomes?: object
}

const NEW = { attrs: { n: 1 } }
const other = (id: string): string => `other-${id}`

// Of a token with its id for owner, and attrs { n: 0 }.
const writes: Record<string, Write> = {
  set: { write: ({ tokens }, { id }) => tokens.set(id, { n: 1 }), becomes: NEW },
  update: { write: ({ tokens }, { id }) => tokens.update(id, () => ({ n: 1 })), becomes: NEW },
  'change of attrs': {
    write: ({ tokens }, { id }) => tokens.change(id, { attrs: { n: 1 } }),
    becomes: NEW
  },
  'change of its owner': {
    write: ({ tokens }, { id }) => tokens.change(id, { owner_id: 'bo' }),
    becomes: { owner_id: 'bo' }
  },
  'change of its end': {
    write: ({ tokens }, { id }) => tokens.change(id, { ttl: 50 }),
    becomes: { expires_at: expect.any(Number) as number }
  },
  rotate: { write: ({ tokens }, { id }) => tokens.rotate(id) },
  refresh: { write: ({ tokens }, { key }) => tokens.refresh(key, { grace: null }) },
  del: { write: ({ tokens }, { id }) => tokens.del(id) },
  delKey: { write: ({ tokens }, { key }) => tokens.delKey(key) },
  'delKey by an old key': {
    prepare: ({ plain }, { id }) => plain.rotate(id, { grace: 100 }),
    write: ({ tokens }, _token, old) => tokens.delKey(old)
  },
  'refresh by an old key, which is reuse': {
    prepare: ({ plain }, { key }) => plain.refresh(key, { grace: null }),
    write: ({ tokens }, _token, old) =>
      tokens.refresh(old).catch((error: Error) => {
        if (!(error instanceof ReuseError)) throw error
      })
  },
  delOwner: { write: ({ tokens }, { id }) => tokens.delOwner(id) },
  'delOwner of an owner to whom another process gave it': {
    write: async ({ tokens, plain }, { id }) => {
      await plain.change(id, { owner_id: other(id) })
      await tokens.delOwner(other(id))
    }
  },
  'add that evicts it': {
    write: ({ tokens }, { id }) => tokens.add({ owner_id: id, limit: 1, onLimit: 'evict' })
  },
  'change that evicts it': {
    write: async ({ tokens, plain }, { id }) => {
      const { id: moved } = await plain.add({ owner_id: other(id) })
      await tokens.change(moved, { owner_id: id, limit: 1, onLimit: 'evict' })
    }
  }
}

/** Issues tokens and reads them until they are answered from memory. */
async function kept(
  stores: Stores,
  redis: Counts,
  { prepare }: Write,
  n = BATCH
): Promise<[token: Token, old: string][]> {
  const { tokens, plain } = stores
  const all = await Promise.all(
    Array.from({ length: n }, async (): Promise<[Token, string]> => {
      const id = uuid()
      const token = await plain.add({ owner_id: id, id, attrs: { n: 0 } })
      const newest = await prepare?.(stores, token)
      return [{ ...token, ...(newest ? { key: newest.key } : {}) }, token.key]
    })
  )
  const read = (): Promise<unknown> => Promise.all(all.map(([{ key }]) => tokens.getKey(key)))
  await until(async () => (await redis.scriptsOf(read)) === 0)
  return all
}

/** Goes on asking until it is told to stop. */
function reading(tokens: Tokenstore, keys: string[]): () => Promise<void> {
  let on = true
  const read = async (): Promise<void> => {
    for (; on; await new Promise((resolve) => setImmediate(resolve)))
      await Promise.all(keys.map((key) => tokens.getKey(key)))
  }
  const done = read()
  return () => {
    on = false
    return done
  }
}

/** Writes again and again, and expects no answer of before once a write is answered. */
async function rounds(stores: Stores, redis: Counts, write: Write, batches: number): Promise<void> {
  const { tokens, plain } = stores
  const { becomes } = write
  const expectNew = async (key: string): Promise<void> => {
    const found = await tokens.getKey(key)
    if (becomes) expect(found).toMatchObject(becomes)
    else expect(found).toBeNull()
  }
  for (let batch = 0; batch < batches; batch++) {
    const all = await kept(stores, redis, write)
    const stop = reading(
      tokens,
      all.map(([{ key }]) => key)
    )
    await Promise.all(
      all.map(async ([token, old]) => {
        await write.write(stores, token, old)
        for (let i = 0; i < 3; i++) await expectNew(token.key)
      })
    )
    await stop()
    for (const [{ key }] of all) await expectNew(key)
    await plain.reset()
  }
}

describe('once it is answered, nothing of before is:', () => {
  test.each(Object.entries(writes))('%s', async (_name, write) => {
    await rounds(await late(port()), counts(), write, BATCHES)
  })

  test('reset', async () => {
    const { tokens, plain } = await late(port())
    for (let batch = 0; batch < BATCHES; batch++) {
      const all = await kept({ tokens, plain }, counts(), writes.del!)
      const stop = reading(
        tokens,
        all.map(([{ key }]) => key)
      )
      expect(await tokens.reset()).toBe(BATCH)
      const found = all.map(([{ key }]) => tokens.getKey(key))
      expect(await Promise.all(found)).toEqual(all.map(() => null))
      await stop()
    }
  })
})

test('nothing is answered that is older than what fresh has shown', async () => {
  const stores = await late(port())
  const { tokens, plain } = stores
  for (const [{ id, key }] of await kept(stores, counts(), writes.set!)) {
    const shown = async (expected: object | null): Promise<void> => {
      for (const fresh of [true, false, false, true, false]) {
        const found = await tokens.getKey(key, { fresh })
        expect(found && found.attrs).toEqual(expected)
      }
    }
    await plain.set(id, { n: 1 })
    await shown({ n: 1 })
    await counts().warm(tokens, key)
    await plain.del(id)
    await shown(null)
  }
})

describe('with replicas', () => {
  let [master, replica]: Node[] = []
  beforeAll(async () => {
    master = await startMaster()
    replica = await startReplica(master.port)
  })
  afterAll(() => Promise.all([replica, master].map((node) => node!.stop())))

  test.each(Object.entries(writes))('%s', async (_name, write) => {
    const stores = await late(master!.port, { replicas: 1 })
    await rounds(stores, new Counts(master!.redis), write, Math.ceil(BATCHES / 5))
  })
})

describe('a write that rejects', () => {
  const expectNew = async (tokens: Tokenstore, { key }: Token, write: Write): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      const found = await tokens.getKey(key)
      if (write.becomes) expect(found).toMatchObject(write.becomes)
      else expect(found).toBeNull()
    }
  }

  test.each(Object.entries(writes))('since no replica has it: %s', async (_name, write) => {
    const stores = await late(port(), { replicas: 1, timeout: 150 })
    const [[token, old]] = (await kept(stores, counts(), write, 1)) as [[Token, string]]
    await expect(write.write(stores, token, old)).rejects.toMatchObject({
      // The whole of its time may be over as well.
      code: expect.stringMatching(/^TS(REPLICATION|UNAVAILABLE)$/) as string
    })
    await expectNew(stores.tokens, token, write)
  })

  // The first that update sends is no write.
  const sent = Object.entries(writes).filter(([name]) => name !== 'update')
  test.each(sent)('since its answer is late: %s', async (_name, write) => {
    const [answers, told] = [new Gate(), new Gate()]
    const through = await wayTo(port(), {
      answer: (_data, { tracks }) => (tracks ? told : answers).passed()
    })
    const prefix = freshPrefix()
    const stores = {
      // A connection that the store opened would be given up.
      tokens: withCache({ prefix, redis: own(through), timeout: 150 }),
      plain: open({ prefix, redis: url(), timeout: 10_000 })
    }
    const [[token, old]] = (await kept(stores, counts(), write, 1)) as [[Token, string]]
    told.hold()
    answers.hold()
    await expect(write.write(stores, token, old)).rejects.toThrow(UnavailableError)
    answers.release()
    await expectNew(stores.tokens, token, write)
    told.release()
  })
})

describe('what another process does is seen once it is told:', () => {
  const elsewhere = Object.entries(writes).map(([name, write]): [string, Write] => [
    name,
    {
      ...write,
      write: (stores, ...args) => write.write({ ...stores, tokens: stores.plain }, ...args)
    }
  ])
  const byHand: Record<string, (name: (family: string, rest: string) => string) => Write> = {
    'DEL of the key': (name) => ({
      write: (_stores, { key }) => counts().redis.del(name('key', key))
    }),
    'DEL of the id, of a token that ends': (name) => ({
      prepare: ({ plain }, { id }) => plain.change(id, { ttl: 100 }),
      write: (_stores, { id }) => counts().redis.del(name('id', id))
    }),
    'UNLINK by a pattern': (name) => ({
      write: async () => {
        const { redis } = counts()
        for (const found of await redis.keys(name('*', '*'))) await redis.unlink(found)
      }
    }),
    FLUSHDB: () => ({ write: () => counts().redis.flushdb() }),
    FLUSHALL: () => ({ write: () => counts().redis.flushall('ASYNC') })
  }
  const seen = async (write: Write, prefix = freshPrefix()): Promise<void> => {
    const config = { prefix, redis: url(), timeout: 10_000 }
    const stores = { tokens: withCache(config), plain: open(config) }
    for (const [token, old] of await kept(stores, counts(), write)) {
      await write.write(stores, token, old)
      await until(async () => {
        const found = await stores.tokens.getKey(token.key)
        if (!write.becomes) return found === null
        return JSON.stringify(found) !== JSON.stringify(token)
      })
    }
  }
  test.each(elsewhere)('%s', (_name, write) => seen(write))
  test.each(Object.entries(byHand))('%s', async (_name, write) => {
    const prefix = freshPrefix()
    await seen(
      write((family, rest) => `${prefix}:${family}:${rest}`),
      prefix
    )
  })
})
