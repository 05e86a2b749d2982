import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Redis } from 'ioredis'
import { startRedis, type RedisServer } from '../../scripts/redis-server'
import { parseHeader, usage } from '../../src/cli/header'
import { errorOf } from '../../src/errors'
import { Tokenstore } from '../../src/main'
import { scripts } from '../../src/scripts'
import { ATTRS } from '../scripts/cases'
import { audit, client, closeAfterAll, keyspace, root } from '../support'
import { commandOf, readmeBlock, run } from './programs'

let server: RedisServer
let redis: Redis
let dir: string
beforeAll(async () => {
  server = await startRedis()
  redis = client({}, server.url)
  dir = mkdtempSync(join(tmpdir(), 'tokenstore-readme-'))
})
closeAfterAll()
afterAll(async () => {
  rmSync(dir, { recursive: true, force: true })
  await server.stop()
})

test('the session with redis-cli goes as printed', async () => {
  if (!commandOf('redis-cli')) return
  const session = readmeBlock('session')
  const commands = session.split('\n').filter((line) => line.startsWith('$ '))
  expect(commands.length).toBeGreaterThan(6)
  // A redis-cli that finds the tests' server where a reader has one of his own, and prints as it does on a terminal.
  const real = (await run('sh', ['-c', 'command -v redis-cli'])).stdout.trim()
  writeFileSync(join(dir, 'redis-cli'), `#!/bin/sh\nexec "${real}" -p ${server.port} "$@"\n`)
  chmodSync(join(dir, 'redis-cli'), 0o755)
  const shell = commands.map((line) => `echo ${quoted(line)}\n${line.slice(2)}\n`).join('')
  const env = { PATH: `${dir}${delimiter}${process.env.PATH}`, FAKETTY: '1' }
  expect(await run('sh', ['-c', shell], env)).toEqual({ code: 0, stdout: session, stderr: '' })
  expect(Object.keys(await keyspace(redis, 'token:'))).toEqual(['token:latest:reset:ann'])
})

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

describe('the program in Python', () => {
  interface Python {
    key: string
    id: string
    owner_id: string
    attrs: Record<string, unknown>
    expires_at: number | null
  }

  /** Runs the README's program and, after it, one of a test, which prints JSON. */
  async function python(command: string, program: string): Promise<unknown> {
    const there = `import functools, redis\nredis.Redis = functools.partial(redis.Redis, port=${server.port})\n`
    const { code, stdout, stderr } = await run(command, ['-c', `${there}${readmeBlock('python')}\n${program}`])
    if (code !== 0) throw new Error(stderr)
    return JSON.parse(stdout)
  }

  test('issues, validates, lists and revokes tokens that the driver sees, and sees those of the driver', async () => {
    const command = commandOf('Python')
    if (!command) return
    await redis.flushall()
    const tokens = Tokenstore({ redis: server.url, timeout: 10_000 })
    try {
      const [one, two, three] = (await python(
        command,
        'print(json.dumps([add("ann", {"n": 1}), add("ann", {"n": 2}, "TTL", 60000), add("ben", {})]))'
      )) as [Python, Python, Python]
      expect(one.key).toMatch(/^[\w-]{24}$/)
      expect(one.id).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
      const plain = ({ expires_at, ...token }: Python): object => (expires_at ? { ...token, expires_at } : token)
      expect(await tokens.getKey(one.key)).toEqual(plain(one))
      expect(await tokens.get(two.id)).toEqual(plain(two))
      // By id: both may be of one millisecond.
      const inOrder = [one, two].sort((a, b) => (a.id < b.id ? -1 : 1))
      expect(await tokens.list('ann')).toEqual(inOrder.map(plain))
      expect(await tokens.rotate(three.id)).toMatchObject({ id: three.id })

      const own = await tokens.add({ owner_id: 'ann', attrs: { n: 3 }, ttl: 60 })
      const hash = await tokens.makeHash({ user: 'ann' })
      const seen = (await python(
        command,
        `print(json.dumps([get_key(${JSON.stringify(own.key)}), get_key(${JSON.stringify(three.key)}),
          list_tokens("ann"), delete(${JSON.stringify(one.id)}), delete(${JSON.stringify(one.id)}),
          take_hash(${JSON.stringify(hash)}), take_hash(${JSON.stringify(hash)})]))`
      )) as unknown[]
      expect(seen).toEqual([own, null, [...inOrder, own], true, false, { user: 'ann' }, null])
      expect(await tokens.getKey(one.key)).toBeNull()
      expect((await tokens.list('ann')).map(({ id }) => id)).toEqual([two.id, own.id])
      expect(await tokens.getHash(hash)).toBeNull()
      expect(await audit(redis, 'token')).toEqual([])
    } finally {
      await tokens.quit()
    }
  })

  test('update loses nothing that another writer wrote, and keeps the rest of the token', async () => {
    const command = commandOf('Python')
    if (!command) return
    await redis.flushall()
    const tokens = Tokenstore({ redis: server.url, timeout: 10_000 })
    try {
      const token = await tokens.add({ owner_id: 'ann', attrs: { n: 1, path: 'a/b', text: ',"attrs":{}}' }, ttl: 60 })
      const seen = await python(
        command,
        `
id, seen = ${JSON.stringify(token.id)}, []
def change(attrs):
    seen.append(attrs["n"])
    if len(seen) == 1:
        call("set", id, json.dumps({**attrs, "n": 5}))
    return {**attrs, "n": attrs["n"] + 1}
print(json.dumps([update(id, change), seen, update(new_id(), change)]))`
      )
      const updated = { ...token, attrs: { ...token.attrs, n: 6 } }
      expect(seen).toEqual([updated, [1, 5], null])
      expect(await tokens.get(token.id)).toEqual(updated)
      await expect(python(command, `update(${JSON.stringify(token.id)}, lambda attrs: [])`)).rejects.toThrow('TSBADARG')
    } finally {
      await tokens.quit()
    }
  })

  test('attrs are the same text on both sides, byte for byte', async () => {
    const command = commandOf('Python')
    if (!command) return
    await redis.flushall()
    const tokens = Tokenstore({ redis: server.url, timeout: 10_000 })
    try {
      const keys: string[] = []
      for (const [what, text] of ATTRS) {
        const { key } = await tokens.add({ owner_id: what, attrs: JSON.parse(text) as Record<string, unknown> })
        keys.push(key)
      }
      // Python hands back what it read of each, under another owner, without parsing it.
      const made = (await python(
        command,
        `
made = []
for key in json.loads(${JSON.stringify(JSON.stringify(keys))}):
    record, _ = call("getkey", "PEEK", key)
    attrs = record[record.index(',"attrs":') + 9:-1]
    made.append([attrs, *call("add", secrets.token_urlsafe(18), new_id(), "python", attrs)])
print(json.dumps(made))`
      )) as [string, string, string, number][]
      for (const [i, [attrs, key, record]] of made.entries()) {
        const given = JSON.stringify(JSON.parse(ATTRS[i]![1]))
        expect(attrs).toBe(given)
        expect(await redis.get(`token:key:${keys[i]}`)).toContain(`,"attrs":${given}}`)
        expect(await redis.get(`token:key:${key}`)).toBe(record)
        expect(JSON.stringify((await tokens.getKey(key))!.attrs)).toBe(given)
      }
    } finally {
      await tokens.quit()
    }
  })
})

