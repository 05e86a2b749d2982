/**
 * Calls every method with a callback that throws, once with good arguments and
 * once with wrong ones, and prints what became of it: how often each was called
 * and what reached the process as uncaught.
 */
import { Tokenstore } from '../../src/main'
import type { Config } from '../../src/types'
import { until } from '../support'

const tokens = Tokenstore(JSON.parse(process.argv[2]!) as Config)
const uncaught: string[] = []
const rejections: string[] = []
const calls: Record<string, number> = {}
process.on('uncaughtException', (error) => uncaught.push(error.message))
process.on('unhandledRejection', (error) => rejections.push(String(error)))

const good: Record<string, unknown[]> = {
  add: [{ owner_id: 'user-7' }],
  getKey: ['x'.repeat(24)],
  get: ['x'],
  set: ['x', {}],
  update: ['x', () => ({})],
  change: ['x', { ttl: 60 }],
  del: ['x'],
  delKey: ['x'],
  delOwner: ['x'],
  list: ['user-7'],
  count: ['user-7'],
  rotate: ['x'],
  refresh: ['x'],
  makeHash: ['x'],
  getHash: ['x'],
  takeHash: ['x'],
  delHash: ['x'],
  makeCode: ['x'],
  tryCode: ['x', '123456'],
  reset: [],
  ping: [],
  quit: []
}

type Methods = Record<string, (...args: unknown[]) => unknown>
for (const [method, args] of Object.entries(good)) {
  const cases = args.length === 0 ? [args] : [args, [undefined, ...args.slice(1)]]
  for (const [i, given] of cases.entries()) {
    const name = `${method} ${i === 0 ? 'right' : 'wrong'}`
    calls[name] = 0
    ;(tokens as unknown as Methods)[method]!(...given, () => {
      calls[name]!++
      throw new Error(`thrown by ${name}`)
    })
  }
}
const report = (): boolean =>
  process.stdout.write(JSON.stringify({ calls, uncaught: uncaught.sort(), rejections }))
// After all have called back, quit among them, and what could do so again has
// had its time.
void until(() => !Object.values(calls).includes(0))
  .catch(() => {})
  .then(() => setTimeout(report, 300))
