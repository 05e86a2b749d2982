import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** What is done to what comes in one direction. */
export interface Treatment {
  /** Keeps it back until that ends. */
  hold: boolean
  /** Ms that it is kept back, in order; asked for each piece. */
  delay: () => number
}

/** A connection that is told what changes, or one that asks. */
export type Kind = 'tracking' | 'asking'

export interface Lane {
  /** Where new connections lead. */
  port: number
  toClient: Treatment
  toServer: Treatment
}

export const untreated = (): Treatment => ({ hold: false, delay: () => 0 })

/** Stands between a process and its Redis, and treats its connections by their kind. */
export class Proxy {
  readonly lanes: Record<Kind, Lane>
  readonly #open = new Map<Socket, Kind>()
  readonly #server = createServer((socket) => void this.#accept(socket).catch(() => {}))
  readonly #pumps = new Set<() => void>()

  constructor(port: number) {
    const lane = (): Lane => ({ port, toClient: untreated(), toServer: untreated() })
    this.lanes = { tracking: lane(), asking: lane() }
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  /** Cuts the connections of a kind that are open now. */
  cut(kind: Kind): void {
    for (const [socket, of] of this.#open) if (of === kind) socket.destroy()
  }

  /** Lets go what was held, after a treatment was changed. */
  pump(): void {
    for (const pump of this.#pumps) pump()
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#open.keys()) socket.destroy()
  }

  async #accept(client: Socket): Promise<void> {
    client.on('error', () => {}).setNoDelay()
    const [first] = (await once(client, 'data')) as [Buffer]
    client.pause()
    // The tracking connection speaks RESP2, and so says no HELLO.
    const kind = /hello/i.test(String(first)) ? 'asking' : 'tracking'
    const lane = this.lanes[kind]
    const server = connect(lane.port, '127.0.0.1').on('error', () => {})
    server.setNoDelay()
    this.#open.set(client, kind)
    const pumps = [
      this.#pipe(client, server, lane.toServer, first),
      this.#pipe(server, client, lane.toClient)
    ]
    client.on('close', () => server.destroy())
    server.on('close', () => client.destroy())
    client.on('close', () => {
      this.#open.delete(client)
      for (const pump of pumps) this.#pumps.delete(pump)
    })
    client.resume()
  }

  #pipe(from: Socket, to: Socket, treatment: Treatment, first?: Buffer): () => void {
    const queue: { data: Buffer; due: number }[] = []
    let last = 0
    const pump = (): void => {
      while (!treatment.hold && queue[0] && queue[0].due <= performance.now()) {
        to.write(queue.shift()!.data)
      }
    }
    const take = (data: Buffer): void => {
      const delay = treatment.delay()
      last = Math.max(last, performance.now() + delay)
      queue.push({ data, due: last })
      const wait = last - performance.now()
      if (wait > 0) setTimeout(pump, Math.ceil(wait) + 1)
      else pump()
    }
    if (first) take(first)
    from.on('data', take)
    this.#pumps.add(pump)
    return pump
  }
}
