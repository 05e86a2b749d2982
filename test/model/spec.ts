/**
 * What each script has to answer, and what it changes in the ledger: the contract in
 * another language, and no script's way of doing it.
 *
 * Whatever goes by an owner's set (count, list, delowner, a limit, the moving of an
 * end) may count a token in its last ms or not; `sure` are those that are not.
 */
import { inOrder, type Ledger, type Moment, recordOf, type Token } from './ledger'
import { nameOf } from './names'
import { type Keyspace, membersOf, type Reply } from './redis-model'

export interface Call {
  script: string
  args: string[]
}

/** How a call went: when, what it answered, and what Redis holds after it. */
export interface Run {
  at: Moment
  reply: Reply
  found: Keyspace
}

/** An error of that code. */
class ErrorOf {
  constructor(readonly code: string) {}
}

/** Says what is wrong with a reply of which more than one is right. */
type Check = (reply: Reply) => string | false

type Spec = (ledger: Ledger, args: string[], run: Run) => Reply | ErrorOf | Check

/** Which error it is, by its first word; nothing for a reply that is a value. */
export function codeOf(reply: Reply): string | undefined {
  const isError = reply !== null && typeof reply === 'object' && 'err' in reply
  return isError ? reply.err.split(' ', 1)[0] : undefined
}

/** Notes a call in the ledger, and tells what is wrong with its reply. */
export function faultOf(ledger: Ledger, { script, args }: Call, run: Run): string | false {
  const expected = SPEC[script]!(ledger, args, run)
  const answer = `${script} answers ${text(run.reply)}`
  if (expected instanceof ErrorOf) {
    return codeOf(run.reply) !== expected.code && `${answer}, expected ${expected.code}`
  }
  if (typeof expected !== 'function') {
    return text(run.reply) !== text(expected) && `${answer}, expected ${text(expected)}`
  }
  const wrong = codeOf(run.reply) ?? expected(run.reply)
  return wrong && `${answer}: ${wrong}`
}

const text = (reply: Reply): string => JSON.stringify(reply)
const idsOf = (tokens: Token[]): string[] => tokens.map(({ id }) => id)
const expiresAt = ({ ends }: Token): number => (ends === Infinity ? 0 : ends)
const triple = (token: Token): Reply[] => [token.key, recordOf(token), expiresAt(token)]
const tripleOf = (token: Token | undefined): Reply => (token ? triple(token) : null)
const surely = (tokens: Token[], { ended }: Moment): Token[] =>
  tokens.filter(({ ends }) => ends > ended)

/** The options among arguments: a word and what stands behind it. */
function options(words: string[]): Record<string, string | undefined> {
  const found: Record<string, string> = {}
  const rest = [...words]
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    found[word] = word === 'HASHES' ? '' : rest.shift()!
    if (word === 'LIMIT') found.policy = rest.shift()!
  }
  return found
}

/** What is not given stays as it is; NEVER takes it away. */
const msOf = (given: string | undefined, stored?: number): number | undefined =>
  given === undefined ? stored : given === 'NEVER' ? undefined : Number(given)

