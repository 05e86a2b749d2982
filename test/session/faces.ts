import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { Tokenstore } from '../../src/main'
import { freshPrefix, redisUrl, store } from '../support'
import { closeLater } from '../support/close-after-all'
import { portOf, type Data, type Start } from './faces-site'

/** A site on the tests' Redis, and the tokens of its sessions. */
export interface Site {
  url: string
  prefix: string
  tokens: Tokenstore<Data>
  ask<T>(path: string): Promise<T>
}

export type Starts = (start: Start) => Server | Promise<number>

export async function site(
  starts: Starts,
  { options, ...more }: Partial<Start> = {}
): Promise<Site> {
  const prefix = freshPrefix()
  const settings = { prefix, redis: redisUrl(), timeout: 10_000, ...options }
  const started = await starts({ options: settings, ...more })
  const port = typeof started === 'number' ? started : await portOf(started)
  if (typeof started !== 'number')
    closeLater(async () => {
      started.close()
      started.closeAllConnections()
    })
  const url = `http://127.0.0.1:${port}`
  const ask = async <T>(path: string): Promise<T> => (await (await fetch(url + path)).json()) as T
  return { url, prefix, tokens: store<Data>({ prefix, digest: true }), ask }
}

/** Sites that run in a process of its own, which `file` is. */
export function program(file: string): Starts {
  let child: ChildProcessByStdio<Writable, Readable, null> | undefined
  return async (start) => {
    if (!child) {
      const args = ['--require', 'tsx/cjs', join(__dirname, file)]
      const spawned = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
      closeLater(async () => spawned.kill())
      child = spawned
    }
    child.stdin.write(`${JSON.stringify(start)}\n`)
    const [port] = (await once(child.stdout, 'data')) as [Buffer]
    return Number(port)
  }
}

/** Somebody with a cookie. */
export class Browser {
  cookie = ''
  readonly #site: Site

  constructor(site: Site) {
    this.#site = site
  }

  async open(path: string): Promise<Response> {
    const headers = this.cookie ? { cookie: this.cookie } : undefined
    const response = await fetch(this.#site.url + path, { headers })
    const set = response.headers.getSetCookie().at(-1)
    if (set) this.cookie = set.split(';')[0]!
    return response
  }

  async go(path: string): Promise<Data> {
    const response = await this.open(path)
    expect(response.status).toBe(200)
    return (await response.json()) as Data
  }

  /** Another one with the same cookie. */
  twin(): Browser {
    return Object.assign(new Browser(this.#site), { cookie: this.cookie })
  }
}

/** Slow requests, one of each, that are let go on after what happens meanwhile. */
export async function overtaken(
  at: Site,
  browsers: Browser[],
  path: string,
  meanwhile: () => Promise<unknown>
): Promise<void> {
  const slow = `${path}${path.includes('?') ? '&' : '?'}slow=1`
  const ends = browsers.map((browser) => browser.go(slow))
  await at.ask(`/waiting?count=${browsers.length}`)
  await meanwhile()
  await at.ask('/release')
  await Promise.all(ends)
}
