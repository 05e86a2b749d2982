import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseHeader, usage } from '../../src/cli/header'
import { errorOf } from '../../src/errors'
import { scripts } from '../../src/scripts'
import { project } from '../support'
import { section, table } from './page'

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
