import { closeAfterAll, open, topology } from './support'

closeAfterAll()

test.each(['a text', 'a set'])(
  '%s of another program under the very prefix is no hindrance',
  async (what) => {
    const { tokens, all, name, beside } = open()
    const redis = topology.redis()
    const roots = ['user-7', 'nobody'].map((owner) =>
      name('tokens', owner).slice(0, -`:tokens:${owner}`.length)
    )
    // A hash or a code of a name shares its root, so that there is something under it as well.
    roots.push(name('latest', 'reset').slice(0, -':latest:reset'.length))
    roots.push(name('code', 'login').slice(0, -':code:login'.length))
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
    await tokens.change(token.id, { owner_id: beside('user-7'), ttl: 100 })
    await tokens.change(token.id, { owner_id: 'user-7', ttl: null })
    const rotated = (await tokens.rotate(token.id))!
    expect(await tokens.getKey(rotated.key)).toEqual(rotated)
    const forgetful = { grace: null, detect: null }
    expect(await tokens.refresh(rotated.key, forgetful)).toMatchObject({ id: token.id })
    expect(await tokens.list('user-7')).toHaveLength(1)
    const met: unknown[] = []
    for await (const { id } of tokens.all()) met.push(id)
    for await (const owner_id of tokens.owners()) met.push(owner_id)
    expect(met).toEqual([token.id, 'user-7'])
    expect(await tokens.delOwner('user-7')).toBe(1)
    const hash = await tokens.makeHash('a', { replaces: 'reset' })
    expect(await tokens.takeHash(hash)).toBe('a')
    await tokens.makeHash('a', { owner_id: 'user-7' })
    const code = await tokens.makeCode('login')
    expect(await tokens.tryCode('login', `${code}0`)).toEqual({ ok: false, left: 4 })
    await tokens.add({ owner_id: 'user-7' })
    expect(await tokens.reset()).toBe(3)
    expect(await all()).toEqual(before)
  }
)
