import * as check from './check'
import type { Settings } from './config'

/** What follows the root in a call of a script. */
export type Args = (string | number)[]

// What lua/add.lua takes.
const MAX_KEY_BYTES = 256
// Name and value of a cookie, in what a browser keeps.
const MAX_COOKIE = 4096

/** What a forced key or id must be that has another root than its token. */
export const OF_THIS_OWNER = 'one once issued to this owner: it carries another tag'

/**
 * The most characters of a key or a hash. The digest of a session id that a framework drew is
 * no longer than another.
 */
export function mostCharacters({ digest }: Settings): number {
  return digest ? MAX_COOKIE : MAX_KEY_BYTES
}

/** The key of a token under a root: the one that is forced, or a new one. */
export function keyFor(root: string, forced: unknown, settings: Settings): string {
  const { layout, size, digest } = settings
  if (forced === undefined) return layout.newKey(root, size)
  const key = check.text('key', forced)
  if (digest) {
    const most = mostCharacters(settings)
    if (key.length > most) check.fail('key', `a string of at most ${most} characters`)
  } else {
    if (key.length !== size) check.fail('key', `a string of exactly ${size} characters`)
    const fits = Buffer.byteLength(key) <= MAX_KEY_BYTES
    if (!fits) check.fail('key', `at most ${MAX_KEY_BYTES} bytes of UTF-8`)
  }
  if (layout.keyRoot(key) !== root) check.fail('key', OF_THIS_OWNER)
  return key
}

/** Milliseconds, a word for never, or undefined to say nothing. */
type Lifetime = number | 'NEVER' | undefined

export function lifetimeArgs(ttl: Lifetime, idle: Lifetime, { touchEvery }: Settings): Args {
  const args: Args = []
  if (ttl !== undefined) args.push('TTL', ttl)
  if (idle !== undefined) args.push('IDLE', idle)
  if (typeof idle === 'number' && touchEvery !== null) {
    if (touchEvery > idle) check.fail('idle', "at least the store's touchEvery")
    args.push('EVERY', touchEvery)
  }
  return args
}

export function limitArgs({ limit, onLimit }: { limit?: unknown; onLimit?: unknown }): Args {
  if (onLimit !== undefined && onLimit !== 'reject' && onLimit !== 'evict') {
    check.fail('onLimit', "'reject' or 'evict'")
  }
  if (limit === undefined) {
    return onLimit === undefined ? [] : check.fail('limit', 'given together with onLimit')
  }
  const policy = onLimit === 'evict' ? 'EVICT' : 'REJECT'
  return ['LIMIT', check.integer('limit', limit, 1, 1e9), policy]
}

/** Only while the attrs are these. */
export function fromArgs({ from }: { from?: unknown }): string[] {
  return from === undefined ? [] : ['IF', check.attrs('from', from)]
}
