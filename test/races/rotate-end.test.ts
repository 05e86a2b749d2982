import { audit, client, closeAfterAll } from '../support'
import { contenders, living, races, rounds, values } from './race'

closeAfterAll()

const lifetimes = [{}, { ttl: 600 }, { idle: 600 }]

test.each(['del', 'delOwner', 'delKey within a grace'])(
  'after %s no key of a token that is rotated opens',
  async (end) => {
    const { prefix, stores } = await contenders(5)
    const [ender, ...rotators] = stores
    const race = races(10)
    const seen = { before: 0, after: 0 }
    const run = async (round: number): Promise<void> => {
      const owner_id = `user-${round}`
      const { id, key } = await ender!.add({ owner_id, ...lifetimes[round % 3] })
      const options = round % 2 || end.startsWith('delKey') ? { grace: 300 } : {}
      const ends = {
        del: () => ender!.del(id),
        delOwner: () => ender!.delOwner(owner_id),
        'delKey within a grace': () => ender!.delKey(key)
      }[end]!
      const [ended, ...rotated] = values(
        await race<unknown>([ends, ...rotators.map((tokens) => () => tokens.rotate(id, options))])
      )
      expect(Number(ended)).toBe(1)
      const answered = rotated.filter((token) => token !== null) as { key: string }[]
      seen.before += answered.length
      seen.after += rotators.length - answered.length
      const keys = [key, ...answered.map((token) => token.key)]
      expect(await Promise.all(keys.map((each) => ender!.getKey(each)))).toEqual(
        keys.map(() => null)
      )
      expect(await ender!.list(owner_id)).toEqual([])
    }
    await rounds(run, { seen })
    expect(Math.min(seen.before, seen.after)).toBeGreaterThan(0)
    expect(await living(client(), prefix)).toEqual({})
    expect(await audit(client(), prefix)).toEqual([])
  }
)

test('delKey of a key that is rotated out meanwhile ends the token or finds nothing', async () => {
  const { prefix, stores } = await contenders(4)
  const [ender, ...rotators] = stores
  const race = races(11)
  const seen = { ended: 0 }
  const run = async (round: number): Promise<void> => {
    const { id, key } = await ender!.add({ owner_id: `user-${round % 7}`, ...lifetimes[round % 3] })
    const [found, ...rotated] = values(
      await race<unknown>([
        () => ender!.delKey(key),
        ...rotators.map((tokens) => () => tokens.rotate(id))
      ])
    )
    // Rotates that come before delKey make its key unknown; after it there is nothing to rotate.
    expect(rotated.filter((token) => token === null)).toHaveLength(found ? rotators.length : 0)
    expect(await ender!.getKey(key)).toBeNull()
    expect((await ender!.get(id)) === null).toBe(found)
    seen.ended += Number(found)
  }
  const ran = await rounds(run, { seen })
  expect(seen.ended).toBeGreaterThan(0)
  expect(await audit(client(), prefix)).toEqual([])
  expect(await ender!.reset()).toBe(ran - seen.ended)
})
