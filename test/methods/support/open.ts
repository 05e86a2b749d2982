import type { Tokenstore } from '../../../src/main'
import type { Config, Token } from '../../../src/types'
import { freshPrefix, store } from '../../support'
import { stored, topology } from './topology'

type Family = 'key' | 'id' | 'tokens' | 'hash' | 'latest'

export interface Opened {
  prefix: string
  tokens: Tokenstore
  /** Everything this store has in Redis. */
  all(): Promise<Record<string, unknown>>
  /**
   * The name in Redis of a key, an id, an owner set, a hash, or of the newest
   * hash made under a name.
   */
  name(family: Family, rest: string): string
  /**
   * A key and an id that were never in use, as a caller may force them for a
   * token of this owner.
   */
  spare(owner_id: string): { key: string; id: string }
}

/** A store of its own for a test. */
export function open(config: Config = {}): Opened {
  const prefix = config.prefix ?? freshPrefix()
  const layout = topology.layout(prefix)
  return {
    prefix,
    tokens: store({ ...topology.config, ...config, prefix }),
    all: () => topology.names(prefix),
    name: (family, rest) => {
      const roots = {
        key: () => layout.keyRoot(rest),
        id: () => layout.idRoot(rest),
        tokens: () => layout.ownerRoot(rest),
        hash: () => layout.hashRoot(rest),
        latest: () => layout.hashRoot(layout.newHash(8, rest))
      }
      const secret = family === 'key' || family === 'hash'
      return `${roots[family]()}:${family}:${secret ? stored(rest) : rest}`
    },
    spare: (owner_id) => {
      const root = layout.ownerRoot(owner_id)
      return {
        key: layout.newKey(root, config.size ?? 24),
        id: layout.newId(root)
      }
    }
  }
}

/** A token as `get`, `set`, `update` and `list` answer it. */
export function listed<T extends Token>(token: T): Token {
  const { key, id, owner_id, attrs, expires_at } = token
  return {
    ...(topology.config.digest ? {} : { key }),
    id,
    owner_id,
    attrs,
    ...(expires_at === undefined ? {} : { expires_at })
  } as Token
}
