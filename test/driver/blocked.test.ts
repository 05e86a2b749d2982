import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { project, until } from '../support'
import { closeAfterEach, later, open, own, server } from './opened'

closeAfterEach()

// A process that stands still: in a long turn of its loop, or stopped as a whole.

/** Holds up the loop, and leaves the processor to Redis. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** Holds it up once what was asked is in the socket. */
const blockSoon = (ms: number): void =>
  process.nextTick(() => process.nextTick(() => process.nextTick(block, ms)))

test('what arrived during a turn of the loop longer than the timeout counts', async () => {
  const { port } = await server()
  const tokens = open({ redis: { port } })
  const hashes = await Promise.all([1, 2, 3].map((n) => tokens.makeHash(n)))
  const taken = Promise.all(hashes.map((hash) => tokens.takeHash(hash)))
  blockSoon(700)
  expect(await taken).toEqual([1, 2, 3])
})

test('and of a confirmed write', async () => {
  const { port } = await server()
  const replica = await server('--replicaof', '127.0.0.1', String(port))
  const tokens = open({ redis: { port }, timeout: 1000 })
  const linked = async (): Promise<boolean> =>
    (await own(replica.port).info('replication')).includes('master_link_status:up')
  await until(linked)
  const hash = await tokens.makeHash(1)
  await until(() => tokens.add({ owner_id: 'ann', replicas: 1 }).then(Boolean, () => false))
  const taken = tokens.takeHash(hash, { replicas: 1 })
  blockSoon(2000)
  expect(await taken).toBe(1)
})

test('what was asked with it, and was not sent yet, is sent', async () => {
  const { port } = await server()
  const tokens = open({ redis: { port }, timeout: 2000 })
  const { id } = await tokens.add({ owner_id: 'ann' })
  const asked = Promise.all(Array.from({ length: 500 }, () => tokens.get(id)))
  blockSoon(2500)
  for (const answer of await asked) expect(answer).toMatchObject({ id })
})

test('a process that is slow itself does not hold its calls back', async () => {
  const { port } = await server()
  const tokens = open({ redis: { port }, timeout: 1000 })
  const { id } = await tokens.add({ owner_id: 'ann' })
  const asked: Promise<unknown>[] = []
  for (let turn = 0; turn < 20; turn++) {
    for (let n = 0; n < 20; n++) asked.push(tokens.get(id))
    block(300)
    await new Promise(setImmediate)
  }
  for (const answer of await Promise.all(asked)) expect(answer).toMatchObject({ id })
})

test('a connection that Redis closed meanwhile is not written to, even from where its last answer came', async () => {
  const { port } = await server('--timeout', '1')
  const tokens = open({ redis: { port }, timeout: 2000 })
  await tokens.add({ owner_id: 'ann', replicas: 1 }).catch(() => {})
  // Each goes on in the callback of the socket that brought the answer before it.
  block(2500)
  expect(await tokens.count('ann')).toBe(1)
  block(2500)
  // There is no replica; what counts is that it was sent.
  await expect(tokens.set('x', {}, { replicas: 1 })).rejects.toMatchObject({
    code: 'TSREPLICATION'
  })
})

// A server that keeps its connections alive, and answers with what Redis says.
const PROGRAM = `
  const { Tokenstore } = require(${JSON.stringify(join(project, 'src', 'index.ts'))})
  const tokens = Tokenstore({ redis: { port: Number(process.env.PORT) } })
  const server = require('node:http').createServer(async (_request, response) => {
    response.end(await tokens.count('ann').then(String, (error) => error.message))
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1', () => console.log(server.address().port))`

describe('a process that was frozen while Redis closed its connection', () => {
  test.each([
    ['after', false],
    ['before', true]
  ])('answers a request that came %s that', async (_when, early) => {
    const { port } = await server('--timeout', '1')
    const child = spawn(process.execPath, ['--require', 'tsx/cjs', '--eval', PROGRAM], {
      cwd: project,
      env: { ...process.env, PORT: String(port) },
      stdio: ['ignore', 'pipe', 'inherit']
    })
    later(() => child.kill('SIGKILL'))
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    later(() => agent.destroy())
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
    const ask = async (): Promise<string> => {
      const asked = request({ port: Number(line), host: '127.0.0.1', agent }).end()
      const [response] = (await once(asked, 'response')) as [AsyncIterable<Buffer>]
      const parts: Buffer[] = []
      for await (const part of response) parts.push(part)
      return Buffer.concat(parts).toString()
    }
    const connections = async (): Promise<number> => {
      const list = (await own(port).client('LIST')) as string
      return list
        .split('\n')
        .filter((line) => line.includes('cmd=evalsha') || line.includes('cmd=eval')).length
    }
    expect(await ask()).toBe('0')
    child.kill('SIGSTOP')
    const sooner = early ? ask() : undefined
    await until(async () => (await connections()) === 0)
    const answer = sooner ?? ask()
    child.kill('SIGCONT')
    expect(await answer).toBe('0')
  })
})
