import { type Arg, client, closeAfterAll } from '../support'
import { id, key, Root, type State } from '../support/root'

closeAfterAll()
const redis = client()
const HOUR = 3_600_000

// Where Redis evicts much is best effort, but no script ever answers, changes or ends another's
// token.

/**
 * What Redis evicted of owner o: of tokens 1 and 2, rotated from key 1 to 11 and from 2 to 12,
 * with a grace.
 */
const EVICTED: [what: string, names: (root: Root) => Buffer[]][] = [
  ['the records', (root) => [11, 12].map((n) => root.at('key', key(n)))],
  ['the ids', (root) => [1, 2].map((n) => root.at('id', id(n)))],
  [
    'records and ids',
    (root) => [root.at('key', key(11)), root.at('id', id(1)), root.at('id', id(2))]
  ],
  ['old keys', (root) => [1, 2].map((n) => root.at('key', key(n)))],
  [
    'records and the set',
    (root) => [...[11, 12].map((n) => root.at('key', key(n))), root.at('tokens', 'o')]
  ]
]

type Pair = [key: number, id: number]

/** What owner p issued since under those names, where they came free: keys and ids. */
const ISSUED: [what: string, pairs: Pair[]][] = [
  ['nothing', []],
  [
    'the keys',
    [
      [11, 31],
      [12, 32]
    ]
  ],
  [
    'the ids',
    [
      [21, 1],
      [22, 2]
    ]
  ],
  [
    'the old keys',
    [
      [1, 31],
      [2, 32]
    ]
  ],
  ['the key of one and the id of the other', [[11, 2]]]
]

const CALLS: [script: string, args: Arg[]][] = [
  ['count', ['o']],
  ['get', [id(1)]],
  ['getkey', ['TOUCH', key(1)]],
  ['getkey', ['TOUCH', key(11)]],
  ['list', ['o']],
  ['list', ['o', 'COUNT', 1]],
  ['set', [id(1), '{"a":1}']],
  ['rotate', [id(1), key(50)]],
  ['rotate', [id(1), key(50), 'GRACE', HOUR]],
  ['change', [id(1), 'ATTRS', '{"a":1}', 'TTL', HOUR]],
  ['change', [id(1), 'OWNER', 'q']],
  ['change', [id(2), 'OWNER', 'o', 'LIMIT', 1, 'EVICT']],
  ['refresh', [key(1), key(50)]],
  ['refresh', [key(11), key(50), 'GRACE', HOUR, 'DETECT', 2 * HOUR]],
  ['add', [key(3), id(3), 'o', '{}', 'LIMIT', 1, 'EVICT']],
  ['del', [id(1)]],
  ['delkey', [key(1)]],
  ['delkey', [key(11)]],
  ['delowner', ['o']],
  ['delowner', ['o', 'EXCEPT', id(1)]],
  ['delowner', ['o', 'COUNT', 1]]
]

describe.each(EVICTED)('Redis evicted %s', (_, evicted) => {
  test.each(ISSUED)('and another issued %s: that one keeps what is its own', async (_, pairs) => {
    for (const rotated of [false, true]) {
      for (const [script, args] of CALLS) {
        const root = new Root(redis)
        for (const n of [1, 2]) {
          await root.issue(n, 'o', '{}', 'IDLE', HOUR)
          await root.run('rotate', id(n), key(n + 10), 'GRACE', 2 * HOUR)
        }
        await redis.del(...evicted(root))
        await root.later(HOUR / 2)
        const own = new Set<Arg>()
        for (const [k, i] of pairs) {
          const added = await root
            .run('add', key(k), id(i), 'p', '{}', 'IDLE', 3 * HOUR)
            .catch(() => null)
          if (!added) continue
          if (rotated) await root.run('rotate', id(i), key(k + 50), 'GRACE', HOUR)
          own.add(key(k)).add(id(i))
          // An old key opens the next life of its id.
          if (i <= 2) own.add(key(i))
        }
        const before = await ofOwnerP(root)
        const reply = await root.run(script, ...args).catch((error: Error) => error.message)
        if (args.some((arg) => own.has(arg))) continue
        expect(JSON.stringify(reply)).not.toContain('\\"owner_id\\":\\"p\\"')
        expect(await ofOwnerP(root)).toEqual(before)
      }
    }
  })
})

/** All names of the tokens of owner p, and its set. */
async function ofOwnerP(root: Root): Promise<State> {
  const entries = Object.entries(await root.state())
  const ids = entries
    .filter(([, { value }]) => String(value).includes('"owner_id":"p"'))
    .map(([, { value }]) => String(value).slice(7, 43))
  const isOfP = (name: string, text: string): boolean =>
    name.endsWith(':tokens:p') ||
    ids.some(
      (id) =>
        name.endsWith(`:id:${id}`) ||
        text.startsWith(`{"id":"${id}","owner_id":"p"`) ||
        text.startsWith(`${id} `)
    )
  return Object.fromEntries(entries.filter(([name, { value }]) => isOfP(name, String(value))))
}

// Where an id leads nowhere no script may take `<root>:key:`, the name of no key, for what it
// leads to.
test.each<[script: string, args: Arg[], reply: unknown]>([
  [
    'add',
    [key(3), id(3), 'o', '{}', 'LIMIT', 2, 'EVICT'],
    [key(3), `{"id":"${id(3)}","owner_id":"o","attrs":{}}`, 0, id(1)]
  ],
  ['change', [id(1), 'TTL', HOUR], null],
  [
    'change',
    [id(2), 'OWNER', 'o', 'LIMIT', 1, 'EVICT'],
    [key(2), `{"id":"${id(2)}","owner_id":"o","attrs":{}}`, 0, id(1)]
  ],
  ['count', ['o'], 2],
  ['del', [id(1)], 0],
  ['delkey', [key(1)], 0],
  ['delowner', ['o'], 1],
  ['get', [id(1)], null],
  ['getkey', ['TOUCH', key(1)], [null, 0]],
  ['list', ['o'], ['', key(2), `{"id":"${id(2)}","owner_id":"o","attrs":{}}`, 0]],
  ['refresh', [key(1), key(3)], null],
  ['refresh', [key(11), key(3)], null],
  ['rotate', [id(1), key(3)], null],
  ['set', [id(1), '{"a":1}'], null]
])('%s beside a neighbour called <root>:key:', async (script, args, reply) => {
  for (const type of ['string', 'list']) {
    const root = new Root(redis)
    const neighbour = root.at('key', '')
    await root.issue(1, 'o', '{}', 'IDLE', HOUR)
    await root.issue(2)
    await root.run('rotate', id(1), key(11), 'GRACE', HOUR)
    await redis.del(root.at('id', id(1)))
    await (type === 'string' ? redis.set(neighbour, 'text') : redis.rpush(neighbour, 'a'))
    expect(await root.run(script, ...args)).toEqual(reply)
    expect(await redis.type(neighbour)).toBe(type)
  }
})
