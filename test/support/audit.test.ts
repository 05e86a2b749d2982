import type { Redis } from 'ioredis'
import type { Token } from '../../src/types'
import { audit, auditPartitioned, client, closeAfterAll, evalsha, freshPrefix, store } from '.'

closeAfterAll()

interface Torn {
  redis: Redis
  /** A name in Redis, from its family and the rest. */
  name(family: string, rest: string): string
  /**
   * A token that ends, one that never does, and what was the key of the first until it was
   * rotated with a grace.
   */
  token: Token
  never: Token
  old: string
  hash: string
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const OTHER = '0190a0b0-0000-7000-8000-000000000001'

// How to tear what two owners have, and every fault that is to be found then.
const tears: Record<
  string,
  [tear: (torn: Torn) => Promise<unknown>, faults: (torn: Torn) => string[]]
> = {
  'nothing at all': [async () => {}, () => []],
  'a record': [
    ({ redis, name, never }) => redis.del(name('key', never.key)),
    ({ name, never }) => [`${name('id', never.id)}: leads nowhere`]
  ],
  'a record that others lead to': [
    ({ redis, name, token }) => redis.del(name('key', token.key)),
    // The old key outlives its token.
    ({ name, token }) => [`${name('id', token.id)}: leads nowhere`]
  ],
  'an id': [
    ({ redis, name, never }) => redis.del(name('id', never.id)),
    ({ name, never }) => [
      `${name('key', never.key)}: no id index leads to it`,
      `${name('tokens', never.owner_id)}: lists ${never.id}, which is not there`
    ]
  ],
  'a member': [
    ({ redis, name, never }) => redis.zrem(name('tokens', never.owner_id), never.id),
    ({ name, never }) => [`${name('key', never.key)}: its owner does not list it`]
  ],
  'an owner set': [
    ({ redis, name, token }) => redis.del(name('tokens', token.owner_id)),
    ({ name, token }) => [`${name('key', token.key)}: its owner does not list it`]
  ],
  'an id that leads to another token': [
    ({ redis, name, token, never }) => redis.set(name('id', never.id), token.key),
    ({ name, never }) => [
      `${name('id', never.id)}: leads nowhere`,
      `${name('key', never.key)}: no id index leads to it`,
      `${name('tokens', never.owner_id)}: lists ${never.id}, which is another's`
    ]
  ],
  'an id that leads to a key within its grace': [
    ({ redis, name, token, old }) => redis.set(name('id', token.id), old, 'KEEPTTL'),
    ({ name, token }) => [
      `${name('id', token.id)}: leads nowhere`,
      `${name('key', token.key)}: no id index leads to it`
    ]
  ],
  'a member of another owner': [
    ({ redis, name, token, never }) => redis.zadd(name('tokens', never.owner_id), '+inf', token.id),
    ({ name, token, never }) => [
      `${name('tokens', never.owner_id)}: lists ${token.id}, which is another's`
    ]
  ],
  'a member that is no token': [
    ({ redis, name, never }) => redis.zadd(name('tokens', never.owner_id), '+inf', OTHER),
    ({ name, never }) => [`${name('tokens', never.owner_id)}: lists ${OTHER}, which is not there`]
  ],
  'a member that ended is none': [
    ({ redis, name, never }) => redis.zadd(name('tokens', never.owner_id), '1', OTHER),
    () => []
  ],
  'a score': [
    ({ redis, name, token }) =>
      redis.zadd(name('tokens', token.owner_id), token.expires_at! + 1, token.id),
    ({ name, token }) => [
      `${name('key', token.key)}: its owner lists it with another end`,
      `${name('tokens', token.owner_id)}: wrong TTL for its last to end`
    ]
  ],
  'a score that is never': [
    ({ redis, name, token }) => redis.zadd(name('tokens', token.owner_id), '+inf', token.id),
    ({ name, token }) => [
      `${name('key', token.key)}: its owner lists it with another end`,
      `${name('tokens', token.owner_id)}: wrong TTL for its last to end`
    ]
  ],
  'the TTL of a record': [
    ({ redis, name, token }) => redis.persist(name('key', token.key)),
    ({ name, token }) => [
      `${name('key', token.key)}: wrong TTL for its end`,
      `${name('key', token.key)}: its id has another TTL`,
      `${name('key', token.key)}: its owner lists it with another end`
    ]
  ],
  'a TTL on a record that never ends': [
    ({ redis, name, never }) => redis.pexpire(name('key', never.key), MINUTE),
    ({ name, never }) => [
      `${name('key', never.key)}: wrong TTL for its end`,
      `${name('key', never.key)}: its id has another TTL`,
      `${name('key', never.key)}: its owner lists it with another end`
    ]
  ],
  'the TTL of an id': [
    ({ redis, name, token }) => redis.persist(name('id', token.id)),
    ({ name, token }) => [`${name('key', token.key)}: its id has another TTL`]
  ],
  'the TTLs of both, alike': [
    ({ redis, name, token }) =>
      Promise.all(
        [name('key', token.key), name('id', token.id)].map((each) =>
          redis.pexpireat(each, token.expires_at! - 1)
        )
      ),
    ({ name, token }) => [`${name('key', token.key)}: its owner lists it with another end`]
  ],
  'the TTL of an owner set': [
    ({ redis, name, token }) => redis.persist(name('tokens', token.owner_id)),
    ({ name, token }) => [`${name('tokens', token.owner_id)}: wrong TTL for its last to end`]
  ],
  'an owner set that ends too early': [
    ({ redis, name, token }) => redis.pexpire(name('tokens', token.owner_id), MINUTE),
    ({ name, token }) => [`${name('tokens', token.owner_id)}: wrong TTL for its last to end`]
  ],
  'a TTL on an owner set that never ends': [
    ({ redis, name, never }) => redis.pexpire(name('tokens', never.owner_id), MINUTE),
    ({ name, never }) => [`${name('tokens', never.owner_id)}: wrong TTL for its last to end`]
  ],
  'the TTL of a key within its grace': [
    ({ redis, name, old }) => redis.persist(name('key', old)),
    ({ name, old }) => [`${name('key', old)}: wrong TTL for its grace`]
  ],
  'a key within its grace that ends too early': [
    ({ redis, name, old }) => redis.pexpire(name('key', old), MINUTE),
    ({ name, old }) => [`${name('key', old)}: wrong TTL for its grace`]
  ],
  'a key that is known for longer than its grace is none': [
    ({ redis, name, token, old }) => redis.pexpireat(name('key', old), token.expires_at! - 1),
    () => []
  ],
  'an old key without a grace is none': [
    ({ redis, name, token, old }) => redis.set(name('key', old), `${token.id} 0`, 'KEEPTTL'),
    () => []
  ],
  'the TTL of an old key without a grace': [
    ({ redis, name, token, old }) => redis.set(name('key', old), `${token.id} 0`),
    ({ name, old }) => [`${name('key', old)}: wrong TTL for its grace`]
  ],
  'a key within its grace that ends when its token must is none': [
    async ({ redis, name, token, old }) => {
      const { ends_at } = JSON.parse((await redis.get(name('key', token.key)))!) as {
        ends_at: number
      }
      await redis.set(name('key', old), `${token.id} 9999999999999`, 'PXAT', ends_at)
    },
    () => []
  ],
  'a key within its grace of no token is none': [
    ({ redis, name }) =>
      redis.set(name('key', 'other'), `${OTHER} 9999999999999`, 'PXAT', 9999999999999),
    () => []
  ],
  'a record of another layout': [
    ({ redis, name, never }) => redis.set(name('key', never.key), `{"key":"x","id":"${never.id}"}`),
    ({ name, never }) => [
      `${name('key', never.key)}: not a record`,
      `${name('id', never.id)}: leads nowhere`
    ]
  ],
  'a record that says more than it should': [
    ({ redis, name, never }) =>
      redis.set(
        name('key', never.key),
        `{"id":"${never.id}","owner_id":"ben","expires_at":1,"attrs":{}}`
      ),
    ({ name, never }) => [
      `${name('key', never.key)}: not a record`,
      `${name('id', never.id)}: leads nowhere`
    ]
  ],
  'an end later than a use could make it': [
    async ({ redis, name, token }) => {
      const end = token.expires_at! + MINUTE
      for (const each of [
        name('key', token.key),
        name('id', token.id),
        name('tokens', token.owner_id)
      ]) {
        await redis.pexpireat(each, end)
      }
      await redis.zadd(name('tokens', token.owner_id), end, token.id)
    },
    ({ name, token }) => [`${name('key', token.key)}: wrong TTL for its end`]
  ],
  'the TTL of a hash': [
    ({ redis, name, hash }) => redis.persist(name('hash', hash)),
    ({ name, hash }) => [`${name('hash', hash)}: never expires`]
  ],
  'the TTL of the name of the newest hash': [
    ({ redis, name }) => redis.persist(name('latest', 'reset')),
    ({ name }) => [`${name('latest', 'reset')}: never expires`]
  ],
  'the TTL of the hashes of an owner': [
    ({ redis, name }) => redis.persist(name('hashes', 'ann')),
    ({ name }) => [
      `${name('hashes', 'ann')}: never expires`,
      `${name('hashes', 'ann')}: wrong TTL for its last to end`
    ]
  ],
  'hashes of an owner that end too early': [
    ({ redis, name }) => redis.pexpire(name('hashes', 'ann'), MINUTE),
    ({ name }) => [`${name('hashes', 'ann')}: wrong TTL for its last to end`]
  ],
  'a hash of an owner that never ends': [
    async ({ redis, name }) => {
      await redis.zadd(name('hashes', 'ann'), '+inf', 'abc')
      await redis.persist(name('hashes', 'ann'))
    },
    ({ name }) => [`${name('hashes', 'ann')}: never expires`]
  ],
  'a hash of an owner that is gone is none': [
    ({ redis, name, hash }) => redis.del(name('hash', hash)),
    () => []
  ],
  'a code whose tries are spent is none': [
    async ({ redis, name }) => {
      await redis.hset(name('code', 'login'), 'left', 0)
      await redis.hdel(name('code', 'login'), 'digest', 'value')
    },
    () => []
  ],
  'a code that was right is none': [
    ({ redis, name }) => redis.hdel(name('code', 'login'), 'digest', 'value'),
    () => []
  ],
  'a spent code that could match': [
    ({ redis, name }) => redis.hset(name('code', 'login'), 'left', 0),
    ({ name }) => [`${name('code', 'login')}: not a code`]
  ],
  'a code without its digest': [
    ({ redis, name }) => redis.hdel(name('code', 'login'), 'digest'),
    ({ name }) => [`${name('code', 'login')}: not a code`]
  ],
  'a code without its value': [
    ({ redis, name }) => redis.hdel(name('code', 'login'), 'value'),
    ({ name }) => [`${name('code', 'login')}: not a code`]
  ],
  'a code with another field': [
    ({ redis, name }) => redis.hset(name('code', 'login'), 'code', '123456'),
    ({ name }) => [`${name('code', 'login')}: not a code`]
  ],
  'too many tries': [
    ({ redis, name }) => redis.hset(name('code', 'login'), 'left', 1001),
    ({ name }) => [`${name('code', 'login')}: not a code`]
  ],
  'tries that are no number': [
    ({ redis, name }) => redis.hset(name('code', 'login'), 'left', -1),
    ({ name }) => [`${name('code', 'login')}: not a code`]
  ],
  'no tries': [
    ({ redis, name }) => redis.hdel(name('code', 'login'), 'left'),
    ({ name }) => [`${name('code', 'login')}: not a code`]
  ],
  'the TTL of a code': [
    ({ redis, name }) => redis.persist(name('code', 'login')),
    ({ name }) => [`${name('code', 'login')}: wrong window`]
  ],
  'a code that is not made yet': [
    ({ redis, name }) => redis.hset(name('code', 'login'), 'made', Date.now() + MINUTE),
    ({ name }) => [`${name('code', 'login')}: wrong window`]
  ],
  'a code made never': [
    ({ redis, name }) => redis.hdel(name('code', 'login'), 'made'),
    ({ name }) => [`${name('code', 'login')}: wrong window`]
  ],
  'a name of another family': [
    ({ redis, name }) => redis.set(name('keys', 'a'), '1'),
    ({ name }) => [`${name('keys', 'a')}: not a name of the store`]
  ]
}

describe.each([false, true])('the audit finds what is torn, partitioned: %s', (partitioned) => {
  test.each(Object.entries(tears))('%s', async (_what, [tear, faults]) => {
    const redis = client()
    const prefix = freshPrefix()
    const tokens = store({ prefix, partitioned })
    const { id, key: old } = await tokens.add({ owner_id: 'ann', ttl: 1000, idle: 500 })
    const token = (await tokens.rotate(id, { grace: 100 }))!
    const never = await tokens.add({ owner_id: 'ben' })
    const hash = await tokens.makeHash('a', { replaces: 'reset' })
    const [redisRoot] = (await redis.keys(`${prefix}*:latest:reset`))[0]!.split(':latest:')
    await evalsha(redis, 'makehash', redisRoot!, 'abc', '1', HOUR, 'OWNER', 'ann')
    await evalsha(redis, 'makecode', redisRoot!, 'login', 'digest', '1', HOUR, 5)
    // Both owners, and the hash, under one root, as owners are that share a slot.
    const names = await redis.keys(`${prefix}:*`)
    const root = partitioned ? `${prefix}:{AAA}` : prefix
    for (const name of names) {
      const moved = name.replace(/^[^:]*(:\{...\})?/, root)
      if (moved !== name) await redis.rename(name, moved)
    }
    const torn: Torn = {
      redis,
      name: (family, rest) => `${root}:${family}:${rest}`,
      token,
      never,
      old,
      hash
    }
    await tear(torn)
    expect((await (partitioned ? auditPartitioned : audit)(redis, prefix)).sort()).toEqual(
      faults(torn).sort()
    )
  })
})
