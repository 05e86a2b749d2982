import { attrsText, decode } from '../../src/record'
import { client, closeAfterAll, evalsha, freshPrefix, store } from '../support'
import { ATTRS, OWNERS, strayRecords } from '../support/cases'
import { id } from '../support/root'

closeAfterAll()

const foreign = { name: 'TokenstoreError', code: 'TSRECORD' }

// Texts that a script takes for attrs, since it does not parse them, and that are no JSON.
const ATTRS_OF_OTHERS: [what: string, attrs: string][] = [
  ['an owner behind them', '{},"owner_id":"eve","attrs":{}'],
  ['an id behind them', `{},"id":"${id(2)}","attrs":{}`],
  ['attrs behind them', '{"a":1},"attrs":{"a":2}'],
  ['a field behind them', '{},"x":{}'],
  ['two objects', '{}{}'],
  ['no JSON', "{a:'b'}"]
]

describe.each(ATTRS_OF_OTHERS)('attrs of another language with %s', (_, attrs) => {
  test('are TSRECORD in every method that reads them, and tell of no other owner', async () => {
    const prefix = freshPrefix()
    const redis = client()
    const tokens = store({ prefix })
    const key = 'k'.repeat(24)
    await evalsha(redis, 'add', prefix, key, id(1), 'ann', attrs)
    await expect(tokens.getKey(key)).rejects.toMatchObject(foreign)
    await expect(tokens.get(id(1))).rejects.toMatchObject(foreign)
    await expect(tokens.list('ann')).rejects.toMatchObject(foreign)
    await expect(tokens.update(id(1), () => ({}))).rejects.toMatchObject(foreign)
    // The owner is ann, and it takes but one set to have attrs again.
    expect(await tokens.list('eve')).toEqual([])
    expect(await tokens.set(id(1), { a: 1 })).toMatchObject({ owner_id: 'ann', attrs: { a: 1 } })
    await evalsha(redis, 'set', prefix, id(1), attrs)
    expect(await tokens.delOwner('ann')).toBe(1)
    expect(await redis.keys(`${prefix}:*`)).toEqual([])
  })
})

// Of how an owner is spelt the scripts judge.
const strays = strayRecords(id(1), 'k1').filter(([what]) => what !== 'an owner in another spelling')

test.each(strays)('no token is made of a foreign record: %s', (_, record) => {
  let error: unknown
  try {
    decode(['k1', record, 0])
  } catch (thrown) {
    error = thrown
  }
  expect(error).toMatchObject(foreign)
  expect((error as Error).message).not.toContain('eve')
})

/** What may stand before attrs, and what a token that ends at 50 has of it. */
const FIELDS: [fields: string, read: object][] = [
  ['', {}],
  [',"ends_at":50', {}],
  [',"idle":5,"every":1', { used_at: 45 }],
  [',"ends_at":70,"idle":5,"every":1', { used_at: 45 }],
  [',"ends_at":50,"later":1', {}],
  [',"idle":5,"every":1,"later":1', { used_at: 45 }]
]

describe('what scripts write is read back', () => {
  test.each(ATTRS)('attrs: %s', (_, attrs) => {
    for (const [fields, read] of FIELDS) {
      const record = `{"id":"${id(1)}","owner_id":"o"${fields},"attrs":${attrs}}`
      expect(attrsText(record)).toBe(attrs)
      expect(decode(['k1', record, 50])).toEqual({
        key: 'k1',
        id: id(1),
        owner_id: 'o',
        attrs: JSON.parse(attrs),
        expires_at: 50,
        ...read
      })
    }
  })

  test.each(OWNERS.filter(([, owner]) => typeof owner === 'string'))(
    'owner: %s',
    async (_, owner) => {
      const prefix = freshPrefix()
      const key = 'k'.repeat(24)
      const reply = await evalsha(
        client(),
        'add',
        prefix,
        key,
        id(1),
        owner,
        '{"a":{}}',
        'TTL',
        5000
      )
      expect(decode(reply as [string, string, number])).toMatchObject({ owner_id: owner })
      expect(attrsText((reply as string[])[1]!)).toBe('{"a":{}}')
    }
  )
})
