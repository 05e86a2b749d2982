/**
 * What processes did with the same tokens, and what they were answered. Times are ms by the
 * monotonic clock of the machine, which all its processes share; what was never answered, and
 * may have happened, was answered at null.
 *
 * The order in which Redis executed is evident: each write of attrs raises their `n`, keys and
 * ids are never given twice, and so a revocation is final.
 */
export interface Sent {
  process: number
  sent: number
  answered: number | null
}

export type Write = Sent &
  (
    | { op: 'write'; id: string; owner: string; n: number; expires_at: number }
    | { op: 'key'; id: string; key: string }
    /** Of a key that was rotated out, and goes on opening for `grace` ms. */
    | { op: 'out'; id: string; key: string; grace: number }
    | { op: 'end'; id: string }
    | { op: 'endOwner'; owner: string; except?: string }
    | { op: 'endAll' }
    /** An answer that no order explains. */
    | { op: 'torn'; text: string }
  )

export interface Read {
  process: number
  sent: number
  answered: number
  key: string
  /** Of the attrs answered; -1 for null. */
  n: number
  expires_at: number
  fresh: boolean
  /** Answered before anything could come from Redis. */
  fromMemory: boolean
}

/** The clock of Redis was set within that time, to be so many ms ahead of the monotonic one. */
export interface ClockSet {
  from: number
  to: number
  ahead: number
}

export type Rule = 'stale' | 'own write' | 'past its end' | 'lost' | 'torn'

export interface Violation {
  rule: Rule
  /** Whose answer it was. */
  process: number
  text: string
  read?: Read
}

/** What contradicts later answers, from when on. */
interface Fact {
  process: number
  sent: number
  answered: number
  /** Contradicts attrs below this. */
  n: number
  /** Contradicts this key only. */
  key?: string
  grace: number
  /** Whether it is undone when the clock of Redis is set back. */
  byClock: boolean
  what: string
}

interface Token {
  owner: string
  added: { sent: number; answered: number }
  /** When the attrs of each n were sent first. */
  sent: number[]
  facts: Fact[]
  /** The earliest of its ends, 0 when it never expires. */
  expires_at: number
}

// Redis counts whole ms, and a name still lives in that of its end.
const TICK = 1

const FRESH = 'fresh read'

export class History {
  /** Answers that no order explains. */
  readonly torn: Violation[] = []
  readonly #silence: number
  readonly #clock: ClockSet[]
  readonly #doubts: [from: number, to: number][]
  readonly #tokens = new Map<string, Token>()
  readonly #ids = new Map<string, string>()
  readonly #late: (() => void)[] = []

  constructor(silence: number, clock: ClockSet[], doubts: [from: number, to: number][] = []) {
    this.#silence = silence
    this.#clock = clock
    this.#doubts = doubts
  }

  write(write: Write): void {
    const { process, sent } = write
    const answered = write.answered ?? Infinity
    const byClock = write.op === 'out' && write.grace > 0
    const fact = { process, sent, answered, n: Infinity, grace: 0, byClock, what: write.op }
    if (write.op === 'torn') this.torn.push({ rule: 'torn', process, text: write.text })
    if (write.op === 'write') {
      const { id, n, owner, expires_at } = write
      const token = this.#token(id)
      if (n === 0) Object.assign(token, { owner, added: { sent, answered } })
      token.sent[n] = Math.min(sent, token.sent[n] ?? Infinity)
      token.facts.push({ ...fact, n })
      if (expires_at > 0) token.expires_at = Math.min(expires_at, token.expires_at || Infinity)
    }
    if (write.op === 'key') this.#ids.set(write.key, write.id)
    if (write.op === 'out')
      this.#token(write.id).facts.push({ ...fact, key: write.key, grace: write.grace })
    if (write.op === 'end') this.#token(write.id).facts.push(fact)
    if (write.op === 'endOwner' || write.op === 'endAll')
      this.#late.push(() => this.#endMany(write, fact))
  }

