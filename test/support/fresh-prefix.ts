import { randomBytes } from 'node:crypto'

let tagged = false

/** From now on fresh prefixes have a hash tag: on a cluster all names under one are in one slot. */
export function tagPrefixes(): void {
  tagged = true
}

/** A prefix that no other test has. */
export function freshPrefix(): string {
  const name = `t${randomBytes(6).toString('hex')}`
  return tagged ? `{${name}}` : name
}
