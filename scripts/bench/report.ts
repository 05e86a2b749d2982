/** What was measured, where, and whether that will do: for programs. */
import { cpus, release, totalmem, type } from 'node:os'
import type { Bar } from './bars'
import type { Settings } from './settings'

/** On which Redis. */
export interface Place {
  /** Its version. */
  redis: string
  /** Whether it had a core of its own. */
  pinned: boolean
}

export interface Header {
  machine: { cpu: string; cores: number; memory: string; system: string }
  versions: Record<string, string>
  settings: Settings
  bars: Bar[]
}

export type Report<Measured extends Place> = Header & Measured

export function report<Measured extends Place>(
  measured: Measured,
  bars: Bar[],
  settings: Settings,
  others: Record<string, string>
): Report<Measured> {
  const node = process.versions.node
  return {
    machine: {
      cpu: cpus()[0]!.model.trim(),
      cores: cpus().length,
      memory: `${Math.round(totalmem() / 2 ** 30)} GB`,
      system: `${type()} ${release().split('-')[0]}`
    },
    versions: { Node: node, Redis: measured.redis, ...others },
    settings,
    bars,
    ...measured
  }
}

/** On which machine, and with which versions. */
export function machineLine({ machine, versions, settings, pinned }: Report<Place>): string {
  const { 'tokenstore 0.0.4': old, ...others } = versions
  if (old) others.tokenstore = `${others.tokenstore} and ${old}`
  const list = Object.entries(others).map(([name, v]) => `${name} ${v}`)
  const { cpu, cores, memory, system } = machine
  const apart = ', Redis on one core and its callers on the rest'
  const where = `${cores} cores of ${cpu}, ${memory}, ${system}`
  const quick = settings.quick ? '; a quick run' : ''
  return `${where}${pinned ? apart : ''}; ${list.join(', ')}${quick}`
}