const SPEC: Record<string, Spec> = {
  add(ledger, [key, id, owner_id, attrs, ...words], run) {
    const { at } = run
    const same = ledger.tokens.get(id!)
    if (same && same.key === key) return triple(same)
    if (same || ledger.isUsed(key!)) return new ErrorOf('TSKEYTAKEN')
    const { TTL, IDLE, EVERY, LIMIT, policy } = options(words)
    const limit = Number(LIMIT ?? Infinity)
    const owned = ledger.listed(owner_id!, at)
    const room = roomFor(ledger, owned, { limit, policy }, run)
    if (room instanceof ErrorOf) return room

    const ends_at = TTL === undefined ? undefined : at.now + Number(TTL)
    const idle = IDLE === undefined ? undefined : Number(IDLE)
    const ends = Math.min(ends_at ?? Infinity, at.now + (idle ?? Infinity))
    const every = idle && Number(EVERY ?? Math.ceil(idle / 10))
    const lifetime = { ends, ends_at, idle, every }
    const token = {
      key: key!,
      id: id!,
      owner_id: owner_id!,
      attrs: attrs!,
      ...lifetime
    }
    ledger.tokens.set(id!, token)
    return (answer) => wronglyListed(token, answer, run) || room(answer)
  },
  change(ledger, [id, ...words], run) {
    const { at } = run
    const { OWNER, LIMIT, policy, TTL, IDLE, EVERY, ATTRS, IF } = options(words)
    const token = ledger.tokens.get(id!)
    if (!token || token.ends <= at.now) return null
    if (IF !== undefined && IF !== token.attrs) return new ErrorOf('TSCONFLICT')
    const owner_id = OWNER ?? token.owner_id
    const others = ledger.listed(owner_id, at).filter((each) => each.id !== id)
    const limit = Number(LIMIT ?? Infinity)
    const room = roomFor(ledger, others, { limit, policy }, run)
    if (room instanceof ErrorOf) return room

    const idle = msOf(IDLE, token.idle)
    const every = IDLE === undefined ? token.every : idle && Number(EVERY ?? Math.ceil(idle / 10))
    const ttl = msOf(TTL)
    const ends_at = TTL === undefined ? token.ends_at : ttl && at.now + ttl
    const isUse = TTL !== undefined || IDLE !== undefined
    const used = Math.min(ends_at ?? Infinity, at.now + (idle ?? Infinity))
    const lifetime = { ends: isUse ? used : token.ends, ends_at, idle, every }
    const changed = { ...token, owner_id, attrs: ATTRS ?? token.attrs, ...lifetime }
    ledger.revoke(id!)
    ledger.tokens.set(id!, changed)
    return (answer) => wronglyListed(changed, answer, run) || room(answer)
  },
  getkey(ledger, [use, ...keys], { at, reply }) {
    return keys.flatMap((key, i) => {
      const token = ledger.opened(key, at)
      const answered = (reply as Reply[])[2 * i]
      if (!token || (token.ends <= at.ended && answered === null)) return [null, 0]
      const { id, idle, every, ends, ends_at } = token
      const moved = Math.min(at.now + (idle ?? Infinity), ends_at ?? Infinity)
      const due = use === 'TOUCH' && idle !== undefined && moved - ends >= every!
      const isLeft = ends <= at.ended && (reply as Reply[])[2 * i + 1] === ends
      const used = due && !isLeft ? { ...token, ends: moved } : token
      ledger.tokens.set(id, used)
      return [recordOf(used), expiresAt(used)]
    })
  },
  get: (ledger, [id]) => tripleOf(ledger.tokens.get(id!)),
  set(ledger, [id, attrs, , expected]) {
    const token = ledger.tokens.get(id!)
    if (!token) return null
    if (expected !== undefined && expected !== token.attrs) return new ErrorOf('TSCONFLICT')
    ledger.tokens.set(id!, { ...token, attrs: attrs! })
    return tripleOf(ledger.tokens.get(id!))
  },
  rotate(ledger, [id, newkey, ...words], { at }) {
    const { GRACE, IF } = options(words)
    const token = ledger.tokens.get(id!)
    if (!token || token.key === newkey) return tripleOf(token)
    if (IF !== undefined && IF !== token.key) return new ErrorOf('TSCONFLICT')
    if (ledger.isUsed(newkey!)) return new ErrorOf('TSKEYTAKEN')
    ledger.tokens.set(id!, { ...token, key: newkey! })
    const till = at.now + Number(GRACE)
    if (GRACE) ledger.old.set(token.key, { id: id!, till, ends: till })
    return tripleOf(ledger.tokens.get(id!))
  },
  refresh(ledger, [key, newkey, ...words], { at }) {
    const { GRACE, DETECT } = options(words)
    const token = ledger.led(key!)
    if (!token || token.ends <= at.now) return null
    if (token.key === newkey) return triple(token)
    const { id, owner_id, idle, ends_at } = token
    if (ledger.isPast(key!, at)) {
      ledger.old.delete(key!)
      ledger.revoke(id)
      return [id, owner_id]
    }
    if (ledger.isUsed(newkey!)) return new ErrorOf('TSKEYTAKEN')
    const till = GRACE ? at.now + Number(GRACE) : 0
    const known = DETECT ? Math.min(at.now + Number(DETECT), ends_at ?? Infinity) : till
    if (known > 0) ledger.old.set(token.key, { id, till, ends: known })
    const used = Math.min(at.now + (idle ?? Infinity), ends_at ?? Infinity)
    ledger.tokens.set(id, { ...token, key: newkey!, ends: idle ? used : token.ends })
    return tripleOf(ledger.tokens.get(id))
  },
  del(ledger, [id]) {
    const had = ledger.tokens.has(id!)
    ledger.revoke(id!)
    return had ? 1 : 0
  },
  delkey(ledger, [key], { at }) {
    const token = ledger.led(key!)
    if (token && ledger.isPast(key!, at)) return 0
    ledger.old.delete(key!)
    if (token) ledger.revoke(token.id)
    return token ? 1 : 0
  },
  delowner(ledger, [owner_id, ...words], { at, found }) {
    const { EXCEPT, COUNT, HASHES } = options(words)
    const count = Number(COUNT ?? Infinity)
    const made = HASHES === undefined ? undefined : ledger.made.get(owner_id!)
    for (const hash of made?.keys() ?? []) ledger.hashes.delete(hash)
    if (HASHES !== undefined) ledger.made.delete(owner_id!)
    const isLeft = ({ id }: Token): boolean => found.has(nameOf('id', id))
    const mine = ledger.of(owner_id!).filter(({ id }) => id !== EXCEPT)
    const gone = mine.filter((token) => !isLeft(token))
    const left = surely(mine, at).filter(isLeft)
    for (const { id } of gone) ledger.revoke(id)
    return (reply) => {
      if (reply !== gone.length) return `${gone.length} went`
      if (gone.length > count) return 'more than COUNT'
      if (gone.length < count && left.length > 0) return `${text(idsOf(left))} are left`
      const later = left.some((each) => gone.some((other) => inOrder(each, other) > 0))
      return later && 'not those went that would end last'
    }
  },
  count(ledger, [owner_id], { at }) {
    const owned = ledger.listed(owner_id!, at)
    const [least, most] = [surely(owned, at).length, owned.length]
    return (reply) => (Number(reply) < least || Number(reply) > most) && `expected ${least}`
  },
  list(ledger, [owner_id, ...words], { at }) {
    const { AFTER, COUNT } = options(words)
    const owned = ledger.of(owner_id!)
    return (reply) => {
      const [cursor, ...rest] = reply as [string, ...Reply[]]
      const ids: string[] = []
      for (let i = 0; i < rest.length; i += 3) {
        const token = owned.find(({ key }) => key === rest[i])
        if (text(rest.slice(i, i + 3)) !== text(tripleOf(token))) return 'not as issued'
        ids.push(token!.id)
      }
      const isNext = behind(AFTER ?? '0:')
      const isLater = cursor === '' ? () => false : behind(cursor)
      const page = owned.filter((token) => isNext(token) && !isLater(token))
      const listed = idsOf(page).filter((id) => ids.includes(id))
      if (text(ids) !== text(listed)) return `expected ${text(idsOf(page))}`
      const missing = idsOf(surely(page, at)).filter((id) => !ids.includes(id))
      if (missing.length > 0) return `${text(missing)} are missing`
      if (ids.length > Number(COUNT ?? Infinity)) return 'more than COUNT'
      return cursor !== '' && !owned.some(isLater) && 'the cursor leads nowhere'
    }
  },
  makehash(ledger, [hash, value, ttl, ...words], { at }) {
    const { REPLACES: name, OWNER } = options(words)
    if (ledger.hashes.has(hash!)) return 0
    const older = ledger.latest.get(name ?? '')?.hash ?? ''
    const ends = at.now + Number(ttl)
    if (OWNER !== undefined) {
      const made = [...(ledger.made.get(OWNER) ?? [])]
      const kept = made.filter(([each, end]) => end >= at.now && each !== older)
      ledger.made.set(OWNER, new Map(kept).set(hash!, ends))
    }
    if (name !== undefined) {
      ledger.hashes.delete(older)
      ledger.latest.set(name, { hash: hash!, ends })
    }
    ledger.hashes.set(hash!, { value: value!, ends })
    return 1
  },
  gethash: (ledger, [hash]) => ledger.hashes.get(hash!)?.value ?? null,
  takehash(ledger, [hash]) {
    const value = ledger.hashes.get(hash!)?.value ?? null
    ledger.hashes.delete(hash!)
    return value
  },
  delhash: (ledger, [hash]) => (ledger.hashes.delete(hash!) ? 1 : 0),
  makecode(ledger, [name, digest, value, ttl, tries, ...words], { at }) {
    const { EVERY } = options(words)
    const held = ledger.codes.get(name!)
    if (held?.left === 0 || at.now < (held?.made ?? 0) + Number(EVERY ?? 0)) return 0
    const left = Math.min(held?.left ?? Infinity, Number(tries))
    ledger.codes.set(name!, { digest, value, left, made: at.now, ends: at.now + Number(ttl) })
    return 1
  },
  trycode(ledger, [name, digest]) {
    const held = ledger.codes.get(name!)
    if (held?.digest === undefined) return null
    const isRight = held.digest === digest
    const left = isRight ? held.left : held.left - 1
    const { made, ends } = held
    const goes = isRight || left === 0
    ledger.codes.set(name!, goes ? { left, made, ends } : { ...held, left })
    return isRight ? [1, held.value!] : [0, left]
  }
}

