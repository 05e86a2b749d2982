import { closeAfterAll } from '../support'
import { connectRedis, sessionStore, twoStores } from './fastify-app'
import { lostUpdates, races, revivals } from './fastify-races'

closeAfterAll()

const ROUNDS = 1000
const CONTROL = 100

describe.each(Object.entries(races))('a slow request: %s', (_name, race) => {
  it('revives no session', async () => {
    expect(await revivals(twoStores(), race, ROUNDS)).toBe(0)
  })

  it('revives nearly all of connect-redis', async () => {
    const store = await connectRedis()
    expect(await revivals([store, store], race, CONTROL)).toBeGreaterThan(0.9 * CONTROL)
  })
})

describe('eight requests that each write a field', () => {
  it('lose none', async () => {
    expect(await lostUpdates(sessionStore(), ROUNDS / 4)).toBe(0)
  })

  it('lose some of connect-redis', async () => {
    expect(await lostUpdates(await connectRedis(), CONTROL)).toBeGreaterThan(CONTROL)
  })
})