describe('the tables', () => {
  const readme = (): string => readFileSync(join(root, 'README.md'), 'utf8')
  const rows = (name: string): string[][] => {
    const [, text] = new RegExp(`<!-- ${name} -->\n(.*?)<!-- /${name} -->`, 's').exec(readme()) ?? []
    if (text === undefined) throw new Error(`README.md has no <!-- ${name} --> and <!-- /${name} -->`)
    const lines = text.trim().split('\n').slice(2)
    return lines.map((line) => line.split(/ (?<!\\)\| |^\| | \|$/).slice(1, -1))
  }
  const codes = (text: string): string[] => text.match(/TS[A-Z]+/g) ?? []
  const headers = Object.values(scripts).map(({ lua }) => parseHeader(lua))

  test('of scripts: arguments, replies and errors of every header', () => {
    const cell = (text: string): string => text.replaceAll('|', '\\|')
    expect(rows('scripts').map(([name, args, , errors]) => [name, args, codes(errors!)])).toEqual(
      headers.map((header) => [`\`${header.name}\``, `\`${cell(usage(header))}\``, header.errors.map(([code]) => code)])
    )
    for (const [i, header] of headers.entries()) {
      for (const [thing, said] of header.returns)
        expect(rows('scripts')[i]![2]).toContain(cell(`\`${thing}\` ${said}`.trim()))
    }
  })

  test('of errors: every code that a script returns, its class, and which scripts return it', () => {
    const byCode = new Map<string, string[]>()
    for (const { name, errors } of headers) {
      for (const [code] of errors) byCode.set(code, [...(byCode.get(code) ?? []), name])
    }
    const found = rows('errors').map(([code, kind, when]) => [
      codes(code!)[0],
      kind,
      [...when!.matchAll(/`(\w+)`/g)].map(([, name]) => name!).sort()
    ])
    expect(found).toEqual([...byCode].map(([code, names]) => [code, `\`${errorOf(code, '').name}\``, names.sort()]))
  })

  test('of the errors of the driver: every code of the scripts and of its source, and its class', () => {
    const [, section] = /^## Errors\n(.*?)^## /ms.exec(readme())!
    const found = [...section!.matchAll(/^\| `(TS\w+)` \| `(\w+)` \| \S.* \|$/gm)].map(([, code, kind]) => [code, kind])
    const sources = readdirSync(join(root, 'src')).filter((file) => file.endsWith('.ts') && file !== 'scripts.ts')
    const texts = sources.map((file) => readFileSync(join(root, 'src', file), 'utf8'))
    const wanted = new Set([
      ...headers.flatMap(({ errors }) => errors.map(([code]) => code)),
      ...texts.flatMap((text) => [...text.matchAll(/'(TS[A-Z]+)'/g)].map(([, code]) => code!))
    ])
    expect(found.sort()).toEqual([...wanted].sort().map((code) => [code, errorOf(code, '').name]))
  })
})
