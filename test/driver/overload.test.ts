import { type Tokenstore, UnavailableError } from '../../src/main'
import { until } from '../support'
import { Root } from '../support/root'
import { closeAfterEach, later, open, own, proxy, server } from './opened'

closeAfterEach()

// One owner with so many tokens that a list of them keeps Redis for milliseconds.
const TOKENS = 3000
const LOAD_MS = 3000
const EVERY_MS = 2

/** Scripts that Redis has run. */
async function executed(port: number): Promise<number> {
  const stats = await own(port).info('commandstats')
  const calls = [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)]
  return calls.reduce((sum, [, n]) => sum + Number(n), 0)
}

interface Outcome {
  /** Milliseconds from the beginning of the load to the answer. */
  at: number
  error?: Error
}

/** Asks for the list far more often than Redis can answer it, and waits for all. */
async function overload(tokens: Tokenstore): Promise<Outcome[]> {
  const start = performance.now()
  const asked: Promise<Outcome>[] = []
  const at = (): number => performance.now() - start
  const ask = (): Promise<Outcome> =>
    tokens.list('ann').then(
      () => ({ at: at() }),
      (error: Error) => ({ at: at(), error })
    )
  // As many, however seldom a busy process gets to it.
  const timer = setInterval(() => {
    while (asked.length < at() / EVERY_MS) asked.push(ask())
  }, EVERY_MS)
  await until(() => at() > LOAD_MS)
  clearInterval(timer)
  return Promise.all(asked)
}

test('with more than Redis can do it goes on answering, and what was given up unsent is not sent', async () => {
  const { port } = await server()
  const timeout = 2000
  const root = new Root(own(port))
  await root.seed(1, TOKENS, 'ann')
  const tokens = open({ redis: { port }, prefix: root.name, timeout })
  const { id } = await tokens.add({ owner_id: 'ann' })
  const before = await executed(port)

  const outcomes = await overload(tokens)
  const failed = outcomes.filter(({ error }) => error !== undefined)
  const late = failed.filter(({ error }) => /may still happen/.test(error!.message))
  const unsent = failed.filter(({ error }) =>
    /behind with earlier calls, and this was not sent/.test(error!.message)
  )
  for (const { error } of failed) expect(error).toBeInstanceOf(UnavailableError)
  expect(unsent.length).toBeGreaterThan(0)
  expect(late.length + unsent.length).toBe(failed.length)
  // From the beginning to the end.
  for (const half of [0, 1]) {
    const answered = outcomes.filter(
      ({ at, error }) => error === undefined && Math.floor((2 * at) / LOAD_MS) === half
    )
    expect(answered.length).toBeGreaterThan(0)
  }
  // The load is over, and so is what it left: nothing is in the way of a write.
  expect(await tokens.set(id, { after: true })).toMatchObject({ id })
  const answered = outcomes.length - failed.length
  expect(await executed(port)).toBe(before + answered + late.length + 1)
})

test('a network that becomes slow is not taken for overload', async () => {
  const { port } = await server()
  let delay = 0
  const far = await proxy(port, (data, forward) => {
    setTimeout(forward, delay, data)
  })
  const tokens = open({ redis: { port: far }, timeout: 2000 })
  const { id } = await tokens.add({ owner_id: 'ann' })
  const asked: Promise<unknown>[] = []
  const timer = setInterval(() => {
    for (let n = 0; n < 5; n++) asked.push(tokens.get(id))
  }, 10)
  await until(() => asked.length > 200)
  delay = 250
  await until(() => asked.length > 700)
  clearInterval(timer)
  for (const answer of await Promise.all(asked)) expect(answer).toMatchObject({ id })
})

test('nor is one that is slow', async () => {
  const { port } = await server()
  const timeout = 1000
  const far = await proxy(port, (data, forward) => {
    setTimeout(forward, timeout / 2, data)
  })
  const tokens = open({ redis: { port: far }, timeout })
  await until(() =>
    tokens.count('ann').then(
      () => true,
      () => false
    )
  )
  const asked: Promise<unknown>[] = []
  const timer = setInterval(() => {
    for (let n = 0; n < 2; n++) asked.push(tokens.count('ann'))
  }, 10)
  await until(() => asked.length > 300)
  clearInterval(timer)
  for (const answer of await Promise.all(asked)) expect(answer).toBe(0)
})

test('nor a Redis that stands still, and is back in time', async () => {
  const { port, pid } = await server()
  const timeout = 2000
  const tokens = open({ redis: { port }, timeout })
  await tokens.count('ann')
  const asked: Promise<unknown>[] = []
  const timer = setInterval(() => asked.push(tokens.count('ann')), 10)
  await until(() => asked.length > 10)
  process.kill(pid, 'SIGSTOP')
  later(() => process.kill(pid, 'SIGCONT'))
  const stopped = performance.now()
  await until(() => performance.now() - stopped > timeout * 0.65)
  process.kill(pid, 'SIGCONT')
  await until(() => asked.length > 150)
  clearInterval(timer)
  for (const answer of await Promise.all(asked)) expect(answer).toBe(0)
})

test('quit waits for what was asked before it, sent or not', async () => {
  const { port } = await server()
  const tokens = open({ redis: { port }, timeout: 10_000 })
  await tokens.count('ann')
  const asked = Array.from({ length: 2000 }, () => tokens.add({ owner_id: 'ann' }))
  await tokens.quit()
  expect(await Promise.all(asked)).toHaveLength(2000)
  expect(await open({ redis: { port }, prefix: 'x' }).count('ann')).toBe(0)
})

test('at most so many calls wait that memory has an end', async () => {
  const { port, pid } = await server()
  const tokens = open({ redis: { port }, timeout: 20_000 })
  await tokens.count('ann')
  process.kill(pid, 'SIGSTOP')
  later(() => process.kill(pid, 'SIGCONT'))
  const errors: Error[] = []
  for (let n = 0; n < 100_300; n++) {
    tokens.count('ann').catch((error: Error) => errors.push(error))
  }
  await until(() => errors.length > 0)
  expect(errors[0]).toBeInstanceOf(UnavailableError)
  expect(errors[0]!.message).toMatch(/behind with earlier calls, and this was not sent/)
  expect(errors.length).toBeLessThan(300)
  process.kill(pid, 'SIGCONT')
})
