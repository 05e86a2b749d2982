import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { freshPrefix, redisUrl, project } from '../support'

/**
 * An empty project of somebody else's, in which the packed package is
 * installed.
 */
const dir = mkdtempSync(join(tmpdir(), 'tokenstore-package-'))
const installed = join(dir, 'node_modules', 'tokenstore')
const bin = (name: string): string => join(project, 'node_modules', '.bin', name)
const environment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  REDIS: redisUrl(),
  PREFIX: freshPrefix()
})

/** What a program prints; rejects with all of it when it fails. */
async function run(command: string, args: string[], cwd = dir): Promise<string> {
  const done = promisify(execFile)(command, args, {
    cwd,
    env: environment(),
    encoding: 'utf8',
    maxBuffer: 2 ** 26
  })
  const { stdout, stderr } = await done.catch(
    (error: Error & { stdout: string; stderr: string }) => {
      throw new Error(`${command} ${args.join(' ')}\n${error.stdout}${error.stderr}`)
    }
  )
  return stdout + stderr
}

const files = (folder: string, within = ''): string[] =>
  readdirSync(join(folder, within), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? files(folder, join(within, entry.name)) : [join(within, entry.name)]
  )

// What the session stores are for, and what a project has beside them.
const FRAMEWORKS = [
  ...['express', 'express-session', 'fastify', '@fastify', 'koa', 'koa-session'],
  ...['hono', 'hono-sessions', 'react-router']
]
const SUBPATHS = [
  'tokenstore/express-session',
  'tokenstore/fastify-session',
  'tokenstore/koa-session',
  'tokenstore/hono-sessions',
  'tokenstore/react-router'
]

interface Locked {
  dev?: boolean
  optional?: boolean
}

let tarball = ''
beforeAll(async () => {
  // `npm test` has built it just before; whoever runs this file alone may not
  // have.
  const newest = Math.max(
    ...files(join(project, 'src')).map((file) => statSync(join(project, 'src', file)).mtimeMs)
  )
  const built = join(project, 'dist', 'index.js')
  if (!existsSync(built) || statSync(built).mtimeMs < newest)
    await run('npm', ['run', 'build'], project)
  // The packages that it needs are packed from where they are here, so that
  // nothing has to be fetched.
  const locked = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>
  }
  const needed = Object.entries(locked.packages).filter(
    ([path, { dev, optional }]) => path && !dev && !optional
  )
  const sources = [project, ...needed.map(([path]) => join(project, path))]
  const packs = await run('npm', [
    'pack',
    '--json',
    '--silent',
    '--ignore-scripts',
    '--pack-destination',
    dir,
    ...sources
  ])
  const packed = (JSON.parse(packs) as { name: string; filename: string }[]).map(
    ({ name, filename }) => [name, join(dir, filename)] as const
  )
  tarball = packed.find(([name]) => name === 'tokenstore')![1]
  const overrides = Object.fromEntries(
    packed.filter(([, file]) => file !== tarball).map(([name, file]) => [name, `file:${file}`])
  )
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ private: true, overrides }))
  await run('npm', [
    'install',
    '--offline',
    '--cache',
    join(dir, 'cache'),
    '--no-audit',
    '--no-fund',
    tarball
  ])
  for (const name of ['@types', ...FRAMEWORKS])
    symlinkSync(join(project, 'node_modules', name), join(dir, 'node_modules', name))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

