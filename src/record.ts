import { TokenstoreError } from './errors'
import type { Token } from './types'

/** What scripts answer for a token: `key, record, expires_at`. */
export type Triple = [key: string, record: string, expires_at: number | string]

const ATTRS = ',"attrs":'
// An id has 36 characters; so this is where the owner begins, behind which the scripts look for
// the attrs as well.
const OWNER = 56
const ID = /^\{"id":"([^"\\]{36})"/
const OWNED_BY = /,"owner_id":("(?!")[^"\\]*(?:\\.[^"\\]*)*")/
const TIMES = /(?:,"ends_at":(\d+))?(?:,"idle":(\d+),"every":(\d+))?/
// Whatever fields a later version has.
const MORE = /((?:,"[a-z_]+":\d+)*)$/
const HEAD = new RegExp([ID, OWNED_BY, TIMES, MORE].map(({ source }) => source).join(''))
const TWICE = /("[a-z_]+":).*\1/

/** A record, taken apart. Times as in the record, 0 where there is none. */
export interface StoredRecord {
  id: string
  owner_id: string
  attrs: string
  ends_at: number
  idle: number
  every: number
}

/**
 * Takes a record apart, null for a foreign one. It is
 * `{"id":…,"owner_id":…,(lifetime,)"attrs":…}`.
 * Head and attrs are read apart, since another language may have set attrs that are no JSON:
 * `{},"owner_id":"eve","attrs":{}`.
 */
export function readRecord(record: string): StoredRecord | null {
  const at = attrsAt(record)
  const [head, id, owner, ends_at, idle, every, more] = HEAD.exec(record.slice(0, at)) ?? []
  if (!id || !owner || !record.endsWith('}}') || (more && TWICE.test(head!))) return null
  return {
    id,
    owner_id: owner.includes('\\') ? (parse('a record', owner) as string) : owner.slice(1, -1),
    attrs: record.slice(at + ATTRS.length, -1),
    ends_at: Number(ends_at ?? 0),
    idle: Number(idle ?? 0),
    every: Number(every ?? 0)
  }
}

/** The attrs of a record, as a new object. */
export function attrsOf({ attrs }: StoredRecord): object {
  return parse('a record', attrs) as object
}

/** The token of a record, with these attrs, that expires then; 0 for never. */
export function tokenOf<Attrs extends object>(
  key: string,
  { id, owner_id, idle }: StoredRecord,
  attrs: object,
  expires_at: number
): Token<Attrs> {
  const token: Token<Attrs> = { key, id, owner_id, attrs: attrs as Attrs }
  if (expires_at > 0) token.expires_at = expires_at
  if (expires_at > 0 && idle > 0) token.used_at = expires_at - idle
  return token
}

export function decode<Attrs extends object>([key, record, expires_at]: Triple): Token<Attrs> {
  const read = readRecord(record)
  if (read === null) throw new TokenstoreError('TSRECORD', 'a record in Redis is foreign')
  return tokenOf<Attrs>(key, read, attrsOf(read), Number(expires_at))
}

/** The attrs of a record as they are stored, byte for byte, for `set … IF`. */
export function attrsText(record: string): string {
  return record.slice(attrsAt(record) + ATTRS.length, -1)
}

function attrsAt(record: string): number {
  return record.indexOf(ATTRS + '{', OWNER)
}

/** Parses what another program may have written; the error keeps the text to itself. */
export function parse(what: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new TokenstoreError('TSRECORD', `${what} in Redis is not JSON`)
  }
}

export function triples(reply: unknown[]): Triple[] {
  const found: Triple[] = []
  for (let i = 0; i < reply.length; i += 3)
    found.push([reply[i], reply[i + 1], reply[i + 2]] as Triple)
  return found
}

export function isOne(reply: unknown): boolean {
  return Number(reply) === 1
}
