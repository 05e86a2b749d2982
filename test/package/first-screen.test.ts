import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { findServer, startRedis } from '../../scripts/redis-server'
import { client, closeAfterAll, keyspace, redisUrl, project, until } from '../support'

closeAfterAll()

test('the demo shows the life of some tokens, on the server of REDIS_URL, and leaves nothing there', async () => {
  const args = ['--require', 'tsx/cjs', join('scripts', 'demo.ts')]
  // Rejects unless it ends by itself, with exit code 0.
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
    cwd: project,
    env: { ...process.env, REDIS_URL: redisUrl() }
  })
  expect(stderr).toBe('')
  const shown: unknown = stdout.split('\n\n').map((part) => part.trim().split(/\n +/))
  const id = '[\\da-f]{8}-[\\da-f]{4}-7[\\da-f]{3}-[\\da-f]{4}-[\\da-f]{12}'
  const parts: [string, ...string[]][] = [
    [
      'Ann logs in',
      `{"key":"[\\w-]{24}","id":"${id}","owner_id":"ann",` +
        '"attrs":{"device":"phone"},"expires_at":\\d{13},"used_at":\\d{13}}'
    ],
    ['A request comes', 'ann, on a phone'],
    [
      'Her device list',
      `{"id":"${id}","device":"phone","theme":"dark"}`,
      `{"id":"${id}","device":"laptop"}`
    ],
    ['She logs the laptop out', 'true'],
    ['A late request', 'null'],
    ['She forgot her password', 'https://example.com/reset\\?code=[\\w-]{8}'],
    ['A mail scanner', '{"user":"ann"}'],
    ['Ann uses it', '{"user":"ann"}', 'null'],
    ['A new password', '1'],
    [
      'All that is left in Redis',
      `tokenstore-demo:id:${id}  \\(string, expires in 1[78]\\d\\d s\\)`,
      'tokenstore-demo:key:<its key>  \\(string, expires in 1[78]\\d\\d s\\)',
      'tokenstore-demo:latest:reset:ann  \\(string, expires in [89]\\d\\d s\\)',
      'tokenstore-demo:tokens:ann  \\(zset, expires in 1[78]\\d\\d s\\)'
    ],
    ['reset() removes it', '1']
  ]
  expect(shown).toEqual(
    parts.map(([says, ...values]): unknown[] => [
      expect.stringContaining(says),
      ...values.map((value): unknown => expect.stringMatching(`^${value}$`))
    ])
  )
  expect(await keyspace(client(), 'tokenstore-demo')).toEqual({})
})

describe('a private Redis', () => {
  const named = process.env.REDIS_SERVER
  afterEach(() => {
    if (named === undefined) delete process.env.REDIS_SERVER
    else process.env.REDIS_SERVER = named
  })

  /** Runs a program that sees `startRedis`, in a process of its own. */
  const run = (program: string, env: NodeJS.ProcessEnv = {}): ChildProcess =>
    spawn(
      process.execPath,
      [
        '--require',
        'tsx/cjs',
        '--eval',
        `const { startRedis } = require('./scripts/redis-server.ts'); ${program}`
      ],
      {
        cwd: project,
        env: { ...process.env, ...env },
        stdio: ['ignore', 'pipe', 'pipe']
      }
    )

  const alive = (pid: number): boolean => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }

  test('ends, and its directory with it, when the process that started it is killed', async () => {
    const child = run(`
      startRedis().then(({ pid, dir }) => console.log(JSON.stringify({ pid, dir })))
      setInterval(() => {}, 1000)`)
    const [line] = (await once(child.stdout!, 'data')) as [Buffer]
    const { pid, dir } = JSON.parse(line.toString()) as {
      pid: number
      dir: string
    }
    expect([alive(pid), existsSync(dir)]).toEqual([true, true])
    child.kill('SIGKILL')
    await until(() => !alive(pid) && !existsSync(dir))
  })

  test('that cannot start says why, within seconds, and leaves nothing', async () => {
    const tmp = mkdtempSync(join(tmpdir(), 'tokenstore-none-'))
    const child = run(
      `const begun = Date.now()
      startRedis(['--no-such-directive', 'yes'])
        .catch((error) => console.log(error.message, Date.now() - begun))`,
      { TMPDIR: tmp }
    )
    expect(await text(child.stdout!)).toMatch(/does not start:.*no-such-directive.* \d{1,4}\n$/s)
    expect(readdirSync(tmp).filter((name) => name.startsWith('tokenstore-'))).toEqual([])
    rmSync(tmp, { recursive: true })
  })

  test('whose port is in use says so', async () => {
    const { port, stop } = await startRedis()
    try {
      await expect(startRedis([], { port })).rejects.toThrow(
        /does not start:.*Address already in use/s
      )
    } finally {
      await stop()
    }
  })

  test('whose binary is none', async () => {
    process.env.REDIS_SERVER = '/nonexistent'
    await expect(findServer()).rejects.toThrow(
      new Error('REDIS_SERVER names /nonexistent, which does not exist')
    )
    process.env.REDIS_SERVER = join(project, 'README.md')
    await expect(startRedis()).rejects.toThrow(/README\.md does not start:.*README\.md/s)
  })
})
