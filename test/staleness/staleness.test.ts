import { faults } from './faults'
import { mutated, mutations } from './mutations'
import { stage } from './stage'
import { told } from './told'

// A short run: `npm run staleness` is the long one, with all mutants.
const SILENCE = 200

test('no answer is older than the silence, whatever fails', async () => {
  const found = await stage({ faults, ms: 300, silence: SILENCE })
  expect(found.flatMap(told).slice(0, 5)).toEqual([])
  expect(found.filter(({ reads, writes }) => reads === 0 || writes === 0)).toEqual([])
  // Else there was nothing to judge.
  expect(found.reduce((sum, { fromMemory }) => sum + fromMemory, 0)).toBeGreaterThan(1000)
})

test.each(mutations)('the fault on purpose "$what" has its place in the source', (mutation) => {
  expect(mutated(mutation)).not.toBe('')
})
