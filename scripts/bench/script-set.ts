/** The scripts of a folder, called directly: no driver, no layout. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Redis } from 'ioredis'
import type { Call } from './script-calls'

const CHUNK = 1000

export class ScriptSet {
  readonly #redis: Redis
  readonly #root: string
  readonly #texts = new Map<string, string>()
  readonly #digests = new Map<string, string>()

  private constructor(redis: Redis, root: string) {
    this.#redis = redis
    this.#root = root
  }

  static async load(redis: Redis, folder: string, root: string): Promise<ScriptSet> {
    const set = new ScriptSet(redis, root)
    for (const file of readdirSync(folder)) {
      if (!file.endsWith('.lua')) continue
      const text = readFileSync(join(folder, file), 'utf8')
      const name = basename(file, '.lua')
      set.#texts.set(name, text)
      set.#digests.set(name, (await redis.script('LOAD', text)) as string)
    }
    return set
  }

  /** Undefined when the folder has no such script. */
  digest(script: string): string | undefined {
    return this.#digests.get(script)
  }

  /** Whether the folder has that script, with the options of the call. */
  takes([script, ...args]: Call): boolean {
    const text = this.#texts.get(script)
    const words = args.filter((arg) => /^[A-Z]+$/.test(String(arg))) as string[]
    return text !== undefined && words.every((word) => text.includes(word))
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
