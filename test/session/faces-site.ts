import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SessionOptions } from '../../src/session/sessions'

/** What a site does with a session, whatever its framework. */
export interface Visit {
  set(name: string, value: string): void
  data(): object
  /** Keeps the session, under a new sid. */
  renew(): Promise<void> | void
  end(): Promise<void> | void
}

export type Data = Record<string, string>

/**
 * How a site is started: `age` is that of the cookie in seconds, if it has one; with `ownerless`
 * the store is told of no owners.
 */
export interface Start {
  options: SessionOptions<Data>
  age?: number
  ownerless?: boolean
}

const waiting: (() => void)[] = []
const gone: string[] = []

export const onGone = (id: string): number => gone.push(id)
const owner = ({ user }: Data): string | undefined => user
/** What the store of a site takes of how that is started. */
export const optionsOf = ({ options, ownerless }: Start): SessionOptions<Data> =>
  ownerless ? options : { owner, ...options }

/** What a test asks of the site itself; undefined is a request of a visitor. */
export async function asked({ pathname, searchParams }: URL): Promise<unknown> {
  if (pathname === '/gone') return gone.splice(0)
  if (pathname === '/release') return waiting.splice(0).map((go) => go()).length
  if (pathname !== '/waiting') return undefined
  const count = Number(searchParams.get('count') ?? 1)
  while (waiting.length < count) await sleep(1)
  return waiting.length
}

/** A request with `slow` has its session, and goes on when it is released. */
export async function visit({ pathname, searchParams }: URL, session: Visit): Promise<object> {
  if (searchParams.has('slow')) await new Promise<void>((go) => waiting.push(go))
  searchParams.delete('slow')
  for (const [name, value] of searchParams) session.set(name, value)
  if (pathname === '/renew') await session.renew()
  if (pathname === '/logout') await session.end()
  return { ...session.data() }
}

export async function portOf(server: Server): Promise<number> {
  if (!server.listening) await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
