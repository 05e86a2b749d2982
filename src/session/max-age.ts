/** What is stored of when a session ends, where its framework names a moment. */
export interface Lifetime {
  /** Milliseconds that it lives after its last use; without it the option `idle` says. */
  _maxAge?: number
}

/** How long a session lives after its last use, by what is stored with it: ms, or null. */
export function storedMaxAge(session: object): number | null {
  return (session as Lifetime)._maxAge ?? null
}

/** Milliseconds, in whole seconds: some pass between two looks at the clock. */
export function maxAgeUntil(end: Date): number {
  return Math.ceil((end.getTime() - Date.now()) / 1000) * 1000
}
