import type { Redis } from 'ioredis'
import type { Args } from './args'
import { apart, isCluster, masterOf, ONE_CONNECTION, type RedisClient } from './client'
import { errorText, raise } from './errors'
import type { PendingCall } from './pending-call'
import { Rest } from './rest'
import { scripts, type ScriptName } from './scripts'
import { afterNextPoll, now } from './timers'
import { Watchdog } from './watchdog'

/**
 * What a script answered, how many replicas have what it wrote, and why that could not be
 * asked, or ''.
 */
export type Confirmed = [reply: unknown, replicas: number, why: string]

interface Write {
  script: ScriptName
  args: Args
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
    args: [root: string, ...rest: Args],
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
      // A node that is gone may be gone for good.
      const connection = apart(redis, ofCluster ? ONE_CONNECTION : {})
      confirmer = new Confirmer(this.#watch(connection), ofCluster, this.#timeout)
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
  readonly #writes = new Map<PendingCall<Confirmed>, Write>()
  #sending = false
  readonly #rest = new Rest()

  constructor(client: Redis, ofCluster: boolean, timeout: number) {
    this.#client = client
    this.#watchdog = new Watchdog(client, timeout)
    client.on('ready', () => this.#send())
    client.on('end', () => {
      // Of a cluster another connection may be had, and nothing of these was sent.
      const error = new Error(`${ofCluster ? 'CLUSTERDOWN ' : ''}no connection to Redis`)
      for (const { reject } of this.#writes.values()) reject(error)
    })
  }

  /** Whether the connection was given up. */
  get ended(): boolean {
    return this.#client.status === 'end'
  }

  run(
    call: PendingCall<Confirmed>,
    script: ScriptName,
    args: Args,
    replicas: number
  ): Promise<Confirmed> {
    return new Promise((resolve, reject) => {
      call.onLate = this.#unheard
      const held = call.hold(this.#writes, () =>
        this.#sending
          ? 'earlier writes wait for replicas, and this was not sent'
          : 'no connection to Redis for a write that replicas confirm'
      )
      if (!held) return
      this.#writes.set(call, { script, args, replicas, resolve, reject })
      // That Redis closed the connection may not have been read yet.
      if (this.#rest.isLong) afterNextPoll(() => this.#send())
      else this.#send()
    })
  }

  disconnect(): void {
    this.#client.disconnect()
  }

  #send(): void {
    if (this.#sending || this.#client.status !== 'ready' || !this.#client.stream.writable) return
    // Those that want fewer replicas need not wait for more.
    const [first] = this.#writes.values()
    const alike = [...this.#writes].filter(([, { replicas }]) => replicas === first!.replicas)
    const batch = alike.slice(0, TOGETHER)
    if (batch.length === 0) return
    for (const [call] of batch) call.release()
    this.#sending = true
    void this.#execute(batch)
      .catch((error: Error) => batch.forEach(([, { reject }]) => reject(error)))
      .finally(() => {
        this.#sending = false
        this.#rest.begin()
        this.#send()
      })
  }

  async #execute(batch: [PendingCall<Confirmed>, Write][]): Promise<void> {
    const pipeline = this.#client.pipeline()
    // EVAL, since EVALSHA might be repeated as EVAL behind the WAIT.
    for (const [, { script, args }] of batch) pipeline.eval(scripts[script].lua, 1, ...args)
    const left = Math.min(...batch.map(([call]) => call.deadline)) - now()
    const { replicas } = batch[0]![1]
    // Redis looks at this timeout every 100 ms; its answer must come before that of the calls.
    pipeline.wait(replicas, Math.max(1, Math.ceil(Math.max(left / 2, left - 300))))
    const results = (await pipeline.exec()) ?? []
    const [unconfirmed, n] = results.pop()!
    for (const [i, [, { resolve, reject }]] of batch.entries()) {
      const [failed, reply] = results[i]!
      if (failed) reject(failed)
      else resolve([reply, unconfirmed ? 0 : Number(n), unconfirmed ? errorText(unconfirmed) : ''])
    }
  }
}
