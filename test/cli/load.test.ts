import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cluster, Redis } from 'ioredis'
import {
  startCluster,
  startTls,
  type RedisCluster,
  type TlsServer
} from '../../scripts/redis-cluster'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { parseHeader, usage } from '../../src/cli/header'
import { scripts } from '../../src/scripts'
import { client, closeAfterAll, notRun, project } from '../support'
import { commandOf, run, type Result } from '../support/programs'
import { conversations, converse } from '../languages/vectors'
import { cli } from './cli'

const rows = Object.entries(scripts).map(([name, { sha1, lua }]) => ({
  name,
  sha1,
  arguments: usage(parseHeader(lua))
}))
const table = rows.map((row) => `${row.name.padEnd(10)}${row.sha1}  ${row.arguments}\n`).join('')
const shas = rows.map(({ sha1 }) => sha1)
const loaded = async (redis: Redis): Promise<number> =>
  ((await redis.script('EXISTS', ...shas)) as number[]).filter(Boolean).length

let server: RedisServer
let redis: Redis
beforeAll(async () => {
  server = await startRedis()
  redis = client({}, server.url)
  await redis.call('ACL', ['SETUSER', 'loader', 'on', '>p w', '-@all', '+script|load'])
  await redis.call('ACL', ['SETUSER', 'nobody', 'on', '>p w', '-@all', '+ping'])
})
closeAfterAll()
afterAll(() => server.stop())
beforeEach(() => redis.script('FLUSH'))

const load = (...args: string[]): Promise<Result> =>
  run('scripts/load', args, { REDISCLI_AUTH: undefined })
const npx = (...args: string[]): Promise<Result> => cli(['load', ...args])

const redisCli = commandOf('redis-cli') !== undefined
const programs: [string, typeof load][] = [['tokenstore load', npx]]
if (redisCli) programs.push(['scripts/load', load])

describe.each(programs)('%s', (_name, command) => {
  const port = (): string[] => ['-p', String(server.port)]
  const fails = async (args: string[], ...messages: (string | RegExp)[]): Promise<void> => {
    const { code, stdout, stderr } = await command(...args)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    for (const message of messages) expect(stderr).toMatch(message)
    // After a failed AUTH redis-cli goes on as the default user, which is
    // noticed after the first script.
    expect(await loaded(redis)).toBeLessThanOrEqual(1)
  }

  test('loads every script and prints name, SHA1 and arguments', async () => {
    expect(await command('-h', '127.0.0.1', ...port())).toEqual({
      code: 0,
      stdout: table,
      stderr: ''
    })
    expect(await loaded(redis)).toBe(rows.length)
  })

  test('prints the same as JSON', async () => {
    const { code, stdout, stderr } = await command(...port(), '--json')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toEqual(rows)
    expect(await loaded(redis)).toBe(rows.length)
  })

  test('as a user', async () => {
    expect(await command(...port(), '--user', 'loader', '-a', 'p w')).toEqual({
      code: 0,
      stdout: table,
      stderr: ''
    })
    expect(await loaded(redis)).toBe(rows.length)
  })

  test('fails without a server', () => fails(['-p', '1'], /ECONNREFUSED|Connection refused/))
  test('fails with a wrong password, although the default user needs none', () =>
    fails([...port(), '--user', 'loader', '-a', 'wrong'], 'WRONGPASS'))
  test('fails with an error reply', () =>
    fails([...port(), '--user', 'nobody', '-a', 'p w'], 'NOPERM'))
  test('fails with a database that is not there', () =>
    fails([...port(), '-n', '99'], 'DB index is out of range'))
  test.each(['', '--tls', '--json', '-a x'])(
    'fails with a word that is no option, after: %s',
    (options) =>
      fails(
        [...port(), ...options.split(' ').filter(Boolean), 'FLUSHALL'],
        /argument: FLUSHALL|tokenstore: load or/
      )
  )
  test('fails on a cluster that is none', () =>
    fails(['-c', ...port()], 'cluster support disabled'))
})

test('tokenstore load touches nothing when it cannot have its database', async () => {
  for (const db of ['99', 'abc']) {
    expect(await npx('-p', String(server.port), '-n', db)).toMatchObject({
      code: 1,
      stdout: ''
    })
    expect((await npx('--url', `${server.url}/${db}`)).code).toBe(1)
    expect(await loaded(redis)).toBe(0)
  }
  expect((await npx('-p', String(server.port), '-n', '3')).code).toBe(0)
})

test('tokenstore load through a Unix socket', async () => {
  const { dir, stop } = await startRedis(['--unixsocket', 'redis.sock'])
  try {
    expect(await npx('-s', join(dir, 'redis.sock'))).toEqual({
      code: 0,
      stdout: table,
      stderr: ''
    })
  } finally {
    await stop()
  }
})

test('scripts/load says so when there is no redis-cli', async () => {
  const missing = await run('scripts/load', [], {
    REDIS_CLI: 'redis-cli-that-is-not-there'
  })
  expect(missing).toEqual({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('is not installed')
  })
})

