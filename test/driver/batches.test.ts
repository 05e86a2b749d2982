import { UnavailableError } from '../../src/main'
import { closeAfterAll, freshPrefix, within } from '../support'
import { closeAfterEach, open, own, proxy, server } from './opened'

closeAfterAll()
closeAfterEach()

describe('keys that are asked for together', () => {
  test('whatever Redis says of one, the others are answered', async () => {
    const { port } = await server()
    const prefix = freshPrefix()
    const admin = own(port)
    const all = open({ redis: { port }, prefix, timeout: 10_000 })
    const token = await all.add({ owner_id: 'ann' })
    const forbidden = await all.add({ owner_id: 'ann', key: 'f'.repeat(24) })
    const names = [`~${prefix}`, `~${prefix}:key:${token.key}`, `~${prefix}:id:*`]
    await admin.acl('SETUSER', 'some', 'on', '>pass', '+@all', ...names)
    const redis = { port, username: 'some', password: 'pass' }
    const some = open({ redis, prefix, timeout: 10_000 })
    const asked = [token.key, forbidden.key, token.key].map((key) => some.getKey(key))
    const [first, second, third] = await Promise.allSettled(asked)
    expect(first).toMatchObject({ value: token })
    expect(second).toMatchObject({ reason: { code: 'ERR' } })
    expect(third).toMatchObject({ value: token })
  })

  test('are answered within one timeout, even when they are asked for again', async () => {
    const { port } = await server()
    const prefix = freshPrefix()
    await own(port).set(`${prefix}:key:${'f'.repeat(24)}`, 'foreign')
    const timeout = 2000
    let batches = 0
    const slow = await proxy(port, async (data, forward) => {
      if (!data.includes('TOUCH')) return forward(data)
      // The first is answered late, what is asked then not at all.
      if (batches++ > 0) return
      await new Promise((resolve) => setTimeout(resolve, timeout * 0.75))
      forward(data)
    })
    const tokens = open({ redis: { port: slow }, prefix, timeout })
    await tokens.count('ann')
    const asked = ['f', 'g'].map((letter) => tokens.getKey(letter.repeat(24)))
    const outcomes = await within(timeout * 1.4, Promise.allSettled(asked))
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ reason: expect.any(UnavailableError) })
    }
    expect(batches).toBeGreaterThan(1)
  })
})

test('scripts that are forgotten again and again within a round trip are sent again', async () => {
  const { port } = await server()
  const admin = own(port)
  let flushes = 0
  const forgetful = await proxy(port, async (data, forward) => {
    // Each command by itself, and the first hundred each to a Redis that knows no script.
    for (const command of data.toString('latin1').split(/(?=\*\d+\r\n\$\d+\r\neval)/)) {
      if (flushes++ < 100) await admin.script('FLUSH', 'SYNC')
      forward(Buffer.from(command, 'latin1'))
    }
  })
  const tokens = open({ redis: { port: forgetful }, timeout: 20_000 })
  const asked = Array.from({ length: 60 }, () => tokens.add({ owner_id: 'ann' }))
  expect(new Set((await Promise.all(asked)).map(({ id }) => id)).size).toBe(60)
  expect(await tokens.count('ann')).toBe(60)
  expect(flushes).toBeGreaterThan(60)
})
