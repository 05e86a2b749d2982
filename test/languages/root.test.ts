import { v7 } from 'uuid'
import { partitioned } from '../../src/layout'
import { closeAfterAll, freshPrefix, random, store } from '../support'
import { block } from '../pages/page'
import { commandOf, run } from '../support/programs'

closeAfterAll()

const command = commandOf('Python')

/** Calls functions of the program that the page prints. */
async function python(calls: [name: string, ...args: string[]][]): Promise<string[]> {
  const program = `${block('root')}
import json, sys
print(json.dumps([globals()[name](*args) for name, *args in json.load(sys.stdin)]))`
  const { code, stdout, stderr } = await run(command!, ['-c', program], {}, JSON.stringify(calls))
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as string[]
}

const rng = random(1)
const owners = [
  ...[
    '',
    'a',
    'user-7',
    '123456789',
    'é',
    '日本',
    '😀',
    '\0',
    '{a}',
    'a:b',
    '"',
    'x'.repeat(5000)
  ].filter(Boolean),
  ...Array.from({ length: 2000 }, () => `user-${Math.floor(rng() * 1e9).toString(36)}`)
]

test('Python computes the same root as the driver, of an owner, a key, a hash and an id', async () => {
  if (!command) return
  const layout = partitioned('token')
  const tokens = owners.map((owner_id) => {
    const root = layout.ownerRoot(owner_id)
    return {
      owner_id,
      root,
      key: layout.newKey(root, 24),
      id: layout.newId(root),
      hash: layout.newHash(11, owner_id)
    }
  })
  const roots = tokens.map(({ root }) => root)
  const of = (name: string, part: 'owner_id' | 'key' | 'hash' | 'id'): Promise<string[]> =>
    python(tokens.map((token) => [name, 'token', token[part]]))
  expect(await of('root_of_owner', 'owner_id')).toEqual(roots)
  expect(owners.map((name) => layout.codeRoot(name))).toEqual(roots)
  expect(await of('root_of_secret', 'key')).toEqual(roots)
  expect(await of('root_of_secret', 'hash')).toEqual(roots)
  expect(await of('root_of_id', 'id')).toEqual(roots)
  expect(new Set(roots).size).toBeGreaterThan(1500)
  // The check value of this CRC, 0x31c3, as 14 bits.
  expect(layout.ownerRoot('123456789')).toBe('token:{DHD}')
})

test('keys and ids that Python makes are taken for that owner', async () => {
  if (!command) return
  const tokens = store({ partitioned: true, prefix: freshPrefix() })
  const some = owners.slice(0, 40)
  const keys = await python(some.map((owner_id) => ['new_key', owner_id]))
  const ids = await python(some.map((owner_id) => ['new_id', owner_id, v7()]))
  for (const [i, owner_id] of some.entries()) {
    const [key, id] = [keys[i]!, ids[i]!]
    const token = await tokens.add({ owner_id, key, id })
    expect(token).toEqual({ key, id, owner_id, attrs: {} })
    expect(await tokens.getKey(key)).toEqual(token)
    expect(await tokens.get(id)).toEqual(token)
  }
})

test('texts that look like an id of no tag have no root', () => {
  const layout = partitioned('t')
  expect(layout.idRoot('0190a0b0-0000-7000-8000-00000000000f')).toBe('t:{AAP}')
  for (const end of [
    '0000000-000f',
    '00000000-00f',
    '00000000-12a',
    '000000004000',
    '00000000000g'
  ]) {
    expect(layout.idRoot(`0190a0b0-0000-7000-8000-${end}`)).toBeNull()
  }
})

test('all 16384 tags are of the alphabet, differ, and come back from a key, an id and a hash', () => {
  const layout = partitioned('t')
  const roots = new Set<string>()
  const wrong: string[] = []
  for (let i = 0; roots.size < 16384; i++) {
    const root = layout.ownerRoot(String(i))
    if (roots.has(root)) continue
    roots.add(root)
    const id = layout.newId(root)
    const found = [
      layout.idRoot(id),
      layout.keyRoot(layout.newKey(root, 24)),
      layout.hashRoot(layout.newHash(8, String(i)))
    ]
    const formed = /^t:\{[A-D][\w-]{2}\}$/.test(root)
    const uuid = /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/.test(id)
    if (!formed || !uuid || found.some((each) => each !== root)) wrong.push(root)
  }
  expect(wrong).toEqual([])
})
