import { closeAfterAll } from '../support'
import { connectRedis, lost, owner, RACES, revived } from './express-races'
import { sessionStore } from './express-site'

closeAfterAll()

const ROUNDS = 1000
// The 1,000 of which SESSIONS.md tells take two minutes more.
const CONTROL = 100
const races = Object.entries(RACES)
// Of these connect-redis revives none: EXPIRE of what is gone, and a sid that nobody has.
const harmless = ['touch', 'regenerate']

test.each(races)(`%s: of ${ROUNDS} sessions that were logged out none is back`, async (_, race) => {
  expect(await revived(sessionStore({ owner }).store, race, ROUNDS)).toBe(0)
})

test.each(races)('%s: connect-redis, for comparison', async (name, race) => {
  const found = await revived(await connectRedis(), race, CONTROL)
  console.info(`connect-redis, ${name}: ${found} of ${CONTROL} sessions revived`)
  if (harmless.includes(name)) expect(found).toBe(0)
  else expect(found).toBeGreaterThan(CONTROL * 0.9)
})

test(`eight writers, ${ROUNDS} rounds: no update is lost`, async () => {
  expect(await lost(sessionStore().store, ROUNDS)).toBe(0)
})

test('eight writers: connect-redis, for comparison', async () => {
  const missing = await lost(await connectRedis(), CONTROL)
  console.info(`connect-redis: ${missing} of ${8 * CONTROL} updates lost`)
  expect(missing).toBeGreaterThan(CONTROL * 0.9)
})
