import type { Tokenstore } from '../../src/main'
import { closeAfterAll, redisUrl, store } from '../support'
import { run } from './run'

closeAfterAll()

/** Each way in which calls wait for a tick, for each other, or for one that failed. */
async function answers(tokens: Tokenstore): Promise<void> {
  const token = await tokens.add({ owner_id: 'ann', attrs: { n: 0 } })
  expect(await Promise.all([1, 2, 3].map(() => tokens.getKey(token.key)))).toHaveLength(3)
  expect(await tokens.getKey(token.key)).toEqual(token)
  const count = (attrs: Record<string, unknown>): object => ({ n: Number(attrs.n) + 1 })
  const add = (): Promise<unknown> => tokens.update(token.id, count as never)
  await Promise.all([add(), add(), add()])
  expect(await tokens.get(token.id)).toMatchObject({ attrs: { n: 3 } })
  const byCallback = new Promise((resolve) => tokens.count('ann', (...args) => resolve(args)))
  expect(await byCallback).toEqual([null, 1])
}

describe("jest's", () => {
  afterEach(() => {
    jest.useRealTimers()
  })

  test.each([
    ['modern', () => jest.useFakeTimers()],
    ['legacy', () => jest.useFakeTimers({ legacyFakeTimers: true })]
  ])('%s: a connected store answers, and goes on when they are gone', async (_name, fake) => {
    const tokens = store()
    await tokens.count('ann')
    fake()
    await answers(tokens)
    jest.useRealTimers()
    await tokens.delOwner('ann')
    await answers(tokens)
  })
})

test.each([
  ["node's", "require('node:test').mock.timers.enable()"],
  // What sinon and vitest install.
  [
    "sinon's",
    `const { install } = require('@sinonjs/fake-timers')
     install({ toNotFake: [] })`
  ]
])('%s: a connected store answers', async (_name, fake) => {
  const outcome = await run(`
    const tokens = Tokenstore({ redis: '${redisUrl()}', prefix: 'fake-${process.pid}' })
    await tokens.reset()
    ${fake}
    const { key, id } = await tokens.add({ owner_id: 'ann', attrs: { n: 0 } })
    const add = () => tokens.update(id, ({ n }) => ({ n: n + 1 }))
    await Promise.all([add(), add(), add()])
    const found = await Promise.all([tokens.getKey(key), tokens.getKey(key)])
    await new Promise((resolve) => tokens.count('ann', resolve))
    console.log(found.map(({ attrs }) => attrs.n).join())
    await tokens.reset()
    process.exit()`)
  expect(outcome).toMatchObject({ stdout: '3,3\n', code: 0 })
})
