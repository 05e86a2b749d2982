/** What the process of a contender is asked to do, and what it answers. */
import type { Attrs } from './attrs'
import type { CacheTask } from './cache/tasks'

export interface Slice {
  calls: number
  seconds: number
  /** Of this process, in microseconds. */
  cpu: number
  /** Milliseconds. */
  p50: number
  p99: number
}

export interface Fill {
  do: 'fill'
  tokens: number
  perOwner: number
  attrs: Attrs
  owner: string
  /** Seconds; never ends when absent. */
  ttl?: number
  padded?: boolean
}

export interface Step {
  do: 'step'
  part: 'before' | 'run' | 'after'
  op: string
  size: number
  calls: number
  inFlight: number
}

export type Task =
  | { do: 'prove' }
  | Fill
  | { do: 'time'; op: string; inFlight: number; ms: number }
  | { do: 'warm' }
  | { do: 'reset' }
  | { do: 'grow'; size: number }
  | Step
  | CacheTask
