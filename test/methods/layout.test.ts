import { closeAfterAll, open, topology } from './support'

closeAfterAll()

test.each(['a text', 'a set'])(
  '%s of another program under the very prefix is no hindrance',
  async (what) => {
    const { tokens, all, name } = open()
    const redis = topology.redis()
    const roots = ['user-7', 'nobody'].map((owner) =>
      name('tokens', owner).slice(0, -`:tokens:${owner}`.length)
    )
    // A hash of a name shares its root, so that there is something under it as
    // well.
    roots.push(name('latest', 'reset').slice(0, -':latest:reset'.length))
    for (const root of new Set(roots))
      await (what === 'a set' ? redis.sadd(root, 'a') : redis.set(root, 'a'))
    const before = await all()

    expect(await tokens.list('nobody')).toEqual([])
    expect(await tokens.list('nobody', {})).toEqual({
      tokens: [],
      cursor: null
    })
    expect(await tokens.count('nobody')).toBe(0)
    expect(await tokens.delOwner('nobody')).toBe(0)
    const token = await tokens.add({ owner_id: 'user-7', limit: 1 })
    const rotated = (await tokens.rotate(token.id))!
    expect(await tokens.getKey(rotated.key)).toEqual(rotated)
    expect(await tokens.list('user-7')).toHaveLength(1)
    expect(await tokens.delOwner('user-7')).toBe(1)
    const hash = await tokens.makeHash('a', { replaces: 'reset' })
    expect(await tokens.takeHash(hash)).toBe('a')
    await tokens.add({ owner_id: 'user-7' })
    expect(await tokens.reset()).toBe(1)
    expect(await all()).toEqual(before)
  }
)
