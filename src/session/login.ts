import * as check from '../check'
import type { HeldSession } from './held-session'
import { ownerId } from './owner-id'
import type { Limits, Sessions } from './sessions'
import { with503 } from './with-503'

/** Who is to have a session, in one step with its first save. */
export interface Login extends Limits {
  owner: unknown
}

/**
 * Saves a session under a new sid as that of an owner, and ends the old one.
 * @throws LimitError when `limit` is reached and `onLimit` is `'reject'`
 */
export async function logIn<Data extends object>(
  sessions: Sessions<Data>,
  old: { sid: string; held: HeldSession<Data> | undefined },
  renewed: HeldSession<Data>,
  data: Data,
  { owner, limit, onLimit }: Login
): Promise<void> {
  const owner_id = ownerId(owner) ?? check.fail('owner', 'a string or a number')
  const { limits } = sessions
  const owned = {
    owner_id,
    limit: limit ?? limits.limit,
    onLimit: onLimit ?? limits.onLimit
  }
  if (old.held?.id !== undefined && old.held.owner_id === owner_id) {
    // Of one owner the old session would count against the limit. While it lives the limit is
    // looked at, so that it does not end for nothing.
    await with503(sessions.tokens.change(old.held.id, owned))
    await sessions.end(old.sid)
  }
  try {
    await renewed.save(data, owned)
    await sessions.end(old.sid)
  } catch (error) {
    // It may have been written, and nobody has its sid.
    sessions.end(renewed.sid).catch(() => {})
    throw error
  }
}
