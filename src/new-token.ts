import { keyFor, lifetimeArgs, limitArgs, OF_THIS_OWNER, type Args } from './args'
import * as check from './check'
import type { Settings } from './config'
import type { NewToken } from './types'

/**
 * What `add` was given, checked: the root, key and id of the token, and what follows them
 * in the call.
 */
interface ReadToken {
  root: string
  key: string
  id: string
  args: Args
}

const NAMES = ['owner_id', 'attrs', 'key', 'id', 'ttl', 'idle', 'limit', 'onLimit', 'replicas']

export function readNewToken(token: NewToken<object>, settings: Settings): ReadToken {
  check.object('token', token, NAMES)
  const { layout } = settings
  const owner_id = check.text('owner_id', token.owner_id)
  const attrs = check.attrs('attrs', token.attrs === undefined ? {} : token.attrs)
  const root = layout.ownerRoot(owner_id)
  const key = keyFor(root, token.key, settings)
  const id = token.id === undefined ? layout.newId(root) : check.uuid('id', token.id)
  if (layout.idRoot(id) !== root) check.fail('id', OF_THIS_OWNER)
  // A new token that has no lifetime says nothing of it.
  const ttl = check.lifetime('ttl', token.ttl, settings.ttl) ?? undefined
  const idle = check.lifetime('idle', token.idle, settings.idle) ?? undefined
  const args = [owner_id, attrs, ...lifetimeArgs(ttl, idle, settings), ...limitArgs(token)]
  return { root, key, id, args }
}
