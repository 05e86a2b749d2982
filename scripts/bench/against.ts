/**
 * Holds the scripts of this library against those of another folder, in one
 * run on one server: is a changed script slower?
 */
import { join } from 'node:path'
import { root } from './paths'
import type { Progress } from './progress'
import { PLAIN_GET, scriptFigures, type ScriptFigures } from './script-figures'
import type { Settings } from './settings'
import { median, quantile, ratios } from './statistics'
import { fixed, range, table } from './table'

/** What is no further from 1 than this is called the same. */
const NOISE = 0.05

export interface Against {
  lua: ScriptFigures
  other: ScriptFigures
}

export async function against(
  folder: string,
  settings: Settings,
  progress: Progress
): Promise<Against> {
  const folders = [join(root, 'lua'), folder]
  const [lua, other] = await scriptFigures(folders, settings, progress)
  return { lua: lua!, other: other! }
}

export function againstText({ lua, other }: Against, folder: string): string {
  const rows = Object.entries(lua.times).map(([call, us]) => {
    const own = ratios(us, other.times[call]!)
    return [
      call,
      fixed(median(us), 2),
      fixed(median(other.times[call]!), 2),
      digits(median(own)),
      range(quantile(own, 0.25), quantile(own, 0.75)),
      call === PLAIN_GET ? '' : verdict(own)
    ]
  })
  const kinds = Object.keys(lua.bytes) as (keyof typeof lua.bytes)[]
  const memory = kinds.map((kind) => {
    const [a, b] = [lua.bytes[kind], other.bytes[kind]]
    return [kind, fixed(a, 0), fixed(b, 0), fixed(a / b, 2)]
  })
  const rotated = ['record after 200 rotations with grace, longer by']
  for (const { rotated: bytes } of [lua, other]) rotated.push(fixed(bytes, 0))
  const columns = ['lua', folder, 'x']
  return [
    table(['us in the server', ...columns, '(quartiles)', ''], rows),
    table(['bytes per token', ...columns], [...memory, [...rotated, '']]),
    'x: the median of the ratios of the rounds. The plain GET is the same on ' +
      'both sides, and shows the noise.'
  ].join('\n\n')
}

const digits = (ratio: number): string => fixed(ratio, ratio < 0.1 ? 4 : 2)

/** Of the ratios of all rounds, most of which must say so. */
function verdict(own: number[]): string {
  const x = median(own)
  if (x > 1 + NOISE && quantile(own, 0.25) > 1) return 'slower'
  if (x < 1 - NOISE && quantile(own, 0.75) < 1) return 'faster'
  return 'same'
}
