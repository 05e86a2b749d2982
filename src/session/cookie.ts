/** The cookie of a session of express-session or @fastify/session, as its JSON has it. */
interface Cookie {
  /** Milliseconds; null for a cookie that ends with the browser. */
  originalMaxAge?: number | null
  expires?: string | Date | null
  toJSON?(): Cookie
}

// Two looks at the clock make the age of a cookie, so that it comes out a little different
// each time.
const STEP_MS = 10

/** How long a session lives after its last use, by its cookie: milliseconds, or null. */
export function maxAgeOf({ cookie }: { cookie?: Cookie }): number | null {
  const { originalMaxAge, expires } = cookie ?? {}
  const ms = originalMaxAge ?? (expires ? new Date(expires).getTime() - Date.now() : NaN)
  return Number.isFinite(ms) ? Math.round(ms / STEP_MS) * STEP_MS : null
}

/** A session as it is stored. When it ends is what Redis says, so its cookie does not. */
export function withoutEnd<Session extends { cookie?: Cookie }>(session: Session): Session {
  if (!session.cookie) return session
  const { expires, ...cookie } = session.cookie.toJSON?.() ?? session.cookie
  const originalMaxAge = maxAgeOf({ cookie: { ...cookie, expires } })
  return { ...session, cookie: { ...cookie, originalMaxAge } }
}

/** A session as a framework takes it: its cookie ends when Redis says that the session does. */
export function withEnd<Session extends { cookie?: Cookie }>(session: Session, end = NaN): Session {
  if (!session.cookie) return session
  const originalMaxAge = maxAgeOf(session)
  const expires = originalMaxAge === null || Number.isNaN(end) ? null : new Date(end)
  return { ...session, cookie: { ...session.cookie, originalMaxAge, expires } }
}
