import type { Node } from './client'
import type { Connection } from './connection'
import type { TokenstoreError } from './errors'
import type { Layout } from './layout'
import type { ScriptName } from './scripts'

// Names per SCAN, calls under way at a time, and tokens that one of them revokes: all three so
// that no bystander waits longer than a few milliseconds.
const SCAN_COUNT = 600
const IN_FLIGHT = 32
const REVOKE_COUNT = 25

// A node that has half of the slots is always found out, one with nine of ten nearly always.
const ROOTS_ASKED = 50

/** What removes that which a name of a family stands for. */
const SCRIPTS = new Map<string, ScriptName>([
  ['tokens', 'delowner'],
  ['key', 'delkey'],
  ['id', 'del'],
  ['hash', 'delhash']
])

/**
 * Removes all that a store has: a walk that calls the scripts, each of which revokes its
 * tokens whole. Returns how many tokens and hashes that were. Foreign records stay.
 */
export async function reset(connection: Connection, layout: Layout): Promise<number> {
  const { keyPrefix } = connection
  const start = (keyPrefix + layout.prefix).replace(/[\\*?[\]]/g, '\\$&')
  let removed = 0
  await mustServeAll(connection, layout)
  for (const node of await connection.masters()) {
    // An owner set takes many tokens with it at once, so that little is left for the second
    // walk but hashes.
    for (const pattern of [`${start}${layout.tagPattern}:tokens:*`, `${start}:*`]) {
      const names = namesLike(pattern, connection, node)
      const walk = async (): Promise<void> => {
        for await (const name of names) {
          const n = await removeName(connection, layout, name.slice(keyPrefix.length))
          removed += n
        }
      }
      await Promise.all(Array.from({ length: IN_FLIGHT }, walk))
    }
  }
  return removed
}

/**
 * A server that refuses scripts on some of the names shows no such names either, and a walk
 * would miss them: a node of a cluster that is not given as one.
 */
async function mustServeAll(connection: Connection, layout: Layout): Promise<void> {
  const roots = Array.from({ length: ROOTS_ASKED }, (_, n) => layout.ownerRoot(String(n)))
  const asked = [...new Set(roots)].map((root) => connection.run('count', root, ['-']))
  await Promise.all(asked)
}

/** Walks with SCAN, which looks for the next names while the last are dealt with. */
async function* namesLike(
  pattern: string,
  connection: Connection,
  node: Node
): AsyncGenerator<string> {
  const scan = (cursor: string): Promise<[string, string[]]> =>
    connection.send('reset', () => node.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT))
  let page = scan('0')
  for (;;) {
    const [cursor, names] = await page
    const last = cursor === '0'
    if (!last) {
      page = scan(cursor)
      // Whoever gave up does not ask for it any more.
      page.catch(() => {})
    }
    yield* names
    if (last) return
  }
}

/** Removes what a name stands for, as a whole, and returns how many tokens or hashes that was. */
async function removeName(connection: Connection, layout: Layout, name: string): Promise<number> {
  const root = layout.rootOf(name)
  if (root === null) return 0
  const [, family = '', rest = ''] = /^:(\w+):(.+)$/s.exec(name.slice(root.length)) ?? []
  if (family === 'latest') {
    await connection.send('reset', () => connection.client.del(name))
    return 0
  }
  const script = SCRIPTS.get(family)
  if (!script) return 0
  const args = script === 'delowner' ? [rest, 'COUNT', REVOKE_COUNT] : [rest]
  let removed = 0
  let n
  do {
    n = await connection.run(script, root, args).then(Number, foreignIsZero)
    removed += n
  } while (n === REVOKE_COUNT)
  return removed
}

function foreignIsZero(error: TokenstoreError): number {
  if (error.code === 'TSRECORD') return 0
  throw error
}
