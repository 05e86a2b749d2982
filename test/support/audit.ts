import type { Redis } from 'ioredis'
import { snapshot, type Entry, type Snapshot } from './keyspace'

/**
 * What contradicts itself under a root: a record without id or owner entry, an entry without
 * record, a wrong TTL.
 */
export async function audit(redis: Redis, root: string): Promise<string[]> {
  return faultsUnder(root, await snapshot(redis, `${root}:`))
}

/** The same under every root of a partitioned store. */
export async function auditPartitioned(redis: Redis, prefix: string): Promise<string[]> {
  const { time, entries } = await snapshot(redis, `${prefix}:{`)
  const roots = new Map<string, Record<string, Entry>>()
  for (const [name, entry] of Object.entries(entries)) {
    const root = name.slice(0, name.indexOf('}:') + 1)
    roots.set(root, Object.assign(roots.get(root) ?? {}, { [name]: entry }))
  }
  return [...roots].flatMap(([root, entries]) => faultsUnder(root, { time, entries }))
}

/** What a record says besides its attrs: it knows no end that its uses move. */
interface Head {
  id: string
  owner_id: string
  ends_at?: number
  idle?: number
}

const OLD_KEY = /^([\da-f-]{36}) (\d+)$/
const endOfScore = (score: string): number | null => (score === 'inf' ? null : Number(score))

function faultsUnder(root: string, { time, entries }: Snapshot): string[] {
  const faults: string[] = []
  const at = (family: string, rest: string): Entry | undefined =>
    entries[`${root}:${family}:${rest}`]
  const headAt = (key: string | undefined): Head | undefined => {
    const entry = key === undefined ? undefined : at('key', key)
    return entry && headOf(entry)
  }
  // In the millisecond of its end a name may be there, or not any more.
  const isOver = (end: number | null): boolean => end !== null && end <= time

  const checkKey = (name: string, key: string, entry: Entry): void => {
    const [, old, till] = OLD_KEY.exec(String(entry.value)) ?? []
    if (till !== undefined) {
      // It may outlive its token, and then leads nowhere; and its grace, as long as reuse is
      // watched for, which is not beyond the end of its token.
      const ends_at = headAt(at('id', old!)?.value as string | undefined)?.ends_at
      const right = entry.end !== null && (entry.end >= Number(till) || entry.end === ends_at)
      if (!right) faults.push(`${name}: wrong TTL for its grace`)
      return
    }
    const head = headOf(entry)
    if (!head) return void faults.push(`${name}: not a record`)
    const { id, owner_id, ends_at = null, idle } = head
    const latest = idle === undefined ? ends_at : Math.min(time + idle, ends_at ?? Infinity)
    const right =
      idle === undefined ? entry.end === latest : entry.end !== null && entry.end <= latest!
    if (!right) faults.push(`${name}: wrong TTL for its end`)
    const index = at('id', id)
    if (index?.value !== key) faults.push(`${name}: no id index leads to it`)
    else if (index.end !== entry.end) faults.push(`${name}: its id has another TTL`)
    const set = (at('tokens', owner_id)?.value ?? []) as string[]
    if (!set.includes(id)) faults.push(`${name}: its owner does not list it`)
    else if (endOfScore(set[set.indexOf(id) + 1]!) !== entry.end) {
      faults.push(`${name}: its owner lists it with another end`)
    }
  }

  const checkOwner = (name: string, owner_id: string, entry: Entry): void => {
    const set = entry.value as string[]
    for (let i = 0; i < set.length; i += 2) {
      const id = set[i]!
      if (isOver(endOfScore(set[i + 1]!))) continue // dropped by the next add or list
      const key = at('id', id)?.value as string | undefined
      if (key === undefined) faults.push(`${name}: lists ${id}, which is not there`)
      else if ((headAt(key)?.owner_id ?? owner_id) !== owner_id) {
        faults.push(`${name}: lists ${id}, which is another's`)
      }
    }
    checkLast(name, entry)
  }

  const checkLast = (name: string, { value, end }: Entry): void => {
    if (end !== endOfScore((value as string[]).at(-1)!))
      faults.push(`${name}: wrong TTL for its last to end`)
  }

  const checkCode = (name: string, { value, end }: Entry): void => {
    const { left, made, ...rest } = value as Record<string, string>
    const fields = Object.keys(rest).sort().join()
    // Of one that was right, or spent, the tries are known for the rest of the window.
    const whole = fields === '' || (fields === 'digest,value' && left !== '0')
    if (!whole || !/^\d+$/.test(left!) || Number(left) > 1000) faults.push(`${name}: not a code`)
    if (end === null || !(Number(made) <= time)) faults.push(`${name}: wrong window`)
  }

  for (const [name, entry] of Object.entries(entries)) {
    const [, family, rest = ''] = /^(\w+):(.*)$/s.exec(name.slice(root.length + 1)) ?? []
    if (isOver(entry.end)) continue
    if (family === 'key') checkKey(name, rest, entry)
    else if (family === 'tokens') checkOwner(name, rest, entry)
    else if (family === 'id') {
      if (headAt(entry.value as string)?.id !== rest) faults.push(`${name}: leads nowhere`)
    } else if (family === 'hash' || family === 'latest') {
      if (entry.end === null) faults.push(`${name}: never expires`)
    } else if (family === 'hashes') {
      if (entry.end === null) faults.push(`${name}: never expires`)
      checkLast(name, entry)
    } else if (family === 'code') {
      checkCode(name, entry)
    } else {
      faults.push(`${name}: not a name of the store`)
    }
  }
  return faults
}

/** Undefined for what is no record: an old key, and what is not ours. */
function headOf({ value }: Entry): Head | undefined {
  const text = String(value)
  if (!/^\{"id":"[\da-f-]{36}","owner_id":"/.test(text)) return undefined
  const head = JSON.parse(text) as Head
  return HEADS.includes(Object.keys(head).join()) ? head : undefined
}

/** The fields of a record, by what lifetime it has. */
const HEADS = ['', 'ends_at,', 'idle,every,', 'ends_at,idle,every,'].map(
  (fields) => `id,owner_id,${fields}attrs`
)