describe('the tarball', () => {
  test('holds what users need, and nothing else', () => {
    expect(readdirSync(installed).sort()).toEqual(
      [
        'CACHE.md',
        'CHANGELOG.md',
        'LICENSE',
        'MIGRATING.md',
        'README.md',
        'RECIPES.md',
        'SESSIONS.md',
        'TOPOLOGIES.md',
        'dist',
        'lua',
        'package.json',
        'scripts'
      ].sort()
    )
    expect(files(join(installed, 'scripts'))).toEqual(['load'])
    expect(files(join(installed, 'lua')).filter((file) => !/^[a-z]+\.lua$/.test(file))).toEqual([
      'README.md',
      'SHA1SUMS'
    ])
    // Of each source what it is compiled to and its types, and nothing that an
    // earlier build may have left.
    const sources = files(join(project, 'src')).filter((file) => /\.m?ts$/.test(file))
    const compiled = sources.flatMap((file) => [
      file.replace(/ts$/, 'js'),
      file.replace(/(m?)ts$/, 'd.$1ts')
    ])
    expect(files(join(installed, 'dist')).sort()).toEqual(compiled.sort())
  })

  test('says what it is', () => {
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as Record<
      string,
      unknown
    >
    expect(manifest).toMatchObject({
      name: 'tokenstore',
      version: '1.0.0',
      license: 'MIT',
      engines: { node: '>=20.12' }
    })
    expect(Object.keys(manifest['dependencies'] as object).sort()).toEqual([
      'ioredis',
      'lru-cache',
      'uid2',
      'uuid'
    ])
    // Nothing runs on the machine of somebody who installs it.
    const scripts = Object.keys(manifest['scripts'] as object)
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(scripts).not.toContain(name)
    expect(readFileSync(join(installed, 'CHANGELOG.md'), 'utf8')).toContain('## [1.0.0]')
    expect(readFileSync(join(installed, 'LICENSE'), 'utf8')).toMatch(/MIT[^]*Simon Swain/)
  })

  test('brings the scripts byte for byte, with their digests', async () => {
    const sums = readFileSync(join(installed, 'lua', 'SHA1SUMS'), 'utf8')
    const lua = files(join(project, 'lua')).filter((file) => file.endsWith('.lua'))
    expect(sums).toBe(
      lua
        .sort()
        .map((file) => {
          const text = readFileSync(join(installed, 'lua', file))
          expect(text.equals(readFileSync(join(project, 'lua', file)))).toBe(true)
          return `${createHash('sha1').update(text).digest('hex')}  ${file}\n`
        })
        .join('')
    )
    writeFileSync(
      join(dir, 'sums.cjs'),
      `console.log(JSON.stringify(require('tokenstore').scripts))`
    )
    const embedded = JSON.parse(await run(process.execPath, ['sums.cjs'])) as Record<
      string,
      { sha1: string; lua: string }
    >
    expect(
      Object.entries(embedded)
        .map(([name, { sha1 }]) => `${sha1}  ${name}.lua\n`)
        .join('')
    ).toBe(sums)
    for (const [name, text] of Object.entries(embedded)) {
      expect(text.lua).toBe(readFileSync(join(installed, 'lua', `${name}.lua`), 'utf8'))
    }
  })
})

// A small program that uses what it was given, and ends by itself.
const use = `
  const config = { prefix: process.env.PREFIX, redis: process.env.REDIS, timeout: 10_000 }
  const tokens = Tokenstore(config)
  const other = new Tokenstore(config)
  const token = await other.add({ owner_id: 'ann' })
  const found = await tokens.getKey(token.key)
  const old = api(config)
  const not = await new Promise((resolve) => old.getKey('none', (error, found) => resolve(found)))
  const refused = await tokens.add({ owner_id: 'ann', key: token.key }).catch((error) => error)
  console.log(found.id === token.id, not, tokens instanceof Tokenstore)
  console.log(refused instanceof KeyTakenError, refused instanceof TokenstoreError)
  console.log(refused.code, refused.name)
  let n = 0
  const change = async () => {
    if (n++ === 0) await tokens.set(token.id, { by: 'another' })
    return { n }
  }
  console.log((await tokens.update(token.id, change)).attrs.n)
  console.log(await tokens.reset())
  await new Promise((resolve) => old.quit(resolve))
  await tokens.quit()
  await other.quit()`
