import { closeAfterAll } from '../support'
import { connectRedis, lost, owner, RACES, revived } from './express-races'
import { sessionStore } from './express-site'

closeAfterAll()

const ROUNDS = 1000
const races = Object.entries(RACES)
// Of these connect-redis revives none: EXPIRE of what is gone, and a sid that nobody has.
const harmless = ['touch', 'regenerate']

test.each(races)(`%s: of ${ROUNDS} sessions that were logged out none is back`, async (_, race) => {
  expect(await revived(sessionStore({ owner }).store, race, ROUNDS)).toBe(0)
})

test.each(races)('%s: connect-redis, for comparison', async (name, race) => {
  const found = await revived(await connectRedis(), race, ROUNDS)
  console.info(`connect-redis, ${name}: ${found} of ${ROUNDS} sessions revived`)
  if (harmless.includes(name)) expect(found).toBe(0)
  else expect(found).toBeGreaterThan(ROUNDS * 0.9)
})

test(`eight writers, ${ROUNDS} rounds: no update is lost`, async () => {
  expect(await lost(sessionStore().store, ROUNDS)).toBe(0)
})

test('eight writers: connect-redis, for comparison', async () => {
  const missing = await lost(await connectRedis(), ROUNDS)
  console.info(`connect-redis: ${missing} of ${8 * ROUNDS} updates lost`)
  expect(missing).toBeGreaterThan(ROUNDS * 0.9)
})
