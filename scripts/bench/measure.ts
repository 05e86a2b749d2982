/**
 * Runs the contenders, one process each, on one Redis in one interleaved run:
 * A B C … C B A, several rounds; then what has servers of its own.
 */
import { join } from 'node:path'
import { beside } from './beside'
import { NAMES } from './contenders'
import { growth, type Growth } from './growth'
import { memory, type Memory } from './memory'
import { root } from './paths'
import type { Progress } from './progress'
import type { Place } from './report'
import { resets, type Reset } from './resets'
import { scriptFigures, type ScriptFigures } from './script-figures'
import type { Settings } from './settings'
import { speed, VISITS, type Cell } from './speed'
import { topologies, type Topology } from './topologies'

export interface Measured extends Place {
  cells: Cell[]
  memory: Memory[]
  resets: Reset[]
  scripts: ScriptFigures
  growth: Growth[]
  topologies: Topology[]
}

export function measure(settings: Settings, peers: boolean, progress: Progress): Promise<Measured> {
  return beside(NAMES, peers, async ({ redis, contenders, version, pinned }) => {
    const [scripts] = await scriptFigures([join(root, 'lua')], settings, progress)
    return {
      redis: version,
      pinned,
      scripts: scripts!,
      cells: await speed(settings, progress, redis, contenders, VISITS),
      memory: await memory(settings, progress, redis, contenders),
      resets: await resets(settings, progress, redis, contenders),
      growth: await growth(settings, progress),
      topologies: await topologies(settings, progress)
    }
  })
}
