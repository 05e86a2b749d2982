/** What a process is asked to do with stores that have a cache, or none. */
import type { Slice } from '../tasks'

/** Tokens that a cache keeps at most; 0 is none. */
export type Max = number

export interface Load {
  /** Of getKey, a second. */
  calls: number
  writes: number
  /**
   * Whether the calls of a millisecond are made in one tick, or each in a
   * callback of its own, as requests come.
   */
  together: boolean
  /** Tokens there are, and how many of them are in use: the first. */
  size: number
  hot: number
  /** Of so many calls one is for a token that was not used lately. */
  coldEvery: number
}

export type CacheTask =
  | { do: 'issue'; max: Max; from: number; to: number }
  /** Reads tokens until the cache has them, or the first of them. */
  | { do: 'keep'; max: Max; from: number; to: number }
  | { do: 'draw'; max: Max; size: number; ms: number }
  | { do: 'load'; max: Max; load: Load }
  | { do: 'unload' }
  | { do: 'watch'; max: Max; from: number; to: number }
  | { do: 'seen' }
  | { do: 'revoke'; max: Max; from: number; to: number }

/** Calls, of which some asked Redis. */
export interface Asking {
  calls: number
  asked: number
}

export type Drawn = Slice & Asking
export type Loaded = Asking & { seconds: number; writes: number }

/** When the first call was made that answered null, and when it was answered. */
export interface Seen {
  made: number
  answered: number
}

/**
 * Milliseconds by a clock that all processes of a machine share, and that nobody
 * sets.
 */
export function clock(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}