/** Makes room under a limit among the tokens that an owner has; tells whether that was right. */
function roomFor(
  ledger: Ledger,
  owned: Token[],
  { limit, policy }: { limit: number; policy: string | undefined },
  { at, reply }: Run
): ErrorOf | Check {
  const sure = surely(owned, at)
  if (policy === 'REJECT' && owned.length >= limit) {
    const is = sure.length >= limit || codeOf(reply) === 'TSLIMIT'
    if (is) return new ErrorOf('TSLIMIT')
  }
  const evicted = Array.isArray(reply) ? (reply.slice(3) as string[]) : []
  for (const { id } of owned) if (evicted.includes(id)) ledger.revoke(id)
  return () => wronglyEvicted(evicted, owned, sure, policy === 'EVICT' ? limit : Infinity)
}

/** The token itself, and of those whose time is over none in its owner's set. */
function wronglyListed(token: Token, reply: Reply, { at, found }: Run): string | false {
  const head = text(Array.isArray(reply) ? reply.slice(0, 3) : reply)
  if (head !== text(triple(token))) return `expected ${text(triple(token))}`
  const set = membersOf(found.get(nameOf('tokens', token.owner_id)))
  return set.some(([, score]) => score < at.now) && 'ids whose time is over are left'
}

/** No more and no fewer than the limit asks for, and those that would end first. */
function wronglyEvicted(
  evicted: string[],
  owned: Token[],
  sure: Token[],
  limit: number
): string | false {
  const isLeft = ({ id }: Token): boolean => !evicted.includes(id)
  const listed = idsOf(owned.filter((token) => !isLeft(token)))
  const first = sure.findIndex(isLeft)
  const wrong =
    text(listed) !== text(evicted) ||
    evicted.length > Math.max(0, owned.length - limit + 1) ||
    sure.filter(isLeft).length >= limit ||
    (first >= 0 && !sure.slice(first).every(isLeft))
  return wrong && `evicted ${text(evicted)} of ${text(idsOf(owned))}`
}

/** Whether a token lies behind a cursor. */
function behind(cursor: string): (token: Token) => boolean {
  const [score, id] = cursor.split(':') as [string, string]
  const ends = score === 'inf' ? Infinity : Number(score)
  return (token) => token.ends > ends || (token.ends === ends && token.id > id)
}
