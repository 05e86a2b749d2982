import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { Tokenstore } from '../../src/main'
import type { Config } from '../../src/types'
import { freshPrefix } from '../support'

const closers: (() => unknown)[] = []

/** Closes all of the below after each test, the last first. */
export function closeAfterEach(): void {
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
  })
}

/** What is to be done after the test. */
export function later(close: () => unknown): void {
  closers.push(close)
}

/** A store that gives up soon. */
export function open(config: Config): Tokenstore {
  const tokens = Tokenstore({ prefix: freshPrefix(), timeout: 300, ...config })
  later(() => tokens.quit())
  return tokens
}

/** A Redis of the test's own. */
export async function server(...args: string[]): Promise<RedisServer> {
  const started = await startRedis(args)
  later(() => started.stop())
  return started
}

/** A client of the test's own. */
export function own(port: number, options: object = {}): Redis {
  const redis = new Redis({
    host: '127.0.0.1',
    port,
    retryStrategy: () => 20,
    disconnectTimeout: 100,
    ...options
  })
  redis.on('error', () => {})
  later(() => redis.disconnect())
  return redis
}

/** An address that leads to a Redis; `pass` says when what was sent goes on, and in what parts. */
export async function proxy(
  port: number,
  pass: (data: Buffer, forward: (data: Buffer) => void, connection: number) => unknown
): Promise<number> {
  const sockets: Socket[] = []
  let connections = 0
  const listening = createServer((socket) => {
    const redis = connect(port, '127.0.0.1')
    const connection = ++connections
    for (const end of [socket, redis]) sockets.push(end.on('error', () => {}))
    let before: Promise<unknown> = Promise.resolve()
    socket.on('data', (data) => {
      before = before.then(() => pass(data, (part) => redis.write(part), connection))
    })
    redis.pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(listening, 'listening')
  later(() => {
    for (const socket of sockets) socket.destroy()
    listening.close()
  })
  return (listening.address() as AddressInfo).port
}
