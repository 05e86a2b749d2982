import { setTimeout as sleep } from 'node:timers/promises'
import { PATIENCE } from '../../scripts/redis-cluster'
import { partitioned } from '../../src/layout'
import { freshPrefix, until } from '../support'
import { History, type ClockSet } from '../staleness/history'
import { DRIVER, judge, machineClock, now, settings, startCrew } from '../staleness/stage'
import { told } from '../staleness/told'
import { report, useCluster } from './support'

jest.setTimeout(180_000)
const { cluster } = useCluster()

const SILENCE = 500
const PROCESSES = 3
// What may be under way to a replica when its master dies.
const REPLICATED_MS = 1000

/** Has processes work on the cluster meanwhile, and judges their answers. */
async function work(
  title: string,
  happens: (prefix: string, doubts: [number, number][]) => Promise<void>
): Promise<void> {
  const prefix = freshPrefix()
  const clock: ClockSet[] = [{ from: 0, to: 0, ahead: machineClock() }]
  const crew = await startCrew(
    Array.from({ length: PROCESSES }, (_, i) => ({
      driver: DRIVER,
      process: i,
      seed: i,
      cluster: cluster().startup,
      config: { prefix, ...settings(SILENCE) }
    }))
  )
  try {
    const doubts: [number, number][] = []
    await sleep(1000)
    await happens(prefix, doubts)
    await crew.stop()
    const history = new History(SILENCE, clock, doubts)
    const [found] = await judge(crew.logs, history, [], [[0, title]])
    const { violations, ...numbers } = found!
    report(`staleness, ${title}`, { ...numbers, violations: violations.length })
    expect(told(found!).slice(0, 5)).toEqual([])
    expect(numbers.fromMemory).toBeGreaterThan(1000)
    // What a failover may have undone is not judged.
    expect(numbers.reads - numbers.inDoubt).toBeGreaterThan(2000)
  } finally {
    crew.close()
  }
}

test('no answer is older than the silence while slots move', () =>
  work('slots move', async (prefix) => {
    const masters = await cluster().masters()
    const slots = await Promise.all(
      Array.from({ length: 12 }, (_, i) => `end-${i}`).map((owner) =>
        masters[0]!.redis.cluster('KEYSLOT', partitioned(prefix).ownerRoot(owner))
      )
    )
    const end = now() + 8000
    for (let i = 0; now() < end; i++) {
      const slot = slots[i % slots.length]!
      const from = await cluster().ownerOf(slot)
      const to = masters[(masters.indexOf(from) + 1 + (i % 2)) % masters.length]!
      await cluster().moveSlot(slot, to, { batch: 4, pause: 2 })
      await sleep(50)
    }
  }))

test.each([
  ['killed', false],
  ['hung', true]
])('no answer is older than the silence when a master is %s', async (how, hangs) => {
  const victim = await cluster().ownerOf(0)
  const others = cluster().nodes.filter((node) => node !== victim)
  try {
    await work(`a master is ${how}`, async (_, doubts) => {
      await cluster().patience(1000)
      const from = now() - REPLICATED_MS
      if (hangs) victim.pause()
      else await victim.kill()
      await until(async () => {
        const states = await Promise.all(others.map(({ redis }) => redis.cluster('INFO')))
        const ok = states.every((state) => state.includes('cluster_state:ok'))
        return ok && (await cluster().masters()).length === 3
      }, 30_000)
      doubts.push([from, now()])
      await cluster().patience(PATIENCE)
      await sleep(4000)
      // One that was deposed while it hung answers again, until it hears of that.
      if (hangs) victim.resume()
      if (hangs) await sleep(2000)
    })
  } finally {
    if (hangs && victim.paused) victim.resume()
    if (!hangs) await victim.restart()
    await cluster().healthy()
  }
})
