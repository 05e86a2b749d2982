import { createHash } from 'node:crypto'
import uid2 from 'uid2'
import { ConflictError, KeyTakenError, ReuseError, Tokenstore } from '../../src/main'
import { freshPrefix, keyspace } from '../support'
import { foundIn, placesOf, watched } from './shows-all'

const digestOf = (secret: string): string => createHash('sha256').update(secret).digest('base64url')

describe('a day of a store', () => {
  /**
   * Uses every method, with two forced keys of that size, and answers all keys and hashes, of
   * which some end and some stay, and all codes.
   */
  async function day(
    tokens: Tokenstore,
    size: number
  ): Promise<{ secrets: string[]; codes: string[] }> {
    const secrets: string[] = []
    const codes: string[] = []
    const keep = <T extends { key: string }>(token: T | null): T => {
      secrets.push(token!.key)
      return token!
    }
    for (const life of [{}, { ttl: 100 }, { idle: 100 }]) {
      const token = keep(
        await tokens.add({
          owner_id: 'user-7',
          attrs: { device: 'phone' },
          ...life
        })
      )
      await tokens.getKey(token.key)
      await tokens.set(token.id, { a: 1 })
      await tokens.update(token.id, () => ({ a: 2 }))
      const rotated = keep(await tokens.rotate(token.id, { grace: 100 }))
      await Promise.all([token, rotated].map(({ key }) => tokens.getKey(key)))
      await tokens.set(token.id, { a: 4 }, { from: { a: 2 } })
      await tokens.change(token.id, { owner_id: 'user-9', attrs: { a: 3 }, from: { a: 4 } })
      const { key } = keep(await tokens.refresh(rotated.key))
      await tokens.getKey(key)
      keep(await tokens.rotate(token.id))
      const leaving = keep(await tokens.add({ owner_id: 'user-7', limit: 50, onLimit: 'evict' }))
      await tokens.delKey(leaving.key)
      await tokens.delKey(keep({ key: 'A'.repeat(23) + secrets.length }).key)
    }
    await tokens.list('user-7')
    await tokens.list('user-7', { limit: 2 })
    await tokens.count('user-7')
    for (let i = 0; i < 3; i++) secrets.push(await tokens.makeHash(i, { replaces: 'reset:user-7' }))
    const [taken, deleted] = [await tokens.makeHash('a'), await tokens.makeHash('b')]
    secrets.push(taken, deleted)
    await tokens.getHash(taken)
    await tokens.takeHash(taken)
    await tokens.delHash(deleted)
    secrets.push(await tokens.makeHash('c', { owner_id: 'user-8' }))
    const reused = keep(await tokens.add({ owner_id: 'user-8' }))
    keep(await tokens.refresh(reused.key, { grace: null }))
    await expect(tokens.refresh(reused.key)).rejects.toThrow(ReuseError)
    await tokens.delOwner('user-8', { hashes: true })
    const forced = keep(await tokens.add({ owner_id: 'user-8', key: uid2(size) }))
    keep(await tokens.rotate(forced.id, { key: uid2(size), from: forced.key, grace: 100 }))
    for await (const token of tokens.all()) expect(token).toHaveProperty('id')
    for (const name of ['login:a', 'login:b', 'login:b']) {
      const code = await tokens.makeCode(name, { digits: 12, value: 'of-a-code' })
      const wrong = code!.replace(/./g, (digit) => String(9 - Number(digit)))
      await tokens.tryCode(name, wrong)
      codes.push(code!, wrong)
    }
    await tokens.tryCode('login:a', codes[0])
    return { secrets, codes }
  }

  const shows = 'shows no key and no hash in Redis with digest: %s, and no code'
  test.each([true, false])(shows, async (digest) => {
    const watching = await watched()
    try {
      const tokens = Tokenstore({
        redis: watching.server.url,
        digest,
        timeout: 10_000,
        hashSize: 12
      })
      const { codes, ...seen } = await day(tokens, digest ? 4096 : 24)
      const secrets = new Set(seen.secrets)
      expect(secrets.size).toBe(3 * 6 + 5 + 3 + 2)
      const places = await placesOf(watching)
      await tokens.quit()
      const digests = new Set([...secrets].map(digestOf))
      for (const [place, text] of Object.entries(places)) {
        // Without digest they are found everywhere: the search would see
        // them. What is written: all but the three that were never issued.
        // What is left: a key for each of three tokens, and the newest hash.
        const shown =
          {
            MONITOR: secrets.size,
            SLOWLOG: secrets.size,
            AOF: secrets.size - 3,
            log: 0
          }[place] ?? 4
        const [plain, digested] = [foundIn(text, secrets), foundIn(text, digests)]
        expect([place, foundIn(text, new Set(codes))]).toEqual([place, []])
        if (place === 'MONITOR') expect(text).toContain('of-a-code')
        if (digest) {
          expect([place, plain]).toEqual([place, []])
          expect([place, digested.length >= shown]).toEqual([place, true])
        } else {
          expect([place, plain.length >= shown]).toEqual([place, true])
          expect([place, digested]).toEqual([place, []])
        }
      }
    } finally {
      await watching.stop()
    }
  })
})

