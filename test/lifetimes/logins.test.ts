import { client, closeAfterAll, freshPrefix, store } from '../support'

closeAfterAll()

const LOGINS = 1000
const MS = 30

test('an owner who keeps logging in never gathers dead members', async () => {
  const redis = client()
  const prefix = freshPrefix()
  const tokens = store({ prefix })
  const login = async (
    owner_id: string,
    lifetime: { ttl?: number; idle?: number }
  ): Promise<number> => {
    let most = 0
    for (let n = 0; n < LOGINS; n++) {
      const { id, expires_at } = await tokens.add({ owner_id, ...lifetime })
      const set = await redis.zrange(`${prefix}:tokens:${owner_id}`, '0', '-1', 'WITHSCORES')
      // The set is gone with its last member, or is as this add left it: without what had ended
      // at its time.
      if (set.length > 0) expect(set).toContain(id)
      const scores = set.filter((_, i) => i % 2).map(Number)
      expect(scores.filter((score) => score < expires_at! - MS)).toEqual([])
      most = Math.max(most, scores.length)
    }
    return most
  }
  const most = await Promise.all([
    login('ttl', { ttl: MS / 1000 }),
    login('idle', { idle: MS / 1000 }),
    login('both', { ttl: MS / 1000, idle: 60 })
  ])
  expect(Math.min(...most)).toBeGreaterThan(1)
  expect(Math.max(...most)).toBeLessThan(LOGINS / 2)
})
