import * as check from '../check'

/** The id of an owner as an app has it, a number for instance; undefined for nobody. */
export function ownerId(owner: unknown): string | undefined {
  if (owner === undefined || owner === null || owner === '') return undefined
  if (typeof owner === 'string') return owner
  if (typeof owner === 'number' && Number.isFinite(owner)) return String(owner)
  return check.fail('the result of owner', 'a string, a number, null or undefined')
}
