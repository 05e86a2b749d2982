import type { Redis } from 'ioredis'
import { apart, isCluster, masterOf, type RedisClient } from './client'
import { errorText, raise } from './errors'
import type { PendingCall } from './pending-call'
import { scripts, type ScriptName } from './scripts'
import { now } from './timers'
import { Watchdog } from './watchdog'

/**
 * What a script answered, how many replicas have what it wrote, and why that could not be
 * asked, or ''.
 */
export type Confirmed = [reply: unknown, replicas: number, why: string]

interface Write {
  call: PendingCall<Confirmed>
  script: ScriptName
  args: (string | number)[]
  replicas: number
  resolve(confirmed: Confirmed): void
  reject(error: Error): void
}

/**
 * Writes that are answered once replicas have them: a connection for each server that they
 * go to.
 */
export class ConfirmedWrites {
  readonly #client: RedisClient
  readonly #timeout: number
  readonly #watch: (redis: Redis) => Redis
  readonly #confirmers = new Map<string, Confirmer>()
  readonly #unanswered = new Set<Promise<unknown>>()

  /** `watch` listens to the errors of a connection that this opens. */
  constructor(client: RedisClient, timeout: number, watch: (redis: Redis) => Redis) {
    this.#client = client
    this.#timeout = timeout
    this.#watch = watch
  }

  /** Sends a write to the server that holds its root, the first of `args`. */
  send(
    call: PendingCall<Confirmed>,
    script: ScriptName,
    args: [root: string, ...rest: (string | number)[]],
    replicas: number
  ): Promise<Confirmed> {
    return this.#confirmerOf(args[0]).run(call, script, args, replicas)
  }

  /** What the script answered, once so many replicas are known to have it. */
  async answer(script: ScriptName, replicas: number, sent: Promise<Confirmed>): Promise<unknown> {
    this.#unanswered.add(sent)
    const [reply, confirmed, why] = await sent.finally(() => this.#unanswered.delete(sent))
    // Also when there was nothing to do: what an earlier, unconfirmed call did may be undone yet.
    if (confirmed >= replicas) return reply
    const by = `confirmed by ${confirmed} of ${replicas} replicas`
    const message = `${script}: done, but ${by}${why && `: ${why}`}`
    return raise({ code: 'TSREPLICATION', message })
  }

  /** Closes the connections once what was sent is answered. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#unanswered)
    for (const confirmer of this.#confirmers.values()) confirmer.disconnect()
  }

  #confirmerOf(name: string): Confirmer {
    const [server, redis] = masterOf(this.#client, name)
    let confirmer = this.#confirmers.get(server)
    if (!confirmer || confirmer.ended) {
      const ofCluster = isCluster(this.#client)
      confirmer = new Confirmer(this.#watch(apart(redis, ofCluster)), this.#timeout)
      this.#confirmers.set(server, confirmer)
    }
    return confirmer
  }
}

// So few that they are answered in time when each of them is slow.
const TOGETHER = 256

/**
 * Writes to one server whose answers wait for its replicas, on a connection of their own,
 * since WAIT holds up all that is sent behind it. One pipeline `EVAL… WAIT` is under way at
 * a time; what is asked meanwhile shares the next one, or is dropped when its time is over
 * first: in the socket it would still run, long after its caller was told otherwise.
 */
class Confirmer {
  readonly #client: Redis
  readonly #watchdog: Watchdog
  readonly #unheard = (): void => this.#watchdog.unheard()
  #writes: Write[] = []
  #sending = false

  constructor(client: Redis, timeout: number) {
    this.#client = client
    this.#watchdog = new Watchdog(client, timeout)
    client.on('ready', () => this.#send())
    client.on('end', () => {
      for (const { reject } of this.#writes.splice(0)) reject(new Error('no connection to Redis'))
    })
  }

  /** Whether the connection was given up. */
  get ended(): boolean {
    return this.#client.status === 'end'
  }

  run(
    call: PendingCall<Confirmed>,
    script: ScriptName,
    args: (string | number)[],
    replicas: number
  ): Promise<Confirmed> {
    return new Promise((resolve, reject) => {
      // While there is no connection nothing else clears them away.
      while (this.#writes[0]?.call.settled) this.#writes.shift()
      call.onLate = this.#unheard
      this.#writes.push({ call, script, args, replicas, resolve, reject })
      this.#send()
    })
  }

  disconnect(): void {
    this.#client.disconnect()
  }

  #send(): void {
    if (this.#sending || this.#client.status !== 'ready' || !this.#client.stream.writable) return
    const open = this.#writes.filter(({ call }) => !call.settled)
    // Those that want fewer replicas need not wait for more.
    const alike = open.filter(({ replicas }) => replicas === open[0]!.replicas)
    const batch = new Set(alike.slice(0, TOGETHER))
    this.#writes = open.filter((write) => !batch.has(write))
    if (batch.size === 0) return
    this.#sending = true
    void this.#execute([...batch])
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
    const left = Math.min(...batch.map(({ call }) => call.deadline)) - now()
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
