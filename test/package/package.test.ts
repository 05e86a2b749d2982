import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freshPrefix, redisUrl, root } from '../support'

const dir = mkdtempSync(join(tmpdir(), 'tokenstore-package-'))
const bin = (name: string): string => join(root, 'node_modules', '.bin', name)
const run = (command: string, args: string[], cwd = dir): string =>
  execFileSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, REDIS: redisUrl(), PREFIX: freshPrefix() },
    stdio: ['ignore', 'pipe', 'pipe']
  })

beforeAll(() => {
  run('npm', ['pack', '--ignore-scripts', '--pack-destination', dir], root)
  const modules = join(dir, 'node_modules')
  mkdirSync(join(modules, 'tokenstore'), { recursive: true })
  const tarball = readdirSync(dir).find((file) => file.endsWith('.tgz'))!
  run('tar', ['xzf', tarball, '-C', join(modules, 'tokenstore'), '--strip-components=1'])
  for (const dependency of ['ioredis', 'uid2', 'uuid', '@types']) {
    symlinkSync(join(root, 'node_modules', dependency), join(modules, dependency))
  }
  writeFileSync(join(dir, 'package.json'), '{ "private": true }')
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const use = `
  const tokens = Tokenstore({ prefix: process.env.PREFIX, redis: process.env.REDIS })
  const token = await new Tokenstore({ prefix: process.env.PREFIX, redis: process.env.REDIS }).add({ owner_id: 'ann' })
  const found = await tokens.getKey(token.key)
  console.log(found.id === token.id, tokens instanceof Tokenstore, await tokens.reset(), typeof api)
  process.exit()`

test('the tarball holds what users need, and nothing else', () => {
  expect(readdirSync(join(dir, 'node_modules', 'tokenstore')).sort()).toEqual(
    ['CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'lua', 'package.json', 'scripts'].sort()
  )
  expect(readdirSync(join(dir, 'node_modules', 'tokenstore', 'scripts'))).toEqual(['load'])
})

test('required: the value itself, and its names', () => {
  writeFileSync(
    join(dir, 'a.cjs'),
    `const Tokenstore = require('tokenstore'); const { api } = Tokenstore
    if (Tokenstore.Tokenstore !== Tokenstore) throw new Error('not the same')
    require('node:fs').readFileSync(require.resolve('tokenstore/lua/add.lua'))
    void (async () => {${use}})()`
  )
  expect(run(process.execPath, ['a.cjs'])).toBe('true true 1 function\n')
})

test('imported: by name, and as default', () => {
  writeFileSync(
    join(dir, 'a.mjs'),
    `import { Tokenstore, api } from 'tokenstore'; import Default from 'tokenstore'
    if (Default !== Tokenstore) throw new Error('not the same')
    ${use}`
  )
  expect(run(process.execPath, ['a.mjs'])).toBe('true true 1 function\n')
})

test('bundled, it needs no file of the package', () => {
  writeFileSync(join(dir, 'b.mjs'), `import { Tokenstore, api } from 'tokenstore'; void (async () => {${use}})()`)
  run(bin('esbuild'), ['b.mjs', '--bundle', '--platform=node', '--outfile=out/b.cjs', '--log-level=error'])
  const empty = mkdtempSync(join(tmpdir(), 'tokenstore-bundle-'))
  try {
    run('cp', [join(dir, 'out', 'b.cjs'), empty])
    expect(run(process.execPath, ['b.cjs'], empty)).toBe('true true 1 function\n')
  } finally {
    rmSync(empty, { recursive: true, force: true })
  }
})

const types = (imported: string): string => `
  ${imported}
  const tokens = Tokenstore<{ device: string }>({})
  export async function all(): Promise<string> {
    const token = await tokens.add({ owner_id: 'ann', attrs: { device: 'phone' } })
    // @ts-expect-error attrs are the caller's type
    await tokens.add({ owner_id: 'ann', attrs: { device: 7 } })
    const digest = new Tokenstore<{ device: string }>({ digest: true })
    // @ts-expect-error only a digest of the key is stored
    const key: unknown = (await digest.get('id'))?.key
    tokens.getKey('key', (error, found) => console.log(error?.message, found?.attrs.device))
    const page = await tokens.list('ann', { limit: 1 })
    for await (const each of tokens.each('ann')) console.log(each.attrs.device, key, page.cursor)
    return token.attrs.device
  }`

test('the types are right for both module systems', () => {
  writeFileSync(join(dir, 'types.mts'), types("import { Tokenstore } from 'tokenstore'"))
  writeFileSync(join(dir, 'types.cts'), types("import Tokenstore = require('tokenstore')"))
  const options = [
    '--noEmit',
    '--strict',
    '--target',
    'es2022',
    '--module',
    'node20',
    '--skipLibCheck',
    '--types',
    'node'
  ]
  expect(run(bin('tsc'), [...options, 'types.mts', 'types.cts'])).toBe('')
})

test('publint and attw find nothing', () => {
  const tarball = join(
    dir,
    readdirSync(dir).find((file) => file.endsWith('.tgz'))!
  )
  expect(run(bin('publint'), [tarball, '--strict'])).toContain('All good')
  expect(run(bin('attw'), [tarball])).toContain('No problems found')
})
