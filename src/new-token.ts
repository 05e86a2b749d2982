import * as check from './check'
import type { Settings } from './config'
import type { NewToken } from './types'

type Args = (string | number)[]

// What lua/add.lua takes.
const MAX_KEY_BYTES = 256

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
  const { layout, size } = settings
  const owner_id = check.text('owner_id', token.owner_id)
  const attrs = check.attrs('attrs', token.attrs === undefined ? {} : token.attrs)
  const root = layout.ownerRoot(owner_id)
  const key = token.key === undefined ? layout.newKey(root, size) : forcedKey(token.key, size)
  const id = token.id === undefined ? layout.newId(root) : check.uuid('id', token.id)
  const expected = 'one once issued to this owner: it carries another tag'
  if (layout.keyRoot(key) !== root) check.fail('key', expected)
  if (layout.idRoot(id) !== root) check.fail('id', expected)
  const args = [owner_id, attrs, ...lifetimeArgs(token, settings), ...limitArgs(token)]
  return { root, key, id, args }
}

function forcedKey(key: string, size: number): string {
  check.text('key', key)
  if (key.length !== size) check.fail('key', `a string of exactly ${size} characters`)
  const fits = Buffer.byteLength(key) <= MAX_KEY_BYTES
  if (!fits) check.fail('key', `at most ${MAX_KEY_BYTES} bytes of UTF-8`)
  return key
}

function lifetimeArgs(token: NewToken<object>, settings: Settings): Args {
  const { touchEvery } = settings
  const ttl = check.lifetime('ttl', token.ttl, settings.ttl)
  const idle = check.lifetime('idle', token.idle, settings.idle)
  const args: Args = []
  if (ttl !== null) args.push('TTL', ttl)
  if (idle !== null) args.push('IDLE', idle)
  if (idle !== null && touchEvery !== null) {
    if (touchEvery > idle) check.fail('idle', "at least the store's touchEvery")
    args.push('EVERY', touchEvery)
  }
  return args
}

function limitArgs({ limit, onLimit }: NewToken<object>): Args {
  if (onLimit !== undefined && onLimit !== 'reject' && onLimit !== 'evict') {
    check.fail('onLimit', "'reject' or 'evict'")
  }
  if (limit === undefined) {
    return onLimit === undefined ? [] : check.fail('limit', 'given together with onLimit')
  }
  const policy = onLimit === 'evict' ? 'EVICT' : 'REJECT'
  return ['LIMIT', check.integer('limit', limit, 1, 1e9), policy]
}