const used = 'true false true\ntrue true\nTSKEYTAKEN KeyTakenError\n2\n1\n'
const named =
  '{ Tokenstore, api, issuedAt, scripts, TokenstoreError, KeyTakenError, LimitError, ' +
  'ConflictError, UnavailableError, ReplicationError, ReuseError }'

describe('what is installed', () => {
  test('is required: the value itself, and its names', async () => {
    writeFileSync(
      join(dir, 'a.cjs'),
      `const Default = require('tokenstore'); const ${named} = Default
      if (typeof Default !== 'function' || Default !== Tokenstore) throw new Error('not the same')
      const all = [${named.slice(2, -2)}]
      if (all.includes(undefined)) throw new Error('a name is missing')
      const taken = new KeyTakenError('a', 'b')
      if (!(taken instanceof TokenstoreError)) throw new Error('not of its kind')
      void (async () => {${use}})()`
    )
    expect(await run(process.execPath, ['a.cjs'])).toBe(used)
  })

  test('is imported: by name, and as default', async () => {
    writeFileSync(
      join(dir, 'a.mjs'),
      `import ${named} from 'tokenstore'
      import Default from 'tokenstore'
      import * as all from 'tokenstore'
      import { createRequire } from 'node:module'
      if (Default !== Tokenstore || all.Tokenstore !== Tokenstore) throw new Error('not the same')
      const required = createRequire(import.meta.url)('tokenstore')
      if (required !== Tokenstore) throw new Error('another when required')
      ${use}`
    )
    expect(await run(process.execPath, ['a.mjs'])).toBe(used)
  })

  test.each(['first.mjs', 'first.cjs'])(
    'does what the first lines of the README say: %s',
    async (file) => {
      const [, block] = /```js\n(.*?)```/s.exec(readFileSync(join(installed, 'README.md'), 'utf8'))!
      const [, imported, required, lines] = /^(.*?) +\/\/ or: (.*?)\n(.*)$/s.exec(block!)!
      const body = lines!
        .replace(
          'Tokenstore({',
          'Tokenstore({ prefix: process.env.PREFIX, redis: process.env.REDIS, timeout: 10_000,'
        )
        // The result that is promised, and what it is.
        .replace(/^await (.*?) +\/\/ (.*)$/gm, 'shown.push([`$2`, await $1])')
      const program = `const shown = []\n${body}\nconsole.log(JSON.stringify([token, shown]))`
      const text = file.endsWith('.mjs')
        ? `${imported}\n${program}`
        : `${required}\nvoid (async () => {\n${program}\n})()`
      writeFileSync(join(dir, file), text)
      const [token, shown] = JSON.parse(await run(process.execPath, [file])) as [object, unknown[]]
      expect(token).toEqual({
        key: expect.stringMatching(/^[\w-]{24}$/) as string,
        id: expect.stringMatching(/^[\da-f-]{36}$/) as string,
        owner_id: 'ann',
        attrs: { device: 'phone' },
        expires_at: expect.any(Number) as number,
        used_at: expect.any(Number) as number
      })
      expect(shown).toEqual([
        [expect.stringMatching(/^the token:/), token],
        [expect.stringMatching(/^\[ token \]:/), [token]],
        [expect.stringMatching(/^true:/), true],
        [expect.stringMatching(/^null,/), null]
      ])
    }
  )

  test('runs as the first lines of the old README say', async () => {
    writeFileSync(
      join(dir, 'old.cjs'),
      `var url = new URL(process.env.REDIS)
      var redis = { host: url.hostname, port: url.port || 6379 }
      if (url.password) {
        redis.username = decodeURIComponent(url.username)
        redis.password = decodeURIComponent(url.password)
      }
      var config = { prefix: process.env.PREFIX, redis: redis, timeout: 10000 }
      var Tokenstore = require('tokenstore')
      var tokens = Tokenstore(config)
      tokens.add({ owner_id: 'some-id', attrs: { foo: 'bar' } }, function (err, res) {
        console.log(err, res.key.length, res.owner_id, res.attrs.foo)
        tokens.reset(function (err, n) {
          console.log(err, n)
          tokens.quit(function () {})
        })
      })`
    )
    expect(await run(process.execPath, ['old.cjs'])).toBe('null 24 some-id bar\nnull 1\n')
  })

  test('has a store for each framework, imported or required', async () => {
    writeFileSync(
      join(dir, 'stores.mjs'),
      `import { createRequire } from 'node:module'
      const require = createRequire(import.meta.url)
      for (const of of ${JSON.stringify(SUBPATHS)}) {
        const [imported, required] = [await import(of), require(of)]
        const names = Object.keys(required)
        const same = names.filter((name) => imported[name] === required[name])
        console.log(of, names.join(), same.join(), typeof required[names[0]])
      }`
    )
    const lines = SUBPATHS.map((of) => {
      const name = of.endsWith('react-router') ? 'createSessionStorage' : 'SessionStore'
      return `${of} ${name} ${name} function\n`
    })
    expect(await run(process.execPath, ['stores.mjs'])).toBe(lines.join(''))
  })

  test('gives its scripts to other programs by name, and nothing that it does not promise', async () => {
    writeFileSync(
      join(dir, 'files.cjs'),
      `const { readFileSync } = require('node:fs')
      const of = (name) => readFileSync(require.resolve(name), 'utf8')
      const sums = of('tokenstore/lua/SHA1SUMS')
      console.log(of('tokenstore/lua/add.lua').split('\\n')[1], sums.length > 0)
      console.log(require('tokenstore/package.json').name)
      for (const name of ['tokenstore/dist/client.js', 'tokenstore/src/main', 'tokenstore/dist/main']) {
        try { require(name); console.log('found', name) } catch (error) { console.log(error.code) }
      }`
    )
    const lines = (await run(process.execPath, ['files.cjs'])).split('\n')
    expect(lines[0]).toMatch(/^ {2}add -- .* true$/)
    expect(lines.slice(1)).toEqual([
      'tokenstore',
      ...Array<string>(3).fill('ERR_PACKAGE_PATH_NOT_EXPORTED'),
      ''
    ])
    writeFileSync(
      join(dir, 'files.mjs'),
      `console.log(import.meta.resolve('tokenstore/lua/get.lua').endsWith('/lua/get.lua'))`
    )
    expect(await run(process.execPath, ['files.mjs'])).toBe('true\n')
  })

  test('has a command that runs', async () => {
    const command = join(dir, 'node_modules', '.bin', 'tokenstore')
    expect(await run(command, ['--help'])).toMatch(/^Usage: tokenstore load/)
    expect(await run(command, ['load', '--url', redisUrl()])).toMatch(/^add +[\da-f]{40} /)
  })

  test.each([
    ['CommonJS', 'cjs', 'b.cjs', []],
    ['an ES module', 'esm', 'b.mjs', []],
    ['CommonJS, minified', 'cjs', 'm.cjs', ['--minify']],
    ['an ES module, minified', 'esm', 'm.mjs', ['--minify']]
  ])(
    'is bundled as %s, and then needs no file of the package',
    async (_name, format, file, how) => {
      writeFileSync(
        join(dir, `bundle-${file}`),
        `import Default, ${named} from 'tokenstore'
      const main = async () => {${use}}
      if (Default !== Tokenstore) throw new Error('not the same')
      void main()`
      )
      // ioredis is CommonJS and asks for modules of Node, which a bundle that
      // is an ES module must be given a way to.
      const banner =
        "import { createRequire } from 'node:module';" +
        'const require = createRequire(import.meta.url);'
      const options = [
        '--bundle',
        '--platform=node',
        `--format=${format}`,
        `--outfile=out/${file}`,
        '--log-level=warning',
        ...how
      ]
      if (format === 'esm') options.push(`--banner:js=${banner}`)
      expect(await run(bin('esbuild'), [`bundle-${file}`, ...options])).toBe('')
      const empty = mkdtempSync(join(tmpdir(), 'tokenstore-bundle-'))
      try {
        copyFileSync(join(dir, 'out', file), join(empty, file))
        expect(await run(process.execPath, [file], empty)).toBe(used)
      } finally {
        rmSync(empty, { recursive: true, force: true })
      }
    }
  )
})

