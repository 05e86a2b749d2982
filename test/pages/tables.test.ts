import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseHeader, usage } from '../../src/cli/header'
import { errorOf } from '../../src/errors'
import { methodsOf } from '../../src/methods'
import { scripts } from '../../src/scripts'
import { Store } from '../../src/store'
import { Watcher } from '../../src/watcher'
import { project } from '../support'
import { section, table } from './page'

const page = (name: string): string => readFileSync(join(project, name), 'utf8')
const codes = (text: string): string[] => text.match(/TS[A-Z]+/g) ?? []
const headers = Object.values(scripts).map(({ lua }) => parseHeader(lua))

test('of scripts: arguments, replies and errors of every header', () => {
  const cell = (text: string): string => text.replaceAll('|', '\\|')
  const rows = table('scripts')
  expect(rows.map(([name, args, , errors]) => [name, args, codes(errors!)])).toEqual(
    headers.map((header) => [
      `\`${header.name}\``,
      `\`${cell(usage(header))}\``,
      header.errors.map(([code]) => code)
    ])
  )
  for (const [i, header] of headers.entries()) {
    for (const [thing, said] of header.returns) {
      expect(rows[i]![2]).toContain(cell(`\`${thing}\` ${said}`.trim()))
    }
  }
})

test('of errors: every code of a script, its class, and which scripts return it', () => {
  const byCode = new Map<string, string[]>()
  for (const { name, errors } of headers) {
    for (const [code] of errors) {
      byCode.set(code, [...(byCode.get(code) ?? []), name])
    }
  }
  const found = table('errors').map(([code, kind, when]) => [
    codes(code!)[0],
    kind,
    [...when!.matchAll(/`(\w+)`/g)].map(([, name]) => name!).sort()
  ])
  expect(found).toEqual(
    [...byCode].map(([code, names]) => [code, `\`${errorOf(code, '').name}\``, names.sort()])
  )
})

test('of the errors of the driver: every code of the scripts and of its source, and its class', () => {
  const rows = section('Errors').matchAll(/^\| `(TS\w+)` \| `(\w+)` \| \S.* \|$/gm)
  const found = [...rows].map(([, code, kind]) => [code, kind])
  const sources = readdirSync(join(project, 'src')).filter(
    (file) => file.endsWith('.ts') && file !== 'scripts.ts'
  )
  const texts = sources.map((file) => readFileSync(join(project, 'src', file), 'utf8'))
  const wanted = new Set([
    ...headers.flatMap(({ errors }) => errors.map(([code]) => code)),
    ...texts.flatMap((text) => [...text.matchAll(/'(TS[A-Z]+)'/g)].map(([, code]) => code!))
  ])
  expect(found.sort()).toEqual([...wanted].sort().map((code) => [code, errorOf(code, '').name]))
})

/** The properties of an interface in src/types.ts. */
function propertiesOf(name: string): string[] {
  const types = readFileSync(join(project, 'src', 'types.ts'), 'utf8')
  const [, body] = new RegExp(`^export interface ${name}\\b.*?\\{$(.*?)^\\}$`, 'ms').exec(types)!
  return [...body!.matchAll(/^ {2}(\w+)\??:/gm)].map(([, property]) => property!).sort()
}

test('of options: each of the config, and of its cache', () => {
  const [, config] = /^### `Tokenstore\(config\)`$(.*?)^###/ms.exec(section('Usage'))!
  const [, cache] = /^\| option of `cache` .*?$(.*?)^$/ms.exec(page('CACHE.md'))!
  const rows = (text: string): string[] =>
    [...text.matchAll(/^\| `(\w+)` \|/gm)].map(([, option]) => option!).sort()
  expect(rows(config!)).toEqual(propertiesOf('Config'))
  expect(rows(cache!)).toEqual(propertiesOf('CacheOptions'))
})

test('of methods: each has a heading, and those of a watcher a row', () => {
  const headings = section('Usage')
    .match(/^### .*/gm)!
    .join()
  const documented = [...headings.matchAll(/`(\w+)\(/g)].map(([, name]) => name!)
  const methods = [...methodsOf(Store.prototype)].map(([, name]) => name)
  expect([...new Set(documented)].sort()).toEqual(['Tokenstore', ...methods].sort())
  const [, watch] = /^## Watch$(.*?)^## /ms.exec(page('CACHE.md'))!
  const rows = [...watch!.matchAll(/^\| `(\w+)\(/gm)].map(([, name]) => name!)
  expect(rows.sort()).toEqual(Object.getOwnPropertyNames(Watcher.prototype).slice(1).sort())
})
