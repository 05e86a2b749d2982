import { setTimeout as sleep } from 'node:timers/promises'
import { untreated, type Kind, type Proxy } from './proxy'
import type { Stage } from './stage'

/** What goes wrong again and again while processes work. */
export interface Fault {
  what: string
  /** Takes about a second, and leaves things as they were. */
  once(stage: Stage, rng: () => number): Promise<void>
}

/** Treats the connections of one process, or all of them, for so many ms. */
async function treat(
  { proxies }: Stage,
  kind: Kind,
  ms: number,
  how: Partial<Record<'toClient' | 'toServer', object>>
): Promise<void> {
  const lanes = proxies.map((proxy) => proxy.lanes[kind])
  for (const lane of lanes) {
    Object.assign(lane.toClient, how.toClient)
    Object.assign(lane.toServer, how.toServer)
  }
  await sleep(ms)
  for (const lane of lanes) {
    Object.assign(lane.toClient, untreated())
    Object.assign(lane.toServer, untreated())
  }
}
const all = (proxies: Proxy[], act: (proxy: Proxy) => void): void => proxies.forEach(act)
const hold = { hold: true }

export const LATE = 'what is told comes late'
export const LATE_THEN_SILENT = 'what is told comes late, and then not at all'
export const DEAF = 'nothing comes from the tracking connection, until it is cut'
export const OTHER_SERVER = 'another server, while what is told comes from the old one'

export const faults: Fault[] = [
  { what: 'none', once: () => sleep(500) },
  {
    what: LATE,
    once: (stage, rng) =>
      treat(stage, 'tracking', 700, { toClient: { delay: () => rng() * 0.7 * stage.silence } })
  },
  {
    what: LATE_THEN_SILENT,
    once: async (stage, rng) => {
      const ms = (0.7 + 0.3 * rng()) * stage.silence
      const delay = (): number => ms
      await treat(stage, 'tracking', (2 + rng()) * stage.silence, { toClient: { delay } })
      await treat(stage, 'tracking', 2.5 * stage.silence, { toClient: { delay, hold: true } })
      all(stage.proxies, (proxy) => proxy.cut('tracking'))
      await sleep(200)
    }
  },
  {
    what: DEAF,
    once: async (stage, rng) => {
      await treat(stage, 'tracking', (1 + 3 * rng()) * stage.silence, { toClient: hold })
      all(stage.proxies, (proxy) => proxy.cut('tracking'))
      await sleep(300)
    }
  },
  {
    what: 'nothing goes into the tracking connection, until it is cut',
    once: async (stage, rng) => {
      await treat(stage, 'tracking', (1 + 3 * rng()) * stage.silence, { toServer: hold })
      all(stage.proxies, (proxy) => proxy.cut('tracking'))
      await sleep(300)
    }
  },
  {
    what: 'the tracking connection is silent for a while',
    once: async (stage, rng) => {
      const both = { toServer: hold, toClient: hold }
      await treat(stage, 'tracking', (0.5 + 3 * rng()) * stage.silence, both)
      all(stage.proxies, (proxy) => proxy.pump())
      await sleep(400 * rng())
    }
  },
  {
    what: 'the tracking connection is cut',
    once: async (stage, rng) => {
      all(stage.proxies, (proxy) => proxy.cut('tracking'))
      await sleep(100 + 300 * rng())
    }
  },
  {
    what: 'the connection that asks is cut',
    once: async (stage, rng) => {
      all(stage.proxies, (proxy) => proxy.cut('asking'))
      await sleep(300 + 300 * rng())
    }
  },
  {
    what: 'answers come late',
    once: (stage, rng) => treat(stage, 'asking', 700, { toClient: { delay: () => 20 * rng() } })
  },
  {
    what: 'Redis stands still',
    once: async (stage, rng) => {
      process.kill(stage.server.pid, 'SIGSTOP')
      await sleep((0.5 + 3 * rng()) * stage.silence)
      process.kill(stage.server.pid, 'SIGCONT')
      await sleep(500)
    }
  },
  {
    what: 'a process stands still',
    once: async (stage, rng) => {
      const pid = stage.pids[Math.floor(rng() * stage.pids.length)]!
      process.kill(pid, 'SIGSTOP')
      await sleep((0.5 + 3 * rng()) * stage.silence)
      process.kill(pid, 'SIGCONT')
      await sleep(200)
    }
  },
  {
    what: 'Redis closes the tracking connection',
    once: async (stage) => {
      for (const line of String(await stage.redis.client('LIST')).split('\n')) {
        const [, id] = /^id=(\d+) .* sub=1 /.exec(line) ?? []
        if (id !== undefined) await stage.redis.client('KILL', 'ID', id)
      }
      await sleep(300)
    }
  },
  {
    what: 'FLUSHDB',
    once: async (stage) => {
      await stage.endAll(() => stage.redis.flushdb())
      await sleep(400)
    }
  },
  {
    what: "Redis' clock is set",
    once: async (stage, rng) => {
      stage.setClock(Math.round((rng() - 0.5) * 4000))
      await sleep(700)
    }
  },
  {
    what: OTHER_SERVER,
    once: async (stage) => {
      const [old, other] = [stage.server, stage.other]
      await stage.endAll(async () => {
        for (const { lanes } of stage.proxies) lanes.asking.port = other.port
        all(stage.proxies, (proxy) => proxy.cut('asking'))
      })
      await sleep(5 * stage.silence)
      all(stage.proxies, (proxy) => proxy.cut('tracking'))
      await sleep(5 * stage.silence)
      for (const { lanes } of stage.proxies) lanes.tracking.port = other.port
      all(stage.proxies, (proxy) => proxy.cut('tracking'))
      await stage.swap(old)
      await sleep(300)
    }
  }
]
