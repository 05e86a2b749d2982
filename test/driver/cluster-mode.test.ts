import { UnavailableError, type Tokenstore } from '../../src/main'
import type { Config } from '../../src/types'
import { until, within } from '../support'
import { closeAfterEach, open, own, server } from './opened'

closeAfterEach()

// A plain connection to a node of a cluster: only a `Cluster` would find the others.

const timeout = 20_000

async function node(...slots: [] | [first: number, last: number]): Promise<number> {
  const { port } = await server('--cluster-enabled', 'yes', '--cluster-require-full-coverage', 'no')
  if (slots.length > 0) {
    const redis = own(port)
    await redis.cluster('ADDSLOTSRANGE', ...slots)
    await until(async () => String(await redis.cluster('INFO')).includes('cluster_state:ok'))
  }
  return port
}

const calls = (tokens: Tokenstore): Record<string, () => Promise<unknown>> => ({
  add: () => tokens.add({ owner_id: 'ann' }),
  getKey: () => tokens.getKey('k'.repeat(24)),
  list: () => tokens.list('ann'),
  makeHash: () => tokens.makeHash(1),
  takeHash: () => tokens.takeHash('ABCDEFGH'),
  reset: () => tokens.reset()
})

async function allSay(tokens: Tokenstore, what: RegExp): Promise<void> {
  for (const [name, call] of Object.entries(calls(tokens))) {
    const error: unknown = await within(timeout / 2, call()).catch((error: unknown) => error)
    expect([name, error]).toEqual([name, expect.any(UnavailableError)])
    expect((error as Error).message).toMatch(what)
    expect((error as Error).message).toMatch(/cluster mode: redis must be an ioredis Cluster/)
    expect((error as Error).message).not.toMatch(/may still happen/)
  }
}

/** A store with its own connection, and one with the caller's client. */
const both = (port: number, config: Config): Tokenstore[] =>
  [{ port }, own(port)].map((redis) => open({ ...config, redis, timeout }))

test('a node with all slots says at once what it refuses', async () => {
  const port = await node(0, 16383)
  for (const tokens of both(port, {})) {
    await allSay(tokens, /: Redis answered ERR .*non local key/)
  }
})

test('and serves a prefix with a hash tag', async () => {
  const port = await node(0, 16383)
  for (const tokens of both(port, { prefix: '{token}' })) {
    const token = await tokens.add({ owner_id: 'ann' })
    expect(await tokens.getKey(token.key)).toEqual(token)
    expect(await tokens.reset()).toBe(1)
  }
})

test('a node whose slots nobody assigned', async () => {
  const port = await node()
  for (const tokens of both(port, { prefix: '{token}' })) {
    await allSay(tokens, /: Redis answered CLUSTERDOWN /)
  }
})

test('a node with some of the slots of a partitioned store, whose walk would be half of one', async () => {
  const port = await node(0, 8191)
  for (const tokens of both(port, { partitioned: true })) {
    const error: unknown = await within(timeout / 2, tokens.reset()).catch(
      (error: unknown) => error
    )
    expect(error).toBeInstanceOf(UnavailableError)
  }
})

test('a node with other slots than those of the prefix', async () => {
  const port = await node(0, 100)
  for (const tokens of both(port, { prefix: '{token}' })) {
    await allSay(tokens, /: Redis answered (MOVED|CLUSTERDOWN) /)
  }
})