test('names hold base64url(SHA-256(key)), and answers hold the key only where it is new or given', async () => {
  const { server, redis, stop } = await watched()
  const prefix = freshPrefix()
  const tokens = Tokenstore({
    redis: server.url,
    digest: true,
    prefix,
    timeout: 10_000
  })
  try {
    const token = await tokens.add({ owner_id: 'user-7', attrs: { a: 1 } })
    const hash = await tokens.makeHash('a', { replaces: 'b' })
    expect(Object.keys(await keyspace(redis, prefix)).sort()).toEqual(
      [
        `${prefix}:hash:${digestOf(hash)}`,
        `${prefix}:id:${token.id}`,
        `${prefix}:key:${digestOf(token.key)}`,
        `${prefix}:latest:b`,
        `${prefix}:tokens:user-7`
      ].sort()
    )
    expect(await redis.get(`${prefix}:id:${token.id}`)).toBe(digestOf(token.key))
    expect(await redis.get(`${prefix}:latest:b`)).toBe(digestOf(hash))

    const { key, ...rest } = token
    expect(key).toMatch(/^[\w-]{24}$/)
    expect(await tokens.getKey(key)).toEqual(token)
    expect(await tokens.get(token.id)).toEqual(rest)
    expect(await tokens.set(token.id, { a: 1 })).toEqual(rest)
    expect(await tokens.update(token.id, (attrs) => attrs)).toEqual(rest)
    expect(await tokens.change(token.id, { attrs: { a: 1 } })).toEqual(rest)
    expect(await tokens.list('user-7')).toEqual([rest])
    expect(await tokens.list('user-7', { limit: 1 })).toEqual({
      tokens: [rest],
      cursor: null
    })
    expect(await tokens.each('user-7').next()).toEqual({
      done: false,
      value: rest
    })
    expect(await tokens.all().next()).toEqual({ done: false, value: rest })
    const between = await tokens.rotate(token.id, { grace: 100 })
    const rotated = await tokens.refresh(between!.key, { grace: 100 })
    for (const withKey of [between, rotated])
      expect(withKey).toEqual({ ...rest, key: expect.stringMatching(/^[\w-]{24}$/) })
    expect(await tokens.getKey(key)).toEqual(token)
    expect(await tokens.getKey(rotated!.key)).toEqual(rotated)
    expect(await tokens.getHash(hash)).toBe('a')

    // Whoever reads Redis cannot present what is there.
    for (const seen of [digestOf(key), digestOf(rotated!.key)]) {
      expect(await tokens.getKey(seen)).toBeNull()
      expect(await tokens.delKey(seen)).toBe(false)
      expect(await tokens.refresh(seen)).toBeNull()
    }
    for (const seen of [digestOf(hash)]) {
      expect(await tokens.getHash(seen)).toBeNull()
      expect(await tokens.takeHash(seen)).toBeNull()
    }

    const forced = 'A'.repeat(24)
    expect(await tokens.add({ owner_id: 'user-7', key: forced })).toMatchObject({ key: forced })
    await expect(tokens.add({ owner_id: 'user-8', key: forced })).rejects.toMatchObject({
      code: 'TSKEYTAKEN'
    })
    expect(await tokens.delKey(forced)).toBe(true)
    expect(await tokens.delKey(key)).toBe(true)
    expect(await tokens.takeHash(hash)).toBe('a')
    expect(await tokens.reset()).toBe(0)
  } finally {
    await tokens.quit()
    await stop()
  }
})

