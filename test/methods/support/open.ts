import type { Tokenstore } from '../../../src/main'
import type { Config, Token } from '../../../src/types'
import { freshPrefix, store } from '../../support'
import { stored, topology } from './topology'

type Family = 'key' | 'id' | 'tokens' | 'hash' | 'latest' | 'hashes' | 'code'

export interface Opened {
  prefix: string
  tokens: Tokenstore
  /** Everything this store has in Redis. */
  all(): Promise<Record<string, unknown>>
  /**
   * The name in Redis of a key, an id, an owner set, a hash, of the newest hash made under a
   * name, of the hashes of an owner, or of a code.
   */
  name(family: Family, rest: string): string
  /**
   * A key and an id that were never in use, as a caller may force them for a
   * token of this owner.
   */
  spare(owner_id: string): { key: string; id: string }
  /** Another owner under the same root, whose a token of this one may become. */
  beside(owner_id: string): string
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
        latest: () => layout.hashRoot(layout.newHash(8, rest)),
        hashes: () => layout.ownerRoot(rest),
        code: () => layout.ownerRoot(rest)
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
    },
    beside: (owner_id) => {
      const root = layout.ownerRoot(owner_id)
      let n = 1
      while (layout.ownerRoot(`beside-${n}`) !== root) n++
      return `beside-${n}`
    }
  }
}

/** A token as `get`, `set`, `update` and `list` answer it. */
export function listed<T extends Token>(token: T): Token {
  const { key, id, owner_id, attrs, expires_at, used_at } = token
  return {
    ...(topology.config.digest ? {} : { key }),
    id,
    owner_id,
    attrs,
    ...(expires_at === undefined ? {} : { expires_at }),
    ...(used_at === undefined ? {} : { used_at })
  } as Token
}

/** A token with `idle`, no `ttl` near, once a use has moved its end. */
export function usedTill<T extends Token>(token: T, expires_at: number): T {
  return { ...token, expires_at, used_at: token.used_at! + expires_at - token.expires_at! }
}
