import { LRUCache } from 'lru-cache'
import type { Args } from './args'
import { isFlat } from './check'
import { attrsOf, readRecord, tokenOf, type StoredRecord } from './record'
import type { ScriptName } from './scripts'
import { now } from './timers'
import type { Tracker } from './tracker'
import type { Tracking } from './tracking'
import type { Token } from './types'
import { writtenIds, WRITES_NO_TOKEN } from './written-ids'

/** A token as Redis answered it. */
interface Entry {
  /** As Redis sees it. */
  key: string
  /** The record as it is stored, and taken apart. */
  text: string
  record: StoredRecord
  /** The attrs, if they have no parts that callers could share. */
  flat?: object | undefined
  expires_at: number
  /** When it was asked for, by what had been dropped. */
  sent: number
  root: string
  /** Who tells when it changes. */
  tracker: Tracker
}

/** Takes what was answered to a read, `record, expires_at` for each key. */
export type Keep = (keys: string[], reply: unknown[]) => void

// So that memory has an end, whatever is told while a read is under way.
const MAX_DROPPED = 10_000

/**
 * Tokens that need not be asked for: a server tells when their names change, and an entry
 * counts only as long as it is proven that it does.
 */
export class Cache {
  readonly #tracking: Tracking
  readonly #silence: number
  /** By key. */
  readonly #entries: LRUCache<string, Entry>
  /** The keys of the entries, by id: a token has one, for those within their grace are not kept. */
  readonly #keys = new Map<string, string>()
  /** By key, what was answered last and is being read again. */
  readonly #answered = new Map<string, Entry>()
  /** Counts what was dropped. */
  #count = 0
  /** The keys and ids that were dropped, and when, by that count. */
  readonly #dropped = new Map<string, number>()
  /** When all was dropped, or that was forgotten. */
  #allDropped = 0
  /** Proofs count that were asked for from here on, by `now()`. */
  #since = -Infinity

