import { startRedis } from '../../scripts/redis-server'
import { UnavailableError } from '../../src/main'
import { store, until, within } from '../support'
import { closeAfterAll, open, topology, viaCallback } from './support'

closeAfterAll()

test('resolves to nothing once Redis has answered, and writes nothing', async () => {
  const { tokens, all } = open()
  expect(await tokens.ping()).toBeUndefined()
  expect(await Promise.all([tokens.ping(), tokens.ping()])).toEqual([undefined, undefined])
  expect(await all()).toEqual({})
})

test('with a callback', async () => {
  const { tokens } = open()
  expect(await viaCallback((done) => tokens.ping(done))).toBeUndefined()
  await tokens.quit()
  await expect(viaCallback((done) => tokens.ping(done))).rejects.toMatchObject({ code: 'TSCLOSED' })
})

test('rejects within the timeout while Redis hangs, and once it is away', async () => {
  // What one server does here, a master of a cluster does as well.
  if (topology.config.redis) return
  const server = await startRedis()
  const tokens = store({ ...topology.config, redis: server.url, timeout: 300 })
  const answers = (): Promise<boolean> =>
    tokens.ping().then(
      () => true,
      () => false
    )
  const fails = async (): Promise<void> => {
    const error: unknown = await within(
      1000,
      tokens.ping().catch((error: unknown) => error)
    )
    expect(error).toBeInstanceOf(UnavailableError)
    expect((error as Error).message).toMatch(/^ping: /)
  }
  await until(answers)
  process.kill(server.pid, 'SIGSTOP')
  await fails()
  process.kill(server.pid, 'SIGCONT')
  await until(answers)
  await server.stop()
  await fails()
  await fails()
})
