import uid2 from 'uid2'
import { v7 as uuidV7 } from 'uuid'

/**
 * Where the names of a token or a hash live in Redis, and how its key, id and hash are
 * made. The scripts derive every name from its root; this is the only place that makes one.
 * A root is null for a text that no token or hash can have.
 */
export interface Layout {
  /** What the root of any name begins with. */
  readonly prefix: string
  /** What stands between prefix and family in the names of a root, as a pattern of SCAN. */
  readonly tagPattern: string
  /** What the names of all keys and ids begin with, for a server that tells when they change. */
  readonly tracked: readonly string[]
  ownerRoot(owner_id: string): string
  keyRoot(key: string): string | null
  idRoot(id: string): string | null
  hashRoot(hash: string): string | null
  /** Of a code that a person types, by its name. */
  codeRoot(name: string): string
  newKey(root: string, size: number): string
  newId(root: string): string
  /**
   * With an owner or a name, the hash shares the root of that owner, or of all hashes of that
   * name, so that one script can delete them.
   */
  newHash(size: number, of?: string): string
  /**
   * The root of a name in Redis that begins with the prefix, null when it is none of the
   * store's.
   */
  rootOf(name: string): string | null
}

/** All names under one root, the prefix. */
export function singleRoot(prefix: string): Layout {
  const root = (): string => prefix
  return {
    prefix,
    tagPattern: '',
    tracked: [`${prefix}:key:`, `${prefix}:id:`],
    ownerRoot: root,
    keyRoot: root,
    idRoot: root,
    hashRoot: root,
    codeRoot: root,
    newKey: (_root, size) => random(size),
    newId: () => uuidV7(),
    newHash: (size) => random(size),
    rootOf: root
  }
}

/** A name in Redis, taken apart. */
export interface Name {
  root: string
  family: string
  rest: string
}

/** Takes a name apart that begins with the prefix; null for none of the store's. */
export function readName(layout: Layout, name: string): Name | null {
  const root = layout.rootOf(name)
  if (root === null) return null
  const [, family, rest] = /^:(\w+):(.+)$/s.exec(name.slice(root.length)) ?? []
  return family === undefined || rest === undefined ? null : { root, family, rest }
}

// A node that has half of the slots is always found out, one with nine of ten nearly always.
const SOME = 50

/** Roots of which every master with a fair share of the slots has some. */
export function someRoots(layout: Layout): string[] {
  return [...new Set(Array.from({ length: SOME }, (_, n) => layout.ownerRoot(String(n))))]
}

// The alphabet of uid2, of which a tag is made as well.
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const TAG = 3
const TAGS = 16384

/**
 * Names under 16384 roots `prefix:{tag}`, by owner, so that they spread over the masters of
 * a cluster while all of one owner share a slot. A key and a hash begin with their tag, an
 * id ends with its number as 16 bits: each alone tells its root. So does the name of a code.
 */
export function partitioned(prefix: string): Layout {
  const rootOf = (tag: string): string => `${prefix}:{${tag}}`
  const tagOfRoot = (root: string): string => root.slice(-TAG - 1, -1)
  const byTag = (text: string): string | null =>
    numberOf(text) === null ? null : rootOf(text.slice(0, TAG))
  const byName = (name: string): string => tagOf(crc16(name) % TAGS)
  const rootByName = (name: string): string => rootOf(byName(name))
  return {
    prefix,
    tagPattern: ':{???}',
    tracked: [`${prefix}:{`],
    ownerRoot: rootByName,
    keyRoot: byTag,
    idRoot: (id) => {
      const n = /^[\da-f-]{23}-[\da-f]{12}$/.test(id) ? parseInt(id.slice(-4), 16) : NaN
      return n < TAGS ? rootOf(tagOf(n)) : null
    },
    hashRoot: byTag,
    codeRoot: rootByName,
    newKey: (root, size) => random(size, tagOfRoot(root)),
    newId: (root) =>
      uuidV7().slice(0, -4) + numberOf(tagOfRoot(root))!.toString(16).padStart(4, '0'),
    newHash: (size, of = uid2(TAG)) => random(size, byName(of)),
    rootOf: (name) => {
      const tag = /^:\{(.{3})\}:/s.exec(name.slice(prefix.length))?.[1]
      return tag === undefined ? null : byTag(tag)
    }
  }
}

/**
 * A random text that begins with a tag, if any. It begins and ends with a letter or digit, as
 * any tag begins: programs that make links of a text leave a `-` or `_` at its ends out.
 */
function random(size: number, tag = ''): string {
  for (;;) {
    const text = tag + uid2(size - tag.length)
    if (!/^[-_]|[-_]$/.test(text)) return text
  }
}

function tagOf(n: number): string {
  return ALPHABET.charAt(n >> 12) + ALPHABET.charAt((n >> 6) & 63) + ALPHABET.charAt(n & 63)
}

/** The number of the tag that a text begins with, null when it begins with none. */
function numberOf(text: string): number | null {
  const [a, b, c] = Array.from(text.slice(0, TAG), (char) => ALPHABET.indexOf(char)) as [
    number,
    number,
    number
  ]
  const n = text.length < TAG || a < 0 || b < 0 || c < 0 ? TAGS : (a << 12) | (b << 6) | c
  return n < TAGS ? n : null
}

/** The slot of a cluster that a name belongs to: that of its hash tag, if it has one. */
export function slotOf(name: string): number {
  return crc16(/^[^{]*\{([^}]+)\}/.exec(name)?.[1] ?? name) % 16384
}

/**
 * CRC16/XMODEM of the UTF-8 bytes: what Redis Cluster hashes with, and Python's
 * `binascii.crc_hqx(bytes, 0)`.
 */
function crc16(text: string): number {
  let crc = 0
  for (const byte of Buffer.from(text)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1
  }
  return crc
}
