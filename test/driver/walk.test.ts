import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { startRedis } from '../../scripts/redis-server'
import { Context } from '../../src/context'
import { Walk } from '../../src/walk'
import { until, within } from '../support'
import { Root } from '../support/root'
import { closeAfterEach, later, open, own, server } from './opened'

closeAfterEach()

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** MB that are in use. */
function heap(): number {
  collect()
  return process.memoryUsage().heapUsed / 2 ** 20
}

test('a million names take little memory', async () => {
  const { port } = await server('--save', '', '--enable-debug-command', 'yes')
  const million = 1_000_000
  await own(port).call('DEBUG', 'POPULATE', million, 'token:id')
  const { connection, layout } = new Context({ redis: { port }, timeout: 10_000 })
  later(() => connection.close())
  const before = heap()
  let [n, most] = [0, 0]
  for await (const names of new Walk('all', connection, layout).once('id')) {
    if ((n + names.length) % 200_000 < names.length) most = Math.max(most, heap() - before)
    n += names.length
  }
  expect(n).toBe(million)
  // All of them would be more than 100.
  expect(most).toBeLessThan(30)
})

test('20,000 tokens of one owner come once each, and keep nobody else waiting', async () => {
  const { port } = await server('--save', '')
  const root = new Root(own(port))
  await root.seed(1, 20_000)
  const config = { redis: { port }, prefix: root.name, timeout: 10_000 }
  const [tokens, other] = [open(config), open(config)]
  const seen = new Set<string>()
  let n = 0
  for await (const { id } of tokens.all()) {
    seen.add(id)
    if (++n % 1000 === 0) await within(1000, other.get(id))
  }
  expect([n, seen.size]).toEqual([20_000, 20_000])
})

const TOKENS = 2000
const DURABLE = ['--appendonly', 'yes']

test.each(['all', 'owners', 'reset'] as const)(
  '%s does not go on in a server that was started again, where its place is another',
  async (method) => {
    const { port, dir, kill } = await server(...DURABLE)
    const redis = own(port)
    const root = new Root(redis)
    for (let n = 0; n < TOKENS; n += 2) await root.seed(n, n + 1, `user-${n}`)
    const tokens = open({ prefix: root.name, redis: { port } })
    const names = await redis.dbsize()

    const restart = async (): Promise<void> => {
      await kill()
      const again = await startRedis(DURABLE, { port, dir })
      later(() => again.stop())
      const answers = (): Promise<boolean> =>
        tokens.ping().then(
          () => true,
          () => false
        )
      await until(answers)
    }
    const walk = async (): Promise<unknown> => {
      if (method === 'reset') {
        const removed = tokens.reset()
        await until(async () => (await redis.dbsize()) < names)
        return Promise.all([removed, restart()])
      }
      const walked = tokens[method]()
      await walked.next()
      await restart()
      while (!(await walked.next()).done);
      return undefined
    }
    await expect(walk()).rejects.toMatchObject({ code: 'TSUNAVAILABLE' })
    expect(await redis.dbsize()).toBeGreaterThan(0)
  }
)