describe('a secret of any length', () => {
  // Texts that a framework may draw, or a client send.
  const texts = ['a', 'é', '\0', '日'.repeat(25), 's:x.y+/=', 'x'.repeat(257), '日'.repeat(4096)]

  test('may be forced for a key, and opens its token like any other', async () => {
    const { server, redis, stop } = await watched()
    const prefix = freshPrefix()
    const tokens = Tokenstore({ redis: server.url, digest: true, prefix, timeout: 10_000 })
    try {
      for (const key of [...texts, 'y'.repeat(4096)]) {
        const token = await tokens.add({ owner_id: 'user-7', key, limit: 1 })
        expect(token).toEqual({ key, id: token.id, owner_id: 'user-7', attrs: {} })
        expect(await tokens.add({ owner_id: 'user-8', key, id: token.id })).toEqual(token)
        await expect(tokens.add({ owner_id: 'user-7', key })).rejects.toThrow(KeyTakenError)
        expect(await tokens.getKey(key)).toEqual(token)
        expect(await redis.get(`${prefix}:id:${token.id}`)).toBe(digestOf(key))
        const names = ['id', 'key', 'tokens']
        const held = Object.keys(await keyspace(redis, prefix)).map((name) => name.split(':'))
        expect(held.map((parts) => parts.at(-2)).sort()).toEqual(names)

        // As the new key, as one within its grace, and as the one to rotate from.
        const other = `${key.slice(0, 4095)}z`
        const rotated = await tokens.rotate(token.id, { key: other, from: key, grace: 100 })
        expect(rotated).toEqual({ ...token, key: other })
        expect(await tokens.getKey(other)).toEqual(rotated)
        expect(await tokens.getKey(key)).toEqual(token)
        await expect(tokens.rotate(token.id, { from: key })).rejects.toThrow(ConflictError)
        const refreshed = await tokens.refresh(other, { grace: null })
        expect(refreshed!.key).toMatch(/^[\w-]{24}$/)
        expect(await tokens.delKey(key)).toBe(true)
        expect(await tokens.getKey(key)).toBeNull()
        await tokens.reset()
      }
    } finally {
      await tokens.quit()
      await stop()
    }
  })

  test('is looked for up to 4096 characters, and not beyond', async () => {
    const { server, watch, stop } = await watched()
    const tokens = Tokenstore({ redis: server.url, digest: true, timeout: 10_000 })
    const looks: [missing: null | false, look: (secret: string) => Promise<unknown>][] = [
      [null, (secret) => tokens.getKey(secret)],
      [null, (secret) => tokens.refresh(secret)],
      [null, (secret) => tokens.getHash(secret)],
      [null, (secret) => tokens.takeHash(secret)],
      [false, (secret) => tokens.delKey(secret)],
      [false, (secret) => tokens.delHash(secret)]
    ]
    try {
      for (const [missing, look] of looks) {
        await watch.sent()
        for (const text of texts) expect(await look(text)).toBe(missing)
        const sent = await watch.sent()
        expect(sent).toHaveLength(texts.length)
        for (const [i, args] of sent.entries()) expect(args).toContain(digestOf(texts[i]!))
        for (const long of ['x'.repeat(4097), '日'.repeat(4097), `${texts.at(-1)!}x`])
          expect(await look(long)).toBe(missing)
        expect(await watch.sent()).toEqual([])
      }
    } finally {
      await tokens.quit()
      await stop()
    }
  })

  test('begins with the tag of its owner on a partitioned store', async () => {
    const { server, stop } = await watched()
    const config = { redis: server.url, digest: true, partitioned: true, timeout: 10_000 } as const
    const tokens = Tokenstore({ ...config, prefix: freshPrefix().replace(/[{}]/g, '') })
    try {
      const { key, id } = await tokens.add({ owner_id: 'user-7' })
      const long = key.slice(0, 3) + 'é'.repeat(4093)
      const token = await tokens.add({ owner_id: 'user-7', key: long })
      expect(await tokens.getKey(long)).toEqual(token)
      const short = key.slice(0, 3)
      expect(await tokens.rotate(id, { key: short })).toMatchObject({ key: short, id })
      expect(await tokens.getKey(short)).toMatchObject({ id })
      const says = new TypeError(
        'key must be one once issued to this owner: it carries another tag'
      )
      for (const key of ['a', 'x'.repeat(100), `é${long.slice(1)}`]) {
        await expect(tokens.add({ owner_id: 'user-7', key })).rejects.toThrow(says)
        await expect(tokens.rotate(id, { key })).rejects.toThrow(says)
        expect(await tokens.getKey(key)).toBeNull()
      }
    } finally {
      await tokens.quit()
      await stop()
    }
  })
})
