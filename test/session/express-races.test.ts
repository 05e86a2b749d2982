import { client, closeAfterAll, keyspace } from '../support'
import { connectRedis, lost, owner, RACES, revived } from './express-races'
import { done, save, sessionStore, site } from './express-site'

closeAfterAll()

// express-races.long.test.ts has a thousand.
const ROUNDS = 4

test.each(Object.entries(RACES))('%s: a session that is logged out stays so', async (_, race) => {
  expect(await revived(sessionStore({ owner }).store, race, ROUNDS)).toBe(0)
})

test('no update of eight at once is lost', async () => {
  expect(await lost(sessionStore().store, ROUNDS)).toBe(0)
})

test('a store that reads and writes revives sessions and loses updates', async () => {
  expect(await revived(await connectRedis(), RACES.save!, ROUNDS)).toBe(ROUNDS)
  expect(await lost(await connectRedis(), ROUNDS)).toBeGreaterThan(ROUNDS)
})

test('a logout between the tries of one save ends it', async () => {
  const { store, prefix, gone } = sessionStore()
  const ann = (await site(store)).browser()
  await ann.visit(({ session }) => save(Object.assign(session, { n: 1 })))
  const { update } = store.tokens
  const tried = jest.spyOn(store.tokens, 'update')
  await ann.visit(async ({ session, sessionID }) => {
    // Another request is faster, so that this one has to read anew: too late.
    await ann.visit((request) => save(Object.assign(request.session, { n: 2 })))
    tried.mockImplementation(async (id, change) => {
      await done((then) => store.destroy(sessionID, then))
      return update(id, change as never)
    })
    session.m = 1
  })
  expect(tried).toHaveBeenCalledTimes(1)
  expect(gone).toHaveLength(1)
  expect(await keyspace(client(), prefix)).toEqual({})
})