  constructor({ max, silence }: { max: number; silence: number }, tracking: Tracking) {
    this.#silence = silence
    this.#tracking = tracking
    this.#entries = new LRUCache<string, Entry>({
      max,
      dispose: ({ record }) => this.#keys.delete(record.id)
    })
    tracking.on('changed', ({ family, rest }) => {
      if (family === 'key') this.#dropKey(rest)
      if (family === 'id') this.#drop(rest)
    })
    tracking.on('flushed', () => this.clear())
    tracking.on('lost', () => this.clear())
  }

  /** The token of a key, unless Redis has to be asked; a use that need not be written, if it is. */
  find<Attrs extends object>(key: string, stored: string, touch: boolean): Token<Attrs> | null {
    const entry = this.#entries.get(stored)
    if (!entry) return null
    const { record, expires_at, root, tracker } = entry
    const age = tracker.age
    if (age >= this.#silence || tracker.provenAt < this.#since) return null
    if (tracker.name !== '' && this.#tracking.serverOf(root) !== tracker.name) return null
    if (expires_at > 0) {
      const time = tracker.timeAt(age)
      const end = record.ends_at || Infinity
      const isUse = touch && record.idle > 0
      if (time >= expires_at) return null
      if (isUse && Math.min(time + record.idle, end) - expires_at >= record.every) return null
    }
    // Of flat attrs a copy costs less than to parse them again.
    const attrs = entry.flat ? { ...entry.flat } : attrsOf(record)
    return tokenOf<Attrs>(key, record, attrs, expires_at)
  }

  /** Before a read is sent: what to do with its answer. Undefined when that cannot be kept. */
  begin(root: string): Keep | undefined {
    const tracker = this.#tracking.of(root)
    if (!tracker?.hears) return undefined
    const sent = this.#count
    return (keys, reply) => {
      const read: string[] = []
      for (const [i, key] of keys.entries()) {
        const [text, expires_at] = [reply[2 * i] as string | null, Number(reply[2 * i + 1])]
        const record = text === null ? null : readRecord(text)
        if (text === null || record === null) this.#gone(key)
        else if (this.#read({ key, text, record, expires_at, sent, root, tracker })) read.push(key)
      }
      if (read.length > 0) void this.#keep(root, tracker, read, sent)
    }
  }

  /** Sends a script, and drops the tokens that it writes before and after. */
  async around(
    script: ScriptName,
    args: Readonly<Args>,
    send: () => Promise<unknown>
  ): Promise<unknown> {
    if (WRITES_NO_TOKEN.has(script)) return send()
    const first = String(args[0])
    const kept = this.#entries.peek(first)?.record.id
    // The first argument is an id, or a key.
    this.#drop(kept ?? first)
    try {
      const reply = await send()
      const ids = writtenIds(script, args, reply, kept)
      if (ids === undefined) this.#doubt()
      else for (const id of ids) this.#drop(id)
      return reply
    } catch (error) {
      // What it did, if anything, is not known.
      this.#drop(kept ?? first)
      this.#doubt()
      throw error
    }
  }

  clear(): void {
    this.#allDropped = ++this.#count
    this.#dropped.clear()
    this.#entries.clear()
  }

  /** What was written is not known by its id, so all has to be proven anew. */
  #doubt(): void {
    this.#since = now()
    this.#tracking.hasten()
  }

  #drop(id: string): void {
    this.#note(id)
    this.#forget(id)
  }

  #dropKey(key: string): void {
    this.#note(key)
    this.#entries.delete(key)
  }

  #note(dropped: string): void {
    this.#dropped.set(dropped, ++this.#count)
    if (this.#dropped.size <= MAX_DROPPED) return
    this.#allDropped = this.#count
    this.#dropped.clear()
  }

  #isDropped({ key, record }: Entry, since: number): boolean {
    const last = Math.max(this.#dropped.get(key) ?? 0, this.#dropped.get(record.id) ?? 0)
    return since < Math.max(last, this.#allDropped)
  }

  #forget(id: string): void {
    const key = this.#keys.get(id)
    if (key !== undefined) this.#entries.delete(key)
  }

  /** Takes an answer; false when it need not be kept. Nothing older is answered from here on. */
  #read(entry: Entry): boolean {
    const { key, text, record, expires_at } = entry
    const isKept = (key: string): boolean => {
      const kept = this.#entries.peek(key)
      return kept?.text === text && kept.expires_at === expires_at
    }
    if (isKept(key)) return false
    this.#entries.delete(key)
    // By another key, where this one is within its grace.
    const other = this.#keys.get(record.id)
    if (other !== undefined && !isKept(other)) this.#entries.delete(other)
    this.#answered.set(key, entry)
    return true
  }

  /** Takes the answer that there is no token. */
  #gone(key: string): void {
    this.#entries.delete(key)
    this.#answered.delete(key)
  }

  async #keep(root: string, tracker: Tracker, keys: string[], sent: number): Promise<void> {
    // A key within its grace has no record of its own, so nothing tells when that changes. What
    // cannot be read again is not kept.
    const texts = await tracker.texts(keys.map((key) => `${root}:key:${key}`)).catch(() => [])
    for (const [i, key] of keys.entries()) {
      // Of a later call, if there was one; this text vouches for it only from the first on.
      const entry = this.#answered.get(key)
      this.#answered.delete(key)
      if (!entry || entry.text !== texts[i]) continue
      if (this.#isDropped(entry, Math.min(sent, entry.sent))) continue
      this.#forget(entry.record.id)
      this.#entries.set(key, { ...entry, flat: flatAttrs(entry.record) })
      this.#keys.set(entry.record.id, key)
    }
  }
}

/** The attrs, if they have no parts that callers could share, and are JSON. */
function flatAttrs(record: StoredRecord): object | undefined {
  try {
    const attrs = attrsOf(record)
    return isFlat(attrs) ? attrs : undefined
  } catch {
    return undefined
  }
}
