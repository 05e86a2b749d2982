import { TokenstoreError } from './errors'
import type { Token } from './types'

/** What scripts answer for a token: `key, record, expires_at`. */
export type Triple = [key: string, record: string, expires_at: number | string]

const ATTRS = ',"attrs":'

/** The token of a record, which is `{"id":…,"owner_id":…,(lifetime,)"attrs":…}`. */
export function decode<Attrs extends object>([key, record, expires_at]: Triple): Token<Attrs> {
  const { id, owner_id, attrs } = parse('a record', record) as Token<Attrs>
  const token: Token<Attrs> = { key, id, owner_id, attrs }
  if (Number(expires_at) > 0) token.expires_at = Number(expires_at)
  return token
}

/** The attrs of a record as they are stored, byte for byte, for `set … IF`. */
export function attrsText(record: string): string {
  return record.slice(record.indexOf(ATTRS) + ATTRS.length, -1)
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
