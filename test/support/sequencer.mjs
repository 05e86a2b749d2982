import Sequencer from '@jest/test-sequencer'

// First what measures time, beside one that needs a core for itself, so that no two contend for
// one. Then the longest: one that began last would be waited for alone. By itself jest goes by
// the size of files that it has not run before.
const FIRST = [
  'model/search',
  'driver/blocked',
  'driver/connection',
  'driver/overload',
  'driver/wire',
  'lifetimes/expiry',
  'cli/load',
  'staleness/staleness',
  'package/package',
  'lifetimes/walk',
  'languages/runners'
].map((name) => `/test/${name}.test.ts`)

export default class extends Sequencer {
  sort(tests) {
    const rank = ({ path }) => {
      const at = FIRST.findIndex((name) => path.endsWith(name))
      return at < 0 ? FIRST.length : at
    }
    return super.sort(tests).sort((a, b) => rank(a) - rank(b))
  }
}
