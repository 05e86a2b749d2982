import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'

const root = join(__dirname, '..', '..')

type Values = Record<string, string | number>
type Matcher = {
  error?: string
  time?: number
  same?: string
  as?: string
  after?: string
  between?: [string, string]
}
export type Expected = string | number | null | Matcher | Expected[]
export interface Call {
  call: string
  args: string[]
  reply: Expected
  shows?: string | string[]
}
export type Step = Call | { redis: string[] } | { wait: number } | { names: string[] }

export const { values, conversations } = JSON.parse(readFileSync(join(root, 'test', 'vectors.json'), 'utf8')) as {
  values: Record<string, string>
  conversations: { name: string; steps: Step[] }[]
}

/**
 * Runs one conversation on a root that nothing else uses. `around` may look on at every call, for tests of more than
 * its reply, and say which client makes it.
 */
export async function converse(
  redis: Redis | Cluster,
  root_: string,
  steps: Step[],
  around: (call: Call, runBy: (redis: Redis | Cluster) => Promise<unknown>) => Promise<unknown> = (_call, runBy) =>
    runBy(redis)
): Promise<void> {
  const vars: Values = { ...values, root: root_ }
  const fill = (text: string): string => text.replace(/\$\{(\w+)\}/g, (_all, name: string) => String(vars[name]))
  const now = Number((await redis.time())[0]) * 1000

  const matches = (expected: Expected, reply: unknown): boolean => {
    if (typeof expected === 'string') return reply === fill(expected)
    if (typeof expected === 'number' || expected === null) return reply === expected
    if (Array.isArray(expected)) {
      if (!Array.isArray(reply) || reply.length !== expected.length) return false
      const isMatcher = (i: number): boolean => typeof expected[i] === 'object' && expected[i] !== null
      const order = [...expected.keys()].sort((a, b) => Number(isMatcher(b)) - Number(isMatcher(a)))
      return order.every((i) => matches(expected[i]!, reply[i]))
    }
    if (expected.error !== undefined) return reply instanceof Error && reply.message.startsWith(`${expected.error} `)
    if (expected.same !== undefined) return reply === vars[expected.same]
    const got = expected.between === undefined ? reply : numberBetween(expected.between.map(fill), reply)
    if (expected.time !== undefined) {
      if (typeof got !== 'number' || Math.abs(got - now - expected.time) > 10_000) return false
      if (expected.after !== undefined && !(got > Number(vars[expected.after]))) return false
    }
    if (typeof got !== 'string' && typeof got !== 'number') return false
    if (expected.as !== undefined) vars[expected.as] = got
    return true
  }

  for (const [i, step] of steps.entries()) {
    const fail = (got: unknown): never => {
      throw new Error(`step ${i + 1}: ${JSON.stringify(step)}\ngot ${JSON.stringify(got)}`)
    }
    if ('call' in step) {
      const reply = await around(step, (by) => evalsha(by, step.call, root_, step.args.map(fill)))
      if (!matches(step.reply, reply)) fail(reply instanceof Error ? reply.message : reply)
    } else if ('redis' in step) {
      const [command = '', ...args] = step.redis.map(fill)
      await redis.call(command, args)
    } else if ('wait' in step) {
      await sleep(step.wait)
    } else if ('names' in step) {
      const found = (await namesUnder(redis, `${root_}:`)).map((name) => name.slice(root_.length + 1)).sort()
      if (JSON.stringify(found) !== JSON.stringify(step.names.map(fill).sort())) fail(found)
    } else {
      fail('a step of an unknown kind')
    }
  }
}

function numberBetween([before, after]: string[], reply: unknown): number | undefined {
  const text = String(reply)
  const digits = text.slice(before!.length, text.length - after!.length)
  return /^\d+$/.test(digits) && reply === before! + digits + after! ? Number(digits) : undefined
}

/** The reply, or the error that Redis answered. */
async function evalsha(redis: Redis | Cluster, name: string, root_: string, args: string[]): Promise<unknown> {
  const lua = readFileSync(join(root, 'lua', `${name}.lua`), 'utf8')
  const sha1 = createHash('sha1').update(lua).digest('hex')
  try {
    return await redis.evalsha(sha1, 1, root_, ...args)
  } catch (error) {
    if (!(error as Error).message.startsWith('NOSCRIPT')) return error
    // As a program must that outlives its server: EVAL runs the script and loads it.
    return redis.eval(lua, 1, root_, ...args).catch((failed: Error) => failed)
  }
}

async function namesUnder(redis: Redis | Cluster, start: string): Promise<string[]> {
  const found = new Set<string>()
  const nodes = redis.isCluster ? (redis as Cluster).nodes('master') : [redis as Redis]
  for (const node of nodes) {
    let cursor = '0'
    do {
      const page = await node.scan(cursor, 'MATCH', `${start.replace(/[\\*?[\]]/g, '\\$&')}*`, 'COUNT', 1000)
      cursor = page[0]
      for (const name of page[1]) found.add(name)
    } while (cursor !== '0')
  }
  return [...found]
}
