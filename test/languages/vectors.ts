import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import { evalsha, project } from '../support'

type Values = Record<string, string | number>
type Matcher = {
  error?: string
  time?: number
  same?: string
  as?: string
  after?: string
}
export type Expected = string | number | null | Matcher | Expected[]
export interface Call {
  call: string
  args: string[]
  reply: Expected
  shows?: string | string[]
}
export type Step = Call | { redis: string[] } | { wait: number } | { names: string[] }

const file = readFileSync(join(project, 'test', 'vectors.json'), 'utf8')
export const { values, conversations } = JSON.parse(file) as {
  values: Record<string, string>
  conversations: { name: string; steps: Step[] }[]
}

type RunBy = (redis: Redis | Cluster) => Promise<unknown>

/**
 * Runs one conversation on a root that nothing else uses. `around` may look on
 * at every call, for tests of more than its reply, and say which client makes
 * it.
 */
export async function converse(
  redis: Redis | Cluster,
  root: string,
  steps: Step[],
  around: (call: Call, runBy: RunBy) => Promise<unknown> = (_call, runBy) => runBy(redis)
): Promise<void> {
  const vars: Values = { ...values, root }
  const fill = (text: string): string =>
    text.replace(/\$\{(\w+)\}/g, (_all, name: string) => String(vars[name]))
  const now = Number((await redis.time())[0]) * 1000

  const matches = (expected: Expected, reply: unknown): boolean => {
    if (typeof expected === 'string') return reply === fill(expected)
    if (typeof expected === 'number' || expected === null) {
      return reply === expected
    }
    if (Array.isArray(expected)) {
      if (!Array.isArray(reply) || reply.length !== expected.length) return false
      const isMatcher = (i: number): boolean =>
        typeof expected[i] === 'object' && expected[i] !== null
      const order = [...expected.keys()].sort((a, b) => Number(isMatcher(b)) - Number(isMatcher(a)))
      return order.every((i) => matches(expected[i]!, reply[i]))
    }
    const { error, same, time, after, as } = expected
    if (error !== undefined) {
      return reply instanceof Error && reply.message.startsWith(`${error} `)
    }
    if (same !== undefined) return reply === vars[same]
    if (typeof reply !== 'string' && typeof reply !== 'number') return false
    if (time !== undefined) {
      const off = typeof reply === 'number' ? reply - now - time : Infinity
      if (Math.abs(off) > 10_000) return false
      if (after !== undefined && !(Number(reply) > Number(vars[after]))) return false
    }
    if (as !== undefined) vars[as] = reply
    return true
  }

  for (const [i, step] of steps.entries()) {
    const fail = (got: unknown): never => {
      const wanted = JSON.stringify(step)
      throw new Error(`step ${i + 1}: ${wanted}\ngot ${JSON.stringify(got)}`)
    }
    if ('call' in step) {
      const args = step.args.map(fill)
      const reply = await around(step, (by) =>
        evalsha(by, step.call, root, ...args).catch((error: Error) => error)
      )
      if (!matches(step.reply, reply)) {
        fail(reply instanceof Error ? reply.message : reply)
      }
    } else if ('redis' in step) {
      const [command = '', ...args] = step.redis.map(fill)
      await redis.call(command, args)
    } else if ('wait' in step) {
      await sleep(step.wait)
    } else if ('names' in step) {
      const found = await namesUnder(redis, `${root}:`)
      const wanted = step.names.map(fill).sort()
      if (JSON.stringify(found) !== JSON.stringify(wanted)) fail(found)
    } else {
      fail('a step of an unknown kind')
    }
  }
}

/** The rest of each name that begins so. By SCAN: a user with few rights has that. */
async function namesUnder(redis: Redis | Cluster, start: string): Promise<string[]> {
  const nodes = redis.isCluster ? (redis as Cluster).nodes('master') : [redis as Redis]
  const match = `${start.replace(/[\\*?[\]]/g, '\\$&')}*`
  const found = new Set<string>()
  for (const node of nodes) {
    for await (const names of node.scanStream({ match, count: 1000 })) {
      for (const name of names as string[]) found.add(name.slice(start.length))
    }
  }
  return [...found].sort()
}
