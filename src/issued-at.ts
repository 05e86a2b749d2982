import * as check from './check'

const UUID_V7 = /^([\da-f]{8})-([\da-f]{4})-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/

/**
 * When the token of an id was issued: Unix ms, by the clock of whoever issued it. It stands in
 * the id, so Redis is not asked. Null for what is no UUID of version 7 in lower case.
 * @throws TypeError for what is no text
 */
export function issuedAt(id: string): number | null {
  if (typeof id !== 'string') check.fail('id', 'a string')
  const [, high, low] = UUID_V7.exec(id) ?? []
  return high === undefined ? null : parseInt(`${high}${low}`, 16)
}
