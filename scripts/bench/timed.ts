/** A slice of calls, and what it cost the server. */
import type { Redis } from 'ioredis'
import type { ContenderProcess } from './contender-process'
import type { Slice, Task } from './tasks'

type Counter = 'cpu' | 'reads' | 'commands' | 'bytesIn' | 'bytesOut'
export type Counters = Record<Counter, number>
export type Timed = Slice & { server: Counters }

export async function timed(redis: Redis, contender: ContenderProcess, task: Task): Promise<Timed> {
  const first = await counters(redis)
  const before = await counters(redis)
  const slice = (await contender.ask(task)) as Slice
  const after = await counters(redis)
  // The asking itself counts too.
  const server = minus(minus(after, before), minus(before, first))
  return { ...slice, server }
}

/** What the server has spent and counted so far. */
export async function counters(redis: Redis): Promise<Counters> {
  const info = await redis.info()
  const number = (field: string): number =>
    Number(new RegExp(`^${field}:(.*)`, 'm').exec(info)?.[1])
  return {
    cpu: 1e6 * (number('used_cpu_user') + number('used_cpu_sys')),
    reads: number('total_reads_processed'),
    commands: number('total_commands_processed'),
    bytesIn: number('total_net_input_bytes'),
    bytesOut: number('total_net_output_bytes')
  }
}

export function minus(a: Counters, b: Counters): Counters {
  const rest = { ...a }
  for (const name of Object.keys(b) as Counter[]) rest[name] -= b[name]
  return rest
}
