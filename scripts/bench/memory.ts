/** What a token takes in Redis, of every contender. */
import type { Redis } from 'ioredis'
import type { ContenderProcess } from './contender-process'
import type { Name } from './contenders'
import type { Progress } from './progress'
import type { Settings } from './settings'
import { usedMemory } from './used-memory'

export interface Memory {
  contender: Name
  attrsBytes: number
  perOwner: number
  bytes: number
}

const KINDS = [13, 200].flatMap((attrsBytes) =>
  [1, 10].map((perOwner) => ({ attrsBytes, perOwner }))
)

export async function memory(
  { memoryTokens: tokens }: Settings,
  progress: Progress,
  redis: Redis,
  contenders: Map<Name, ContenderProcess>
): Promise<Memory[]> {
  const found: Memory[] = []
  const names = [...contenders.keys()].filter((n) => n !== 'autopipelining')
  for (const { attrsBytes, perOwner } of KINDS) {
    const padding = 'x'.repeat(attrsBytes - '{"foo":""}'.length)
    const fill = { tokens, perOwner, attrs: { foo: padding }, owner: 'o' }
    for (const contender of names) {
      progress('memory', found.length, KINDS.length * names.length)
      await redis.flushall('SYNC')
      const before = await usedMemory(redis)
      const task = { do: 'fill', ...fill, padded: true } as const
      await contenders.get(contender)!.ask(task)
      const bytes = ((await usedMemory(redis)) - before) / tokens
      found.push({ contender, attrsBytes, perOwner, bytes })
    }
  }
  return found
}
