import type { Connection } from './connection'
import type { Layout, Name } from './layout'
import type { ScriptName } from './scripts'
import { unlessForeign, Walk } from './walk'

// Calls under way at a time, and tokens that one of them revokes: both so that no bystander
// waits longer than a few milliseconds.
const IN_FLIGHT = 32
const REVOKE_COUNT = 25

/** What removes that which a name of a family stands for. */
const SCRIPTS = new Map<string, ScriptName>([
  ['tokens', 'delowner'],
  ['key', 'delkey'],
  ['id', 'del'],
  ['hash', 'delhash']
])

/** Families whose names are deleted as they are, and whether one counts. */
const PLAIN = new Map([
  ['code', true],
  ['latest', false],
  ['hashes', false]
])

/**
 * Removes all that a store has: a walk that calls the scripts, each of which revokes its
 * tokens whole. Returns how many tokens, hashes and codes that were. Foreign records stay.
 */
export async function reset(connection: Connection, layout: Layout): Promise<number> {
  const walk = new Walk('reset', connection, layout)
  let removed = 0
  for (const server of await walk.servers()) {
    // An owner set takes many tokens with it at once, so that little is left for the second
    // walk but hashes and codes.
    for (const family of ['tokens', undefined]) {
      const names = each(walk.pages(server, family))
      const remove = async (): Promise<void> => {
        for await (const name of names) {
          const n = await removeName(connection, name)
          removed += n
        }
      }
      await Promise.all(Array.from({ length: IN_FLIGHT }, remove))
    }
  }
  return removed
}

async function* each<T>(pages: AsyncIterable<T[]>): AsyncGenerator<T> {
  for await (const page of pages) yield* page
}

/** Removes what a name stands for, as a whole, and returns how much of what counts that was. */
async function removeName(connection: Connection, { root, family, rest }: Name): Promise<number> {
  const counts = PLAIN.get(family)
  if (counts !== undefined) {
    const n = await connection.send('reset', () =>
      connection.client.del(`${root}:${family}:${rest}`)
    )
    return counts ? n : 0
  }
  const script = SCRIPTS.get(family)
  if (!script) return 0
  const args = script === 'delowner' ? [rest, 'COUNT', REVOKE_COUNT] : [rest]
  let removed = 0
  let n
  do {
    n = await connection.run(script, root, args).then(Number, unlessForeign(0))
    removed += n
  } while (n === REVOKE_COUNT)
  return removed
}
