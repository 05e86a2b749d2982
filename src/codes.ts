import { randomInt } from 'node:crypto'
import type { Args } from './args'
import type { Callback } from './callbacks'
import * as check from './check'
import type { Context } from './context'
import { digestOf } from './digest'
import { Hashes } from './hashes'
import { isOne, parse } from './record'
import type { CodeOptions, TriedCode, WriteOptions } from './types'

// What is longer is no code, and not worth a digest.
const MAX_TYPED = 256

/** The methods for short codes that a person types. */
export class Codes extends Hashes {
  readonly #context: Context

  constructor(context: Context) {
    super(context)
    this.#context = context
  }

  /**
   * Makes a code of digits for a name, e.g. `login:ann@example.org`, and resolves to it. It
   * takes the place of the one before and lives for `ttl` seconds, but tries spent within
   * these stay spent. Resolves to null, and nothing is written, when the last one was made
   * less than `every` seconds ago, or no try is left. Redis sees a digest only.
   */
  async makeCode(name: string, options?: CodeOptions): Promise<string | null> {
    const known = ['digits', 'ttl', 'tries', 'every', 'value'] as const
    const given = check.options<CodeOptions>('options', options, known)
    const { digits = 6, ttl = 600, tries = 5, every, value = null } = given
    const root = this.#context.layout.codeRoot(check.text('name', name))
    const code = newCode(check.integer('digits', digits, 4, 12))
    const ms = check.seconds('ttl', ttl)
    const args: Args = [name, digestOfCode(name, code), check.json('value', value)]
    args.push(ms, check.integer('tries', tries, 1, 1000))
    if (every !== undefined) {
      const pause = check.seconds('every', every)
      if (pause > ms) check.fail('every', 'at most ttl')
      args.push('EVERY', pause)
    }
    return isOne(await this.#context.run('makecode', root, args)) ? code : null
  }

  tryCode<T = unknown>(name: unknown, code: unknown, callback: Callback<TriedCode<T>>): void
  tryCode<T = unknown>(
    name: unknown,
    code: unknown,
    options: WriteOptions | undefined,
    callback: Callback<TriedCode<T>>
  ): void
  /**
   * Tries a code. The right one is deleted and resolves to `{ ok: true, value }`: of any number
   * of callers exactly one gets that. A wrong one takes a try and resolves to
   * `{ ok: false, left }`; `left` is 0 as well when there is no code. White space in a code
   * does not count, and what is no text is a wrong code.
   */
  tryCode<T = unknown>(name: unknown, code: unknown, options?: WriteOptions): Promise<TriedCode<T>>
  async tryCode(name: unknown, code: unknown, options?: unknown): Promise<unknown> {
    const replicas = this.#context.replicasOf(options)
    if (!check.isText(name)) return { ok: false, left: 0 }
    const root = this.#context.layout.codeRoot(name)
    const typed = typeof code === 'string' && code.length <= MAX_TYPED ? code : ''
    const args = [name, digestOfCode(name, typed.replace(/\s/g, ''))]
    const reply = (await this.#context.run('trycode', root, args, replicas)) as Tried | null
    const [right, answer] = reply ?? [0, 0]
    return isOne(right)
      ? { ok: true, value: parse('the value of a code', String(answer)) }
      : { ok: false, left: Number(answer) }
  }
}

type Tried = [right: number | string, value_or_left: number | string]

function newCode(digits: number): string {
  return String(randomInt(10 ** digits)).padStart(digits, '0')
}

/** With the name, so that equal codes of two names do not look it. */
function digestOfCode(name: string, code: string): string {
  return digestOf(`${name}:${code}`)
}
