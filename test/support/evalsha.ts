import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster, Redis } from 'ioredis'
import { decoded } from './decoded'
import { project } from './project'

export type Arg = string | number | Buffer

/** The text of lua/<script>.lua. */
export const luaOf = (script: string): Buffer => readFileSync(join(project, 'lua', `${script}.lua`))

const known = new Map<string, { lua: Buffer; sha1: string }>()

/** Runs lua/<script>.lua by raw EVALSHA, as another language would. */
export async function evalsha(
  redis: Redis | Cluster,
  script: string,
  root: string,
  ...args: Arg[]
): Promise<unknown> {
  return decoded(await evalshaBuffer(redis, script, [root], args), 'utf8')
}

/** The same with any number of KEYS; strings in the reply are Buffers. */
export async function evalshaBuffer(
  redis: Redis | Cluster,
  script: string,
  keys: Arg[],
  args: Arg[]
): Promise<unknown> {
  let found = known.get(script)
  if (!found) {
    const lua = luaOf(script)
    found = { lua, sha1: createHash('sha1').update(lua).digest('hex') }
    known.set(script, found)
  }
  const rest = [keys.length, ...keys, ...args]
  try {
    return await redis.callBuffer('EVALSHA', found.sha1, ...rest)
  } catch (error) {
    if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
    // As a program must that outlives its server: EVAL runs the script and loads it.
    return redis.callBuffer('EVAL', found.lua, ...rest)
  }
}