  /** After all writes. */
  seal(): void {
    for (const each of this.#late.splice(0)) each()
  }

  /** What a process was answered by Redis itself, it may not miss from then on. */
  learn({ process, sent, answered, key, n }: Read): void {
    const id = this.#ids.get(key)
    if (id === undefined) return
    const token = this.#token(id)
    const fact = { process, sent, answered, grace: 0, what: FRESH }
    if (n >= 0) token.facts.push({ ...fact, n, byClock: false })
    else token.facts.push({ ...fact, key, n: Infinity, byClock: true })
  }

  /** What is wrong with an answer; 'in doubt' where a failover may have undone what was. */
  judge(read: Read): Violation | 'in doubt' | undefined {
    const violation = (rule: Rule, text: string): Violation => {
      return { rule, process: read.process, text, read }
    }
    const token = this.#tokens.get(this.#ids.get(read.key) ?? '')
    if (!token) return violation('torn', 'a key that nobody was given')
    if (this.#isInDoubt(token, read)) return 'in doubt'
    if (read.n < 0) {
      const explained = this.#mayBeGone(token, read)
      return explained ? undefined : violation('lost', 'null, but nothing ended it')
    }
    for (const fact of token.facts) {
      if (fact.n <= read.n || (fact.key ?? read.key) !== read.key) continue
      const own = fact.process === read.process
      if (fact.answered + this.#slack(fact, own, read) >= read.sent) continue
      const late = `${(read.sent - fact.answered).toFixed(1)} ms after ${said(fact)}`
      return violation(own ? 'own write' : 'stale', late)
    }
    if (!(token.sent[read.n]! < read.answered))
      return violation('torn', 'attrs that nobody had written')
    // The clock may have been set forward as lately as that.
    const ahead = this.#ahead(read.sent - this.#silence, read.answered)
    const late = read.sent + Math.min(...ahead) - read.expires_at
    if (read.expires_at > 0 && late >= TICK)
      return violation('past its end', `${late.toFixed(1)} ms after it`)
    return undefined
  }

  /** How long after its answer a fact need not be known. */
  #slack({ grace, byClock, sent }: Fact, own: boolean, read: Read): number {
    const slack = own ? 0 : this.#silence
    if (!byClock) return slack
    const wasSet = new Set(this.#ahead(sent, read.answered)).size > 1
    return wasSet ? Infinity : Math.max(slack, grace > 0 ? grace + TICK : 0)
  }

  #mayBeGone(token: Token, read: Read): boolean {
    const ended = token.facts.some(
      ({ what, n, key, sent }) =>
        what !== FRESH && n === Infinity && (key ?? read.key) === read.key && sent < read.answered
    )
    const ahead = this.#ahead(token.added.sent, read.answered)
    const time = read.answered + Math.max(...ahead)
    return ended || (token.expires_at > 0 && time >= token.expires_at - TICK)
  }

  #endMany(write: Write, fact: Fact): void {
    for (const [id, token] of this.#tokens) {
      if (write.op === 'endOwner' && (write.owner !== token.owner || write.except === id)) continue
      if (token.added.sent > fact.answered) continue
      // What expired by a clock that is set back later is not ended by its owner's end.
      const maybe = write.op === 'endOwner' && token.expires_at > 0 && this.#clock.length > 1
      const sure = token.added.answered < fact.sent && !maybe
      token.facts.push({ ...fact, answered: sure ? fact.answered : Infinity })
    }
  }

  #token(id: string): Token {
    let token = this.#tokens.get(id)
    if (!token) {
      const added = { sent: Infinity, answered: Infinity }
      token = { owner: '', added, sent: [], facts: [], expires_at: 0 }
      this.#tokens.set(id, token)
    }
    return token
  }

  #isInDoubt({ facts }: Token, read: Read): boolean {
    return this.#doubts.some(
      ([from, to]) =>
        read.answered > from &&
        facts.some(({ what, sent, answered }) => what !== FRESH && sent <= to && answered >= from)
    )
  }

  /** By how much the clock of Redis may have been ahead within a time. */
  #ahead(from: number, to: number): number[] {
    const found = this.#clock
      .filter((set, i) => set.from <= to && (this.#clock[i + 1]?.to ?? Infinity) >= from)
      .map(({ ahead }) => ahead)
    return found.length > 0 ? found : [this.#clock[0]!.ahead]
  }
}

const said = ({ what, n, process, key }: Fact): string =>
  `${what}${n < Infinity ? ` of n ${n}` : ''}${key ? ' of the key' : ''} by process ${process}`
