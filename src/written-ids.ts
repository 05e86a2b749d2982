import type { Args } from './args'
import { isOne, readRecord } from './record'
import type { ScriptName } from './scripts'

/** Scripts that write no token. */
export const WRITES_NO_TOKEN: ReadonlySet<ScriptName> = new Set<ScriptName>([
  ...(['get', 'getkey', 'list', 'count'] as const),
  ...(['makehash', 'gethash', 'takehash', 'delhash', 'makecode', 'trycode'] as const)
])

/**
 * The ids of the tokens that a script wrote, by its arguments and its answer; undefined when
 * these do not say. `kept` is the id of the first argument, where that is a key whose id is
 * known.
 */
export function writtenIds(
  script: ScriptName,
  args: Readonly<Args>,
  reply: unknown,
  kept: string | undefined
): string[] | undefined {
  const first = String(args[0])
  const several = Array.isArray(reply) ? (reply as string[]) : []
  switch (script) {
    case 'set':
    case 'rotate':
    case 'del':
      return [first]
    case 'add':
      return several.slice(3)
    case 'change':
      return [first, ...several.slice(3)]
    case 'refresh':
      // A triple, or the id and owner of a token that was revoked.
      return several.length === 3 ? [readRecord(several[1]!)!.id] : several.slice(0, 1)
    case 'delkey':
      if (!isOne(reply)) return []
      return kept === undefined ? undefined : [kept]
    case 'delowner':
      return Number(reply) === 0 ? [] : undefined
    default:
      return undefined
  }
}
