import { faults } from './faults'
import { mutations } from './mutations'
import { stage } from './stage'
import { told } from './told'
import { missed } from './try-mutants'

// A short run: `npm run staleness` is the long one, with all mutants.
const SILENCE = 200

test('no answer is older than the silence, whatever fails', async () => {
  const found = await stage({ faults, ms: 300, silence: SILENCE })
  expect(found.flatMap(told).slice(0, 5)).toEqual([])
  expect(found.filter(({ reads, writes }) => reads === 0 || writes === 0)).toEqual([])
  // Else there was nothing to judge.
  expect(found.reduce((sum, { fromMemory }) => sum + fromMemory, 0)).toBeGreaterThan(1000)
})

test('the checker finds what is broken in the driver', async () => {
  const some = mutations.filter(({ soon }) => soon)
  const none = { mutations: [], violations: [] }
  expect(await missed(some, { ms: 1000, silence: SILENCE })).toEqual(none)
})
