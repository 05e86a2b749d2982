import { hash } from 'node:crypto'

/** What Redis gets to see of a text that is to stay secret. */
export function digestOf(text: string): string {
  return hash('sha256', text, 'base64url')
}
