/**
 * Asks a store with a cache and prints the bytes of heap in use after each tenth of the calls.
 * As many as are given: `node --expose-gc --import tsx test/driver/heap-child.ts url 10000000`.
 */
import { Tokenstore } from '../../src/main'
import { random } from '../support/random'

const [url, calls] = [process.argv[2]!, Number(process.argv[3])]
const TOKENS = 2000
// Asked for far more often than the others. All of them are more than the cache holds.
const HOT = 400
const AT_ONCE = 100

async function main(): Promise<void> {
  const config = { redis: url, timeout: 10_000, idle: 600, touchEvery: 10 }
  const tokens = Tokenstore({ ...config, cache: { max: 1000 } })
  const plain = Tokenstore(config)
  const watcher = await tokens.watch()
  const rng = random(1)
  const one = <T>(all: T[]): T => all[Math.floor(rng() * all.length)]!
  const all = await Promise.all(
    Array.from({ length: TOKENS }, () => plain.add({ owner_id: 'ann' }))
  )
  const hot = all.slice(0, HOT)
  const used: number[] = []
  for (let asked = 0; asked < calls;) {
    for (const end = asked + calls / 10; asked < end; asked += AT_ONCE) {
      const keys = Array.from({ length: AT_ONCE }, () => (rng() < 0.998 ? one(hot) : one(all)).key)
      await Promise.all(keys.map((key) => tokens.getKey(key)))
      if (asked % 5000 === 0) {
        // As many come as go.
        const { id } = await plain.add({ owner_id: 'bo' })
        watcher.expect(id)
        await tokens.set(one(all).id, { asked })
        await plain.del(id)
      }
    }
    globalThis.gc!()
    used.push(process.memoryUsage().heapUsed)
  }
  await tokens.quit()
  await plain.reset()
  await plain.quit()
  console.log(JSON.stringify(used))
}

void main()
