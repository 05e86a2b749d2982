/** The scripts of a folder, called directly: no driver, no layout. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Redis } from 'ioredis'
import type { Call } from './script-calls'

const CHUNK = 1000

export class ScriptSet {
  readonly #redis: Redis
  readonly #root: string
  readonly #digests: Map<string, string>

  private constructor(redis: Redis, root: string, digests: Map<string, string>) {
    this.#redis = redis
    this.#root = root
    this.#digests = digests
  }

  static async load(redis: Redis, folder: string, root: string): Promise<ScriptSet> {
    const digests = new Map<string, string>()
    for (const file of readdirSync(folder)) {
      if (!file.endsWith('.lua')) continue
      const text = readFileSync(join(folder, file), 'utf8')
      const digest = (await redis.script('LOAD', text)) as string
      digests.set(basename(file, '.lua'), digest)
    }
    return new ScriptSet(redis, root, digests)
  }

  /** Undefined when the folder has no such script. */
  digest(script: string): string | undefined {
    return this.#digests.get(script)
  }

  /** All calls, one after the other in the server; the first error rejects. */
  async run(calls: Call[]): Promise<unknown[]> {
    const replies: unknown[] = []
    for (let from = 0; from < calls.length; from += CHUNK) {
      const pipeline = this.#redis.pipeline()
      for (const [script, ...args] of calls.slice(from, from + CHUNK)) {
        const digest = this.#digests.get(script)!
        pipeline.evalsha(digest, 1, this.#root, ...args)
      }
      for (const [error, reply] of (await pipeline.exec())!) {
        if (error) throw error
        replies.push(reply)
      }
    }
    return replies
  }
}
