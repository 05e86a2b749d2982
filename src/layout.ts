import uid2 from 'uid2'
import { v7 as uuid } from 'uuid'

/**
 * Where the names of a token or a hash live in Redis, and how its key, id and hash are made.
 * The scripts derive every name from the root; this is the only place that makes one.
 * A root is null when a text cannot belong to the store at all.
 */
export interface Layout {
  /** What all names begin with, for SCAN. */
  readonly prefix: string
  ownerRoot(owner_id: string): string
  keyRoot(key: string): string | null
  idRoot(id: string): string | null
  hashRoot(hash: string): string | null
  newKey(root: string, size: number): string
  newId(root: string): string
  /** With a name, the hash shares the root of all hashes of that name, so that one script can replace the older one. */
  newHash(size: number, name?: string): string
  /** The names of a store's data among names in Redis, without their roots, by root. */
  byRoot(names: string[]): Map<string, string[]>
}

const FAMILY = /^(key|id|tokens|hash|latest):/

/** Everything under one root: the prefix. */
export function singleRoot(prefix: string): Layout {
  const root = (): string => prefix
  return {
    prefix,
    ownerRoot: root,
    keyRoot: root,
    idRoot: root,
    hashRoot: root,
    newKey: (_root, size) => uid2(size),
    newId: () => uuid(),
    newHash: (size) => uid2(size),
    byRoot: (names) =>
      new Map([[prefix, names.map((name) => name.slice(prefix.length + 1)).filter((name) => FAMILY.test(name))]])
  }
}
