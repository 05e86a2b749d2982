import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import type { Tokenstore } from '../../src/main'
import type { Config } from '../../src/types'
import { until } from '../support'
import { later, open } from './opened'

// Far longer than a machine stands still, for tests that are not about it.
const SILENCE = 20_000

/** A store that answers from memory. */
export const withCache = (config: Config): Tokenstore =>
  open({ cache: { silence: SILENCE }, timeout: 10_000, ...config })

/** What is known of a Redis from its own counts. */
export class Counts {
  constructor(readonly redis: Redis) {}

  /** How often each command was called. */
  async calls(): Promise<Record<string, number>> {
    const lines = (await this.redis.info('commandstats')).matchAll(/^cmdstat_(\S+):calls=(\d+)/gm)
    return Object.fromEntries([...lines].map(([, command, calls]) => [command!, Number(calls)]))
  }

  async scripts(): Promise<number> {
    const { evalsha = 0, eval: evals = 0 } = await this.calls()
    return evalsha + evals
  }

  /** How many scripts some work runs. */
  async scriptsOf(work: () => Promise<unknown>): Promise<number> {
    const before = await this.scripts()
    await work()
    return (await this.scripts()) - before
  }

  /** Whether a key is answered from memory. */
  async fromMemory(tokens: Tokenstore, key: string): Promise<boolean> {
    return (await this.scriptsOf(() => tokens.getKey(key, { touch: false }))) === 0
  }

  /** Asks for keys until they are answered from memory. */
  async warm(tokens: Tokenstore, ...keys: string[]): Promise<void> {
    for (const key of keys) await until(() => this.fromMemory(tokens, key))
  }

  /** The connections that are told what changes. */
  async trackers(): Promise<string[]> {
    const list = (await this.redis.client('LIST')) as string
    return [...list.matchAll(/^id=(\d+) .* flags=\w*t/gm)].map(([, id]) => id!)
  }
}

/** A Redis for the tests of a file. */
export function useServer(): { url(): string; port(): number; counts(): Counts } {
  let server: RedisServer
  let redis: Redis
  beforeAll(async () => {
    server = await startRedis()
    redis = new Redis(server.url)
  })
  afterAll(async () => {
    redis.disconnect()
    await server.stop()
  })
  return { url: () => server.url, port: () => server.port, counts: () => new Counts(redis) }
}

export interface Passing {
  /** Whether it is the connection that is told what changes. */
  tracks: boolean
  near: Socket
}

export interface Way {
  /** What is sent; false for what does not go on. */
  ask?(data: Buffer, passing: Passing): boolean | void
  /** What is answered goes on after this. */
  answer?(data: Buffer, passing: Passing): Promise<unknown> | void
}

/** An address that leads to a Redis. */
export async function wayTo(port: number, { ask, answer }: Way): Promise<number> {
  const sockets: Socket[] = []
  const listening = createServer((near) => {
    const redis = connect(port, '127.0.0.1')
    const passing = { tracks: false, near }
    for (const end of [near, redis]) {
      sockets.push(end.on('error', () => {}))
      end.on('close', () => [near, redis].forEach((socket) => socket.destroy()))
    }
    near.on('data', (data) => {
      passing.tracks ||= data.includes('TRACKING')
      if (ask?.(data, passing) !== false) redis.write(data)
    })
    let before: Promise<unknown> = Promise.resolve()
    redis.on('data', (data) => {
      before = before.then(() => answer?.(data, passing)).then(() => near.write(data))
    })
  }).listen(0, '127.0.0.1')
  await once(listening, 'listening')
  later(() => {
    for (const socket of sockets) socket.destroy()
    listening.close()
  })
  return (listening.address() as AddressInfo).port
}

/** What can be held back, and goes on when it is let go. */
export class Gate {
  #open = Promise.resolve()
  #release = (): void => {}

  hold(): void {
    this.#open = new Promise((resolve) => (this.#release = resolve))
  }

  release(): void {
    this.#release()
  }

  passed(): Promise<void> {
    return this.#open
  }
}
