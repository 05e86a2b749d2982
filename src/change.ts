import { fromArgs, lifetimeArgs, limitArgs, type Args } from './args'
import * as check from './check'
import type { Settings } from './config'
import { TokenstoreError } from './errors'
import type { ChangeOptions } from './types'

const CHANGES = ['owner_id', 'attrs', 'ttl', 'idle'] as const
const NAMES = [...CHANGES, 'limit', 'onLimit', 'from', 'replicas'] as const

const OTHER_ROOT =
  'change: on a partitioned store this owner has another root; add a new token for that owner' +
  ' and del this one'

/** What `change` was given, checked: what follows the id in the call on a root. */
export function readChange(
  root: string | null,
  given: ChangeOptions<object>,
  settings: Settings
): Args {
  const options = check.options<ChangeOptions<object>>('options', given, NAMES)
  const { owner_id, attrs, limit, onLimit } = options
  const args: Args = []
  if (owner_id !== undefined) args.push('OWNER', check.text('owner_id', owner_id))
  else if (limit !== undefined) check.fail('owner_id', 'given together with limit')
  else if (onLimit !== undefined) check.fail('owner_id', 'given together with onLimit')
  const [ttl, idle] = [lifetime('ttl', options.ttl), lifetime('idle', options.idle)]
  args.push(...limitArgs(options), ...lifetimeArgs(ttl, idle, settings))
  if (attrs !== undefined) args.push('ATTRS', check.attrs('attrs', attrs))
  if (args.length === 0) check.fail('options', 'an object with owner_id, ttl, idle or attrs')
  args.push(...fromArgs(options))
  const moves = owner_id !== undefined && root !== null
  if (moves && settings.layout.ownerRoot(owner_id) !== root)
    throw new TokenstoreError('TSPARTITION', OTHER_ROOT)
  return args
}

function lifetime(name: string, value: unknown): number | 'NEVER' | undefined {
  const ms = check.lifetime(name, value, undefined)
  return ms === null ? 'NEVER' : ms
}
