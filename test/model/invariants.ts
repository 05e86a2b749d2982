/**
 * What must be true after each step. Each invariant has a name, by which faults are
 * told and README.md explains it; `reply` is in spec.ts and `another` in register.ts.
 */
import { type Ledger, recordOf } from './ledger'
import { nameOf, partsOf } from './names'
import {
  type Keyspace,
  membersOf,
  type Reply,
  scoreText,
  type Value,
  valueText
} from './redis-model'
import { codeOf } from './spec'
import { add, type ZSet } from './zset'

export type Invariant =
  'reply' | 'error' | 'silence' | 'names' | 'ends' | 'listed' | 'leftovers' | 'another' | 'reach'

export interface Fault {
  invariant: Invariant
  text: string
}

const CODES = ['TSBADARG', 'TSKEYTAKEN', 'TSLIMIT', 'TSCONFLICT', 'TSRECORD']

/** error: it has one of the contract's codes. silence: nothing was written. */
export function* faultsOfError(
  reply: Reply,
  before: Keyspace,
  after: Keyspace,
  isTorn: boolean
): Generator<Fault> {
  const code = codeOf(reply)
  if (code === undefined) return
  // What others wrote may be of another type, and Redis says so itself.
  const isKnown = CODES.includes(code) || (isTorn && code === 'WRONGTYPE')
  if (!isKnown) yield { invariant: 'error', text: (reply as { err: string }).err }
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const isSame = before.get(name) === after.get(name)
    if (!isSame) yield { invariant: 'silence', text: `${code}, but wrote ${name}` }
  }
}

/** names: Redis holds what the ledger does, and nothing else. ends: with its TTL. */
export function* faultsOfNames(found: Keyspace, ledger: Ledger, clock: number): Generator<Fault> {
  const expected = new Map<string, [value: Value, end: number]>()
  for (const token of ledger.tokens.values()) {
    expected.set(nameOf('key', token.key), [recordOf(token), token.ends])
    expected.set(nameOf('id', token.id), [token.key, token.ends])
  }
  for (const [key, { id, till, ends }] of ledger.old) {
    expected.set(nameOf('key', key), [`${id} ${till}`, ends])
  }
  for (const [hash, { value, ends }] of ledger.hashes) {
    expected.set(nameOf('hash', hash), [value, ends])
  }
  for (const [name, { hash, ends }] of ledger.latest) {
    expected.set(nameOf('latest', name), [hash, ends])
  }
  for (const [owner_id, made] of ledger.made) {
    const set = [...made].reduce<ZSet>((all, [hash, end]) => add(all, hash, end), [])
    expected.set(nameOf('hashes', owner_id), [set, Math.max(...made.values())])
  }
  for (const [name, { ends, ...code }] of ledger.codes) {
    const kept = Object.entries(code).filter(([, value]) => value !== undefined)
    const fields = new Map(kept.map(([field, value]) => [field, String(value)]))
    expected.set(nameOf('code', name), [{ fields }, ends])
  }
  for (const [name, [value, end]] of expected) {
    const entry = found.get(name)
    if (!entry) yield { invariant: 'names', text: `${name} is missing` }
    else if (valueText(entry.value) !== valueText(value)) {
      const text = `${name} is ${valueText(entry.value)}, not ${valueText(value)}`
      yield { invariant: 'names', text }
    } else if (entry.end !== end) {
      yield {
        invariant: 'ends',
        text: `${name} ends at ${entry.end}, not ${end}`
      }
    }
  }
  const owners = new Set([...ledger.tokens.values()].map(({ owner_id }) => owner_id))
  for (const name of found.keys()) {
    const [family, rest] = partsOf(name)
    if (family === 'tokens') owners.add(rest)
    else if (!expected.has(name)) {
      yield { invariant: 'names', text: `${name} should not be there` }
    }
  }
  for (const owner_id of owners) yield* faultsOfOwner(owner_id, found, ledger, clock)
}

/**
 * listed: a live token is in its owner's set, by its end; what is there lives, or has
 * ended by its time. ends: the set has the TTL of its last.
 */
function* faultsOfOwner(
  owner_id: string,
  found: Keyspace,
  ledger: Ledger,
  clock: number
): Generator<Fault> {
  const name = nameOf('tokens', owner_id)
  const entry = found.get(name)
  const members = new Map(membersOf(entry))
  for (const { id, ends } of ledger.of(owner_id)) {
    const score = members.get(id) ?? (ends === clock ? ends : undefined)
    if (score === ends) continue
    const where = score === undefined ? 'nowhere' : `at ${scoreText(score)}`
    yield {
      invariant: 'listed',
      text: `${name} has ${id} ${where}, not at ${ends}`
    }
  }
  let last: number | undefined
  for (const [id, score] of members) {
    last = score
    const lives = ledger.tokens.get(id)?.owner_id === owner_id
    const ended = score <= clock && ledger.lapsed.get(owner_id)?.has(id)
    if (lives || ended) continue
    yield {
      invariant: 'listed',
      text: `${name} has ${id}, which does not live`
    }
  }
  if (entry?.end !== last) {
    const text = `${name} ends at ${entry?.end}, its last at ${last}`
    yield { invariant: 'ends', text }
  }
}

/** leftovers: once what never ends has been revoked, time takes all the rest. */
export function* faultsOfTheEnd(found: Keyspace): Generator<Fault> {
  for (const [name, { end }] of found) {
    if (end === Infinity) yield { invariant: 'leftovers', text: `${name} never ends` }
  }
}
