import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { commandOf, run } from '../support/programs'
import { client, closeAfterAll, keyspace } from '../support'
import { block } from './page'

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
closeAfterAll()
afterAll(() => server.stop())

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

test('the session with redis-cli goes as printed', async () => {
  if (!commandOf('redis-cli')) return
  const session = block('session')
  const commands = session.split('\n').filter((line) => line.startsWith('$ '))
  expect(commands.length).toBeGreaterThan(6)
  const dir = mkdtempSync(join(tmpdir(), 'tokenstore-session-'))
  try {
    // A redis-cli that finds the tests' server where a reader has one of his
    // own, and prints as it does on a terminal.
    const found = await run('sh', ['-c', 'command -v redis-cli'])
    const here = `exec "${found.stdout.trim()}" -p ${server.port} "$@"`
    writeFileSync(join(dir, 'redis-cli'), `#!/bin/sh\n${here}\n`)
    chmodSync(join(dir, 'redis-cli'), 0o755)
    const shell = commands.map((line) => `echo ${quoted(line)}\n${line.slice(2)}\n`)
    const env = {
      PATH: `${dir}${delimiter}${process.env.PATH}`,
      FAKETTY: '1'
    }
    const printed = await run('sh', ['-c', shell.join('')], env)
    expect(printed).toEqual({ code: 0, stdout: session, stderr: '' })
  } finally {
    rmSync(dir, { recursive: true })
  }
  const left = Object.keys(await keyspace(client({}, server.url), 'token:'))
  expect(left).toEqual(['token:code:login:ann', 'token:latest:reset:ann'])
})
