import { createHash } from 'node:crypto'

/** What Redis gets to see of a text that is to stay secret. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
