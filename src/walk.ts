import type { Node } from './client'
import type { Connection } from './connection'
import { errorOf, type TokenstoreError } from './errors'
import { readName, someRoots, type Layout, type Name } from './layout'

// Names per SCAN: so few that no bystander waits longer than a few milliseconds.
const SCAN_COUNT = 600
/** A walk over all names of a store, in short steps. */
export class Walk {
  readonly #operation: string
  readonly #connection: Connection
  readonly #layout: Layout

  constructor(operation: string, connection: Connection, layout: Layout) {
    this.#operation = operation
    this.#connection = connection
    this.#layout = layout
  }

  /**
   * The servers to walk. One that refuses scripts on some of the names shows no such names
   * either, and a walk would miss them: a node of a cluster that is not given as one.
   */
  async servers(): Promise<Node[]> {
    const asked = someRoots(this.#layout).map((root) => this.#connection.run('count', root, ['-']))
    await Promise.all(asked)
    return this.#connection.masters(this.#operation)
  }

  /**
   * The names on a server, of a family or all, page by page; it looks for the next page while
   * the last is dealt with. A name that is there throughout comes once at least.
   */
  async *pages(server: Node, family?: string): AsyncGenerator<Name[]> {
    const { keyPrefix } = this.#connection
    const start = (keyPrefix + this.#layout.prefix).replace(/[\\*?[\]]/g, '\\$&')
    const pattern = start + (family === undefined ? ':*' : `${this.#layout.tagPattern}:${family}:*`)
    const scan = (cursor: string): Promise<[string, string[]]> =>
      this.#connection.send(this.#operation, () =>
        server.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT)
      )
    let page = scan('0')
    let connection: unknown
    for (;;) {
      const [cursor, names] = await page
      connection ??= server.stream
      // To a server that was started again, or to another, the cursor is another place.
      if (server.stream !== connection) {
        const lost = 'the connection was lost, and with it the place in the walk: begin again'
        throw errorOf('TSUNAVAILABLE', `${this.#operation}: ${lost}`)
      }
      const last = cursor === '0'
      if (!last) {
        page = scan(cursor)
        // Whoever gave up does not ask for it any more.
        page.catch(() => {})
      }
      yield names.flatMap((name) => readName(this.#layout, name.slice(keyPrefix.length)) ?? [])
      if (last) return
    }
  }

  /** The names of a family on all servers, each once. */
  async *once(family: string): AsyncGenerator<Name[]> {
    const seen = new Recent()
    for (const server of await this.servers()) {
      for await (const names of this.pages(server, family)) {
        yield names.filter(({ root, rest }) => seen.add(`${root}:${rest}`))
      }
    }
  }
}

// SCAN repeats names while the table of Redis shrinks, soon after one another.
const REMEMBERED = 50_000

/** The last names of a walk, in a memory that has an end. */
class Recent {
  #old = new Set<string>()
  #young = new Set<string>()

  /** False when it is there already. */
  add(name: string): boolean {
    if (this.#young.has(name) || this.#old.has(name)) return false
    if (this.#young.size === REMEMBERED) {
      this.#old = this.#young
      this.#young = new Set()
    }
    this.#young.add(name)
    return true
  }
}

/** Lets a walk pass over a foreign record, which counts as `instead`. */
export function unlessForeign<T>(instead: T): (error: TokenstoreError) => T {
  return (error) => {
    if (error.code === 'TSRECORD') return instead
    throw error
  }
}
