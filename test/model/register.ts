/**
 * Who each key was issued to last: enough to tell another's token by, where Redis
 * evicts names or holds what is not ours, and no more is promised there.
 */
import type { Fault } from './invariants'
import { nameOf, partsOf } from './names'
import { type Keyspace, membersOf, type Reply } from './redis-model'
import { type Call, codeOf } from './spec'

interface Issued {
  id: string
  owner_id: string
}

const HEAD = /^\{"id":"([^"]*)","owner_id":("(?:[^"\\]|\\.)*")/
const OLD = /^[0-9a-f-]{36} \d+$/

/** Whose record it is; nothing for what is none. */
export function parse(value: unknown): Issued | undefined {
  const [, id, owner] = (typeof value === 'string' && HEAD.exec(value)) || []
  return id && owner ? { id, owner_id: JSON.parse(owner) as string } : undefined
}

/** The token that an id leads to, and when it ends. */
function ledTo(names: Keyspace, id: string): (Issued & { end: number }) | undefined {
  const key = String(names.get(nameOf('id', id))?.value)
  const entry = names.get(nameOf('key', key))
  const record = parse(entry?.value)
  return entry && record?.id === id ? { ...record, end: entry.end } : undefined
}

/** What stands behind a word. */
const optionOf = (args: string[], word: string): string | undefined =>
  args.includes(word) ? args[args.indexOf(word) + 1] : undefined

/** And not the id and owner of a token that refresh revoked. */
const isTriple = (reply: Reply): boolean => Array.isArray(reply) && reply.length === 3

export class Register {
  /** By key: the token that it was issued for last. */
  holders = new Map<string, Issued>()

  copy(): Register {
    const other = new Register()
    other.holders = new Map(this.holders)
    return other
  }

  /** Notes a token issued, and a new key. */
  note({ script, args }: Call, reply: Reply, before: Keyspace): void {
    if (reply === null || codeOf(reply) !== undefined) return
    const [first, second, third] = args as [string, string, string]
    if (script === 'add' && !before.has(nameOf('key', first))) {
      this.holders.set(first, { id: second, owner_id: third })
    }
    const keyOf = (id: string): string => String(before.get(nameOf('id', id))?.value)
    const owner_id = optionOf(args, 'OWNER')
    if (script === 'change' && owner_id) this.holders.set(keyOf(first), { id: first, owner_id })
    const isRotation = script === 'rotate' || (script === 'refresh' && isTriple(reply))
    const id = script === 'rotate' ? first : this.holders.get(first)?.id
    const holder = isRotation && id ? this.holders.get(keyOf(id)) : undefined
    if (holder) this.holders.set(second, holder)
  }

  /** another: a call answers with a token that is not its own, or ends or changes it. */
  *faults(
    call: Call,
    reply: Reply,
    before: Keyspace,
    after: Keyspace,
    clock: number
  ): Generator<Fault> {
    const texts = [
      ...this.#wrongAnswers(call, Array.isArray(reply) ? reply : []),
      ...this.#wrongWrites(call, before, after, clock)
    ]
    for (const text of texts) yield { invariant: 'another', text }
  }

  *#wrongAnswers({ script, args }: Call, reply: Reply[]): Generator<string> {
    const given = args[script === 'add' ? 1 : 0]
    const first = script === 'refresh' ? this.holders.get(given!)?.id : given
    for (const [i, each] of reply.entries()) {
      const record = parse(each)
      if (!record) continue
      const { id, owner_id } = record
      const key = script === 'getkey' ? args[1 + i / 2]! : String(reply[i - 1])
      const asked = script === 'list' ? owner_id : script === 'getkey' ? first : id
      const holder = this.holders.get(key)
      // An old key opens an id that was forced again, whoever has it by now.
      const isIssued =
        script === 'getkey'
          ? [...this.holders.values()].some((of) => of.id === id && of.owner_id === owner_id)
          : holder?.owner_id === owner_id
      if (asked !== first || holder?.id !== id || !isIssued) {
        yield `${script} answers for ${key} with ${id} of ${owner_id}`
      }
    }
  }

  *#wrongWrites(call: Call, before: Keyspace, after: Keyspace, clock: number): Generator<string> {
    for (const [name, { value }] of before) {
      if (after.get(name) === before.get(name)) continue
      const [family, rest] = partsOf(name)
      if (family === 'key' && !this.#mayWrite(call, rest, before)) {
        yield `${call.script} wrote ${name}, which was ${JSON.stringify(value)}`
      } else if (family === 'id') {
        const record = ledTo(before, rest)
        const isOf = record && this.#isOf(call, record, before)
        if (record && !isOf) yield `${call.script} wrote ${name}`
      } else if (family === 'tokens') {
        if (typeof value === 'string') yield `${call.script} wrote ${name}, not ours`
        const left = membersOf(after.get(name))
        for (const [id] of membersOf(before.get(name))) {
          const record = ledTo(after, id)
          const lives = record?.owner_id === rest && record.end > clock
          const isLeft = left.some(([each]) => each === id)
          if (lives && !isLeft) yield `${name} lists ${id} no more, which lives`
        }
      } else if (family === 'hash' && call.script === 'delowner') {
        const made = membersOf(before.get(nameOf('hashes', call.args[0]!)))
        const isOf = made.some(([hash]) => hash === rest)
        if (!isOf) yield `delowner wrote ${name}`
      }
    }
  }

  /** Whether a call may write what is at a key: a record, or what rotate left. */
  #mayWrite(call: Call, key: string, before: Keyspace): boolean {
    const value = before.get(nameOf('key', key))?.value
    const record = parse(value)
    if (record) return this.#isOf(call, record, before)
    const isGiven = ['delkey', 'refresh'].includes(call.script) && call.args[0] === key
    return isGiven && OLD.test(String(value))
  }

  /** Whether a call may end or change a token. */
  #isOf({ script, args }: Call, token: Issued, before: Keyspace): boolean {
    const { id, owner_id } = token
    const opens = (key: string): boolean => {
      const holder = this.holders.get(key)
      const isOld = OLD.test(String(before.get(nameOf('key', key))?.value))
      return holder?.id === id && (holder.owner_id === owner_id || isOld)
    }
    if (script === 'add') return args.includes('EVICT') && owner_id === args[2]
    const isEvicted = args.includes('EVICT') && owner_id === optionOf(args, 'OWNER')
    if (script === 'change') return id === args[0] || isEvicted
    if (script === 'getkey') return args.slice(1).some(opens)
    if (script === 'delkey' || script === 'refresh') return opens(args[0]!)
    if (script === 'delowner') {
      return owner_id === args[0] && id !== optionOf(args, 'EXCEPT')
    }
    return ['set', 'rotate', 'del'].includes(script) && id === args[0]
  }
}