test('scripts/load runs from any folder, and fails when a script is not that of SHA1SUMS', async () => {
  if (!redisCli) return
  const dir = mkdtempSync(join(tmpdir(), 'tokenstore-load-'))
  try {
    mkdirSync(join(dir, 'scripts'))
    copyFileSync(join(project, 'scripts', 'load'), join(dir, 'scripts', 'load'))
    cpSync(join(project, 'lua'), join(dir, 'lua'), { recursive: true })
    const there = (): Promise<Result> =>
      run('sh', ['-c', 'cd "$1/scripts" && sh load -p "$2"', 'sh', dir, String(server.port)])
    expect(await there()).toEqual({ code: 0, stdout: table, stderr: '' })
    writeFileSync(
      join(dir, 'lua', 'del.lua'),
      `${readFileSync(join(dir, 'lua', 'del.lua'), 'utf8')}\n`
    )
    expect(await there()).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('del.lua: SCRIPT LOAD must')
    })
    rmSync(join(dir, 'lua', 'del.lua'))
    expect(await there()).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('del.lua')
    })
    rmSync(join(dir, 'lua'), { recursive: true })
    expect(await there()).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('SHA1SUMS is missing')
    })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

test('tokenstore without a command, and with one that it does not have', async () => {
  for (const args of [[], ['unload'], ['--nothing']]) {
    expect(await cli(args)).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('Usage: tokenstore load')
    })
  }
  expect((await cli(['--help'])).stdout).toMatch(/^Usage: tokenstore load/)
  expect((await run('scripts/load', ['--help'])).stdout).toMatch(/^Usage: scripts\/load/)
})

describe('behind TLS', () => {
  let tls: TlsServer | undefined
  beforeAll(async () => {
    tls = await startTls().catch((error: Error) => {
      if (!/openssl ENOENT|Bad directive/.test(error.message)) throw error
      return notRun(
        `TLS, for which openssl and a server that was built with it are needed: ${error.message}`
      )
    })
  })
  afterAll(() => tls?.stop())

  test.each(programs)('%s', async (_name, command) => {
    if (!tls) return
    const ca = join(tls.node.dir, 'ca.crt')
    writeFileSync(ca, tls.ca)
    await tls.node.redis.script('FLUSH')
    const at = ['-h', 'localhost', '-p', String(tls.port), '--tls']
    expect((await command(...at)).code).toBe(1) // a CA that nobody knows
    expect(await loaded(tls.node.redis)).toBe(0)
    expect(await command(...at, '--cacert', ca)).toEqual({
      code: 0,
      stdout: table,
      stderr: ''
    })
    expect(await loaded(tls.node.redis)).toBe(rows.length)

    // By the address, under the name in its certificate, to a server that wants
    // to see one.
    const { redis } = tls.node
    const file = async (what: string): Promise<string> =>
      (await redis.config('GET', `tls-${what}-file`))[1]!
    await tls.node.redis.config('SET', 'tls-auth-clients', 'yes')
    const by = ['-p', String(tls.port), '--tls', '--cacert', ca, '--sni', 'localhost']
    expect((await command(...by)).code).toBe(1)
    const own = ['--cert', await file('cert'), '--key', await file('key')]
    expect(await command(...by, ...own)).toEqual({
      code: 0,
      stdout: table,
      stderr: ''
    })
    await tls.node.redis.config('SET', 'tls-auth-clients', 'no')
  })

  test('tokenstore load wants a certificate for the name of --sni, which is there', async () => {
    if (!tls) return
    const at = [
      '-p',
      String(tls.port),
      '--tls',
      '--cacert',
      join(tls.node.dir, 'ca.crt'),
      '--sni',
      'elsewhere'
    ]
    expect(await npx(...at)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('elsewhere')
    })
    expect(await npx('-p', '1', '--tls', '--cert', 'no-such-file')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^tokenstore: .*no-such-file/)
    })
  })
})

describe('on a cluster', () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startCluster()
  })
  afterAll(() => cluster.stop())

  test.each(programs)('%s loads into every master', async (_name, command) => {
    const masters = await cluster.masters()
    for (const node of masters) await node.redis.script('FLUSH')
    const { code, stdout, stderr } = await command('-c', '-p', String(cluster.nodes[5]!.port))
    expect({ code, stdout }).toEqual({ code: 0, stdout: table })
    const lines = masters.map(({ port }) => `loaded into 127.0.0.1:${port}`)
    expect(stderr.trim().split('\n').sort()).toEqual(lines.sort())
    for (const node of masters) expect(await loaded(node.redis)).toBe(rows.length)
    expect(await command('-c', '-p', String(cluster.nodes[5]!.port), '-n', '1')).toMatchObject({
      code: 1,
      stdout: '',
      // Valkey 9 has databases in a cluster, but one only unless configured.
      stderr: expect.stringMatching(
        /SELECT is not allowed in cluster mode|DB index is out of range/
      )
    })
  })

  test('every conversation, each in a slot of its own', async () => {
    const ioredis = new Cluster(cluster.startup)
    try {
      for (const [i, { steps }] of conversations.entries())
        await converse(ioredis, `v{${i}}`, steps)
    } finally {
      ioredis.disconnect()
    }
  })
})