test('publint finds nothing', async () => {
  expect(await run(bin('publint'), [tarball, '--strict'])).toContain('All good')
})

// No profile, so that what resolves types the old way ("node10", by `main` and
// `types`) is looked at as well; the subpath lua/* is a pattern, which attw
// leaves out by itself.
test('attw finds nothing', async () => {
  expect(await run(bin('attw'), [tarball])).toContain('No problems found')
})

describe('types', () => {
  const text = readFileSync(join(__dirname, 'types.txt'), 'utf8')
  const kinds = `import type { ChangeOptions, CodeOptions, Config, Page, RefreshOptions } from 'tokenstore'
    import type { SetOptions, Token, TriedCode } from 'tokenstore'`
  const values = 'api, issuedAt, ReuseError'
  const named = `import { Tokenstore, ${values} } from 'tokenstore'\n${kinds}\n${text}`
  const byDefault = `import Tokenstore, { ${values} } from 'tokenstore'\n${kinds}\n${text}`
  const required = `import Tokenstore = require('tokenstore')
    const { ${values} } = Tokenstore
    type ChangeOptions<T extends object> = Tokenstore.ChangeOptions<T>
    type CodeOptions = Tokenstore.CodeOptions
    type Config = Tokenstore.Config
    type Page<T> = Tokenstore.Page<T>
    type RefreshOptions = Tokenstore.RefreshOptions
    type SetOptions<T extends object> = Tokenstore.SetOptions<T>
    type Token<T extends object = Record<string, unknown>> = Tokenstore.Token<T>
    type TriedCode<T> = Tokenstore.TriedCode<T>
    ${text}`
  // The files of TypeScript and Node are the same for all of these, and parsed
  // once.
  const parsed = new Map<string, ts.SourceFile | undefined>()

  /** What the compiler has to say about these files. */
  function compile(programs: Record<string, string>, options: ts.CompilerOptions): string {
    for (const [file, program] of Object.entries(programs)) writeFileSync(join(dir, file), program)
    const all: ts.CompilerOptions = {
      noEmit: true,
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noUnusedLocals: true,
      target: ts.ScriptTarget.ES2022,
      types: ['node'],
      typeRoots: [join(dir, 'node_modules', '@types')],
      ...options
    }
    const host = ts.createCompilerHost(all)
    const parse = host.getSourceFile.bind(host)
    host.getCurrentDirectory = () => dir
    host.getSourceFile = (file, how, ...rest) => {
      const key = `${file} ${typeof how === 'object' ? how.impliedNodeFormat : ''}`
      if (!/typescript.lib|@types.node/.test(file)) return parse(file, how, ...rest)
      if (!parsed.has(key)) parsed.set(key, parse(file, how, ...rest))
      return parsed.get(key)
    }
    const files = Object.keys(programs).map((file) => join(dir, file))
    const program = ts.createProgram(files, all, host)
    // The program and our own declarations; those of TypeScript, Node and
    // ioredis are not ours to check.
    const ours = program
      .getSourceFiles()
      .filter(({ fileName }) => files.includes(fileName) || isOurs(fileName))
    expect(ours.length).toBeGreaterThan(files.length + 5)
    return ts.formatDiagnostics(
      [
        ...program.getOptionsDiagnostics(),
        ...program.getGlobalDiagnostics(),
        ...ours.flatMap((file) => [
          ...program.getSyntacticDiagnostics(file),
          ...program.getSemanticDiagnostics(file)
        ])
      ],
      host
    )
  }
  const isOurs = (file: string): boolean => file.startsWith(join(installed, 'dist'))

  test('are right for ES modules and CommonJS', () => {
    const programs = {
      'named.mts': named,
      'default.mts': byDefault,
      'required.cts': required,
      'named.cts': named
    }
    const options = {
      module: ts.ModuleKind.Node20,
      moduleResolution: ts.ModuleResolutionKind.Node16
    }
    expect(compile(programs, options)).toBe('')
  })

  test('of the session stores are right, each in an app of its framework', () => {
    const stores = `import { SessionStore as ExpressStore } from 'tokenstore/express-session'
      import { SessionStore as FastifyStore } from 'tokenstore/fastify-session'
      import { SessionStore as HonoStore } from 'tokenstore/hono-sessions'
      import { SessionStore as KoaStore } from 'tokenstore/koa-session'
      import { createSessionStorage } from 'tokenstore/react-router'`
    const required = `${stores}
      export const all = [ExpressStore, FastifyStore, HonoStore, KoaStore, createSessionStorage]`
    const sessions = `${stores}
      import { Tokenstore } from 'tokenstore'
      import type { FastifySessionOptions } from '@fastify/session'
      import express from 'express'
      import expressSession, { type SessionData } from 'express-session'
      import type { FastifyRequest, Session } from 'fastify'
      import { Hono } from 'hono'
      import { sessionMiddleware } from 'hono-sessions'
      import Koa from 'koa'
      import { createSession } from 'koa-session'
      ${readFileSync(join(__dirname, 'sessions.txt'), 'utf8')}`
    const options = {
      module: ts.ModuleKind.Node20,
      moduleResolution: ts.ModuleResolutionKind.Node16,
      skipLibCheck: true
    }
    expect(compile({ 'sessions.mts': sessions, 'stores.cts': required }, options)).toBe('')
  })

  test('are right for a project as `tsc --init` makes it, with ioredis 6 and 5', () => {
    symlinkSync(join(project, 'node_modules', 'ioredis-5'), join(dir, 'node_modules', 'ioredis-5'))
    const page = readFileSync(join(installed, 'TOPOLOGIES.md'), 'utf8')
    const [, cluster] = /```js\nconst \{ Cluster \} = require\('ioredis'\)\n(.*?)```/s.exec(page)!
    const programs = {
      'clients.mts': `import { Tokenstore, api, type Config } from 'tokenstore'
        import { Cluster, Redis, type RedisOptions } from 'ioredis'
        import { Cluster as Cluster5, Redis as Redis5 } from 'ioredis-5'
        import type { RedisOptions as RedisOptions5 } from 'ioredis-5'
        ${readFileSync(join(__dirname, 'clients.txt'), 'utf8')}`,
      'cluster.mts': `import { Tokenstore } from 'tokenstore'
        import { Cluster } from 'ioredis'
        ${cluster!.replace('const tokens', 'export const tokens')}`,
      'init.mts': named
    }
    const options = {
      module: ts.ModuleKind.NodeNext,
      target: ts.ScriptTarget.ESNext,
      verbatimModuleSyntax: true,
      isolatedModules: true,
      noUncheckedSideEffectImports: true,
      moduleDetection: ts.ModuleDetectionKind.Force,
      skipLibCheck: true
    }
    expect(compile(programs, options)).toBe('')
  })

  test('are right for a bundler', () => {
    const options = {
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler
    }
    expect(compile({ 'bundler.ts': byDefault }, options)).toBe('')
  })

  test('are right for a project that resolves modules the old way', () => {
    const options = {
      module: ts.ModuleKind.CommonJS,
      moduleResolution: ts.ModuleResolutionKind.Node10,
      ignoreDeprecations: '6.0',
      esModuleInterop: true
    }
    expect(compile({ 'old.ts': named, 'required.ts': required }, options)).toBe('')
  })
})
