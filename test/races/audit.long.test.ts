import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import {
  audit,
  client,
  closeAfterAll,
  freshPrefix,
  keyspace,
  project,
  random,
  store
} from '../support'
import { LIMIT, LIMITED, type Report } from './worker'

closeAfterAll()

const PROCESSES = 8
const SECONDS = 20
const OPERATIONS = 200_000
const KILLS = 6

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

test('8 processes for 20 s on the same tokens, some killed, leave nothing torn', async () => {
  const prefix = freshPrefix()
  const rng = random(22)
  const ended = new Set<string>()
  const faults: string[] = []
  const workers: { child: ChildProcess; started: Promise<void>; gone: Promise<unknown> }[] = []
  let operations = 0
  let kills = 0
  let running = true

  const start = (i: number): Promise<void> => {
    const args = [
      '--require',
      'tsx/cjs',
      join(__dirname, 'worker.ts'),
      server.url,
      prefix,
      String(1000 * kills + i)
    ]
    const child = spawn(process.execPath, args, {
      cwd: project,
      stdio: ['pipe', 'pipe', 'inherit']
    })
    const lines = createInterface(child.stdout)
    const started = new Promise<void>((resolve) => lines.once('line', () => resolve()))
    lines.on('line', (line) => {
      let report: Report
      try {
        report = JSON.parse(line) as Report
      } catch {
        return // cut short by a kill
      }
      operations += report.operations
      report.ended.forEach((id) => ended.add(id))
      faults.push(...report.faults)
    })
    child.once(
      'exit',
      (code) => (running ? code !== null : code) && faults.push(`worker ${i} ended with ${code}`)
    )
    workers[i] = { child, started, gone: Promise.all([once(child, 'exit'), once(lines, 'close')]) }
    return started
  }

  try {
    await Promise.all(Array.from({ length: PROCESSES }, (_, i) => start(i)))
    operations = 0
    const begun = Date.now()
    const seconds = (): number => (Date.now() - begun) / 1000
    // Longer only on a machine that is too slow or too busy.
    while (seconds() < SECONDS || operations < OPERATIONS || kills < KILLS) {
      await sleep(500 + rng() * 1000)
      const i = Math.floor(rng() * PROCESSES)
      await workers[i]!.started
      workers[i]!.child.kill('SIGKILL')
      await workers[i]!.gone
      kills++
      void start(i)
    }
    running = false
    const took = seconds().toFixed()
    for (const { child } of workers) child.stdin!.end()
    await Promise.all(workers.map(({ gone }) => gone))

    const redis = client({}, server.url)
    faults.push(...(await audit(redis, prefix)))
    const entries = Object.entries(await keyspace(redis, prefix))
    let records = 0
    for (const [name, { value }] of entries) {
      const [, family, rest] = /^(key|id):(.*)$/.exec(name.slice(prefix.length + 1)) ?? []
      const record = family === 'key' ? /^\{"id":"([^"]+)"/.exec(value as string)?.[1] : undefined
      if (record) records++
      if (ended.has(record ?? '') || (family === 'id' && ended.has(rest!)))
        faults.push(`${name}: its end was answered`)
    }
    const tokens = store({ redis: server.url, prefix })
    for (let n = 0; n < LIMITED; n++) {
      const count = await tokens.count(`user-${n}`)
      if (count > LIMIT) faults.push(`user-${n} has ${count} tokens`)
    }
    console.log(
      `${operations} operations by ${PROCESSES} processes in ${took} s, ${kills} kills, ` +
        `${ended.size} ends answered, ${records} records left, ${faults.length} faults`
    )
    expect(faults.slice(0, 20)).toEqual([])
    expect(records).toBeGreaterThan(0)
  } finally {
    running = false
    for (const { child } of workers) child.kill('SIGKILL')
  }
})
