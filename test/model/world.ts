/** One Redis with the scripts in it, from any moment of which one can go on. */
import { type Fault, faultsOfError, faultsOfNames, faultsOfTheEnd } from './invariants'
import { Ledger } from './ledger'
import type { LuaVm } from './lua-vm'
import { partsOf, ROOT } from './names'
import { type Entry, type Keyspace, RedisModel, type Reply } from './redis-model'
import { parse, Register } from './register'
import type { Kind } from './space'
import { type Call, faultOf } from './spec'
import type { ZSet } from './zset'

/** `lag`: the ms that pass before a script's first look at the clock, its second. */
export type Step =
  | { kind: 'call'; call: Call; lag: number[] }
  | { kind: 'tick'; ms: number }
  | { kind: 'evict'; name: string }
  | { kind: 'put'; name: string; value: string | ZSet }

export interface State {
  readonly names: Keyspace
  readonly clock: number
  /** What there must be, where nothing but the scripts writes. */
  readonly ledger: Ledger
  /** Who has what, where Redis evicts or others write. */
  readonly register: Register
}

export interface Outcome {
  state: State
  faults: Fault[]
  /** How often the script looked at the clock. */
  looks: number
}

/** 13 digits, as all times of the next 260 years have. */
const START = 1_700_000_000_000

export class World {
  readonly #vm: LuaVm
  readonly #kind: Kind
  readonly #redis = new RedisModel(START)

  constructor(vm: LuaVm, kind: Kind) {
    this.#vm = vm
    this.#kind = kind
  }

  start(): State {
    const ledger = new Ledger()
    return { names: new Map(), clock: START, ledger, register: new Register() }
  }

  step(from: State, step: Step): Outcome {
    this.#set(from)
    if (step.kind === 'call') return this.#call(from, step.call, step.lag)
    const redis = this.#redis
    if (step.kind === 'tick') redis.clock += step.ms
    else if (step.kind === 'evict') redis.names.delete(step.name)
    else redis.names.set(step.name, { value: step.value, end: Infinity })
    const state = this.#settled(from.ledger.copy(), from.register)
    return { state, faults: [], looks: 0 }
  }

  /** What is left once all that never ends has been revoked and time has passed. */
  end(from: State): Fault[] {
    if (this.#kind === 'stepping') return [...this.#unreached(from)]
    const isEndless = [...from.names.values()].some(({ end }) => end === Infinity)
    if (this.#kind === 'torn' || !isEndless) return []
    this.#set(from)
    for (const { id, ends } of from.ledger.tokens.values()) {
      if (ends === Infinity) this.#run({ script: 'del', args: [id] }, [])
    }
    return [...faultsOfTheEnd(this.#redis.names)]
  }

  /** reach: a token that a key opens is listed, and revoked by its id and by its owner. */
  *#unreached(from: State): Generator<Fault> {
    const after = (script: string, ...args: string[]): Reply => this.#run({ script, args }, [])
    for (const name of from.names.keys()) {
      const [family, key] = partsOf(name)
      if (family !== 'key') continue
      const opened = (): Reply[] => after('getkey', 'PEEK', key) as Reply[]
      this.#set(from)
      const [record, end] = opened()
      const token = parse(record)
      // In its last ms an owner's set may be gone before its token.
      if (!token || end === from.clock) continue
      const { id, owner_id } = token
      const found: Record<string, () => boolean> = {
        list: () => (after('list', owner_id) as Reply[]).includes(record!),
        count: () => Number(after('count', owner_id)) > 0,
        del: () => after('del', id) === 1 && opened()[0] === null,
        delkey: () => after('delkey', key) === 1 && opened()[0] === null,
        delowner: () => Number(after('delowner', owner_id)) > 0 && opened()[0] === null
      }
      for (const [script, isFound] of Object.entries(found)) {
        this.#set(from)
        const text = `${script} does not reach ${id} of ${owner_id}, which ${key} opens`
        if (!isFound()) yield { invariant: 'reach', text }
      }
    }
  }

  #set({ names, clock }: State): void {
    this.#redis.names = new Map(names)
    this.#redis.clock = clock
  }

  #run({ script, args }: Call, lag: number[]): Reply {
    const redis = this.#redis
    return redis.script(lag, () =>
      this.#vm.run(script, ROOT, args, (name, ...rest) => redis.call(name, ...rest))
    )
  }

  #call(from: State, call: Call, lag: number[]): Outcome {
    const redis = this.#redis
    const reply = this.#run(call, lag)
    const { names: found, clock, looks } = redis
    // Where the clock steps back, to read deletes what had expired.
    const isStepping = this.#kind === 'stepping'
    const lives = ([, { end }]: [string, Entry]): boolean => !isStepping || end >= clock
    const [before, after] = [from.names, found].map((names) => new Map([...names].filter(lives)))
    const faults = [...faultsOfError(reply, before!, after!, this.#kind === 'torn')]
    if (isStepping) return { state: this.#settled(from.ledger, from.register), faults, looks }
    if (this.#kind === 'torn') {
      const register = from.register.copy()
      register.note(call, reply, from.names)
      faults.push(...register.faults(call, reply, from.names, found, clock))
      return { state: this.#settled(from.ledger, register), faults, looks }
    }
    const ledger = from.ledger.copy()
    const at = {
      began: from.clock,
      now: from.clock + (lag[0] ?? 0),
      ended: clock
    }
    const wrong = faultOf(ledger, call, { at, reply, found })
    if (wrong) faults.push({ invariant: 'reply', text: wrong })
    const state = this.#settled(ledger, from.register)
    if (!wrong) faults.push(...faultsOfNames(state.names, state.ledger, clock))
    return { state, faults, looks }
  }

  #settled(ledger: Ledger, register: Register): State {
    const { clock } = this.#redis
    if (this.#kind !== 'stepping') this.#redis.prune()
    const { names } = this.#redis
    ledger.settle(clock, names)
    return { names, clock, ledger, register }
  }
}
