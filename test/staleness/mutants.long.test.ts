import { mutations } from './mutations'
import { missed } from './try-mutants'

test('the checker finds what is broken in the driver', async () => {
  const some = mutations.filter(({ soon }) => soon)
  const none = { mutations: [], violations: [] }
  expect(await missed(some, { ms: 3000 })).toEqual(none)
})
