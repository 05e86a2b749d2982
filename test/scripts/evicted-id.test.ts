import { client, closeAfterAll } from '../support'
import { type Arg, id, key, Root } from './root'

closeAfterAll()
const redis = client()
const HOUR = 3_600_000

// Where an id leads nowhere no script may take `<root>:key:`, the name of no key, for what it leads to.
test.each<[script: string, args: Arg[], reply: unknown]>([
  ['count', ['o'], 1],
  ['del', [id(1)], 0],
  ['delkey', [key(1)], 0],
  ['delowner', ['o'], 1],
  ['get', [id(1)], null],
  ['getkey', ['TOUCH', key(1)], [null, 0]],
  ['list', ['o'], ['', key(2), `{"id":"${id(2)}","owner_id":"o","attrs":{}}`, 0]],
  ['reset', [`id:${id(1)}`, 'tokens:o'], [1, 0, 0]],
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
