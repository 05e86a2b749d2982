import type { Redis } from 'ioredis'
import { errorText } from './errors'
import type { Call } from './redis'
import { scripts, type ScriptName } from './scripts'

/** What a script answered, how many replicas have what it wrote, and why that could not be asked, or ''. */
export type Confirmed = [reply: unknown, replicas: number, why: string]

interface Write {
  call: Call
  script: ScriptName
  args: (string | number)[]
  replicas: number
  resolve(confirmed: Confirmed): void
  reject(error: Error): void
}

/**
 * Writes to one server whose answers wait for its replicas, on a connection of their own, since WAIT holds up all that
 * is sent behind it. One pipeline `EVAL… WAIT` is under way at a time; what is asked meanwhile shares the next one, or
 * is dropped when its time is over first: in the socket it would still run, long after its caller was told otherwise.
 */
export class Confirmer {
  readonly #client: Redis
  #writes: Write[] = []
  #sending = false

  constructor(client: Redis) {
    this.#client = client
    client.on('ready', () => this.#send())
    client.on('end', () => {
      for (const { reject } of this.#writes.splice(0)) reject(new Error('no connection to Redis'))
    })
  }

  /** Whether the connection was given up. */
  get ended(): boolean {
    return this.#client.status === 'end'
  }

  run(call: Call, script: ScriptName, args: (string | number)[], replicas: number): Promise<Confirmed> {
    return new Promise((resolve, reject) => {
      // While there is no connection nothing else clears them away.
      while (this.#writes[0]?.call.settled) this.#writes.shift()
      this.#writes.push({ call, script, args, replicas, resolve, reject })
      this.#send()
    })
  }

  disconnect(): void {
    this.#client.disconnect()
  }

  #send(): void {
    if (this.#sending || this.#client.status !== 'ready') return
    const open = this.#writes.filter(({ call }) => !call.settled)
    // Those that want fewer replicas need not wait for more.
    const batch = open.filter(({ replicas }) => replicas === open[0]!.replicas)
    this.#writes = open.filter(({ replicas }) => replicas !== open[0]!.replicas)
    if (batch.length === 0) return
    this.#sending = true
    void this.#execute(batch)
      .catch((error: Error) => batch.forEach(({ reject }) => reject(error)))
      .finally(() => {
        this.#sending = false
        this.#send()
      })
  }

  async #execute(batch: Write[]): Promise<void> {
    const pipeline = this.#client.pipeline()
    // EVAL, since EVALSHA might be repeated as EVAL behind the WAIT.
    for (const { script, args } of batch) pipeline.eval(scripts[script].lua, 1, ...args)
    const left = Math.min(...batch.map(({ call }) => call.deadline)) - performance.now()
    // Redis looks at this timeout every 100 ms; its answer must come before that of the calls.
    pipeline.wait(batch[0]!.replicas, Math.max(1, Math.ceil(Math.max(left / 2, left - 300))))
    const results = (await pipeline.exec()) ?? []
    const [unconfirmed, n] = results.pop()!
    for (const [i, { resolve, reject }] of batch.entries()) {
      const [failed, reply] = results[i]!
      if (failed) reject(failed)
      else resolve([reply, unconfirmed ? 0 : Number(n), unconfirmed ? errorText(unconfirmed) : ''])
    }
  }
}
