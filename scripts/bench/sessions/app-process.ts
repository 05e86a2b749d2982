/** One app in a process of its own, as its parent sees it: users who have logged in. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { runCalls } from '../run-calls'
import { CLIENT_CORES, pin } from '../scheduling'
import type { Slice } from '../tasks'
import { timeCalls } from '../time-calls'
import type { StoreName } from './stores'
import { Visitor } from './visitor'

/** Users at once, at most. */
const VISITORS = 64
// A step through the users that has no factor in common with their number, so that those who
// come together are not always the same.
const STRIDE = 617

export class AppProcess {
  readonly #name: StoreName
  readonly #child: ChildProcess
  readonly #idle: Visitor[] = []
  readonly #cookies: string[] = []
  #calls = 0

  constructor(name: StoreName, url: string) {
    this.#name = name
    this.#child = fork(join(__dirname, 'app.ts'), [name, url])
  }

  async open(): Promise<void> {
    const [port] = (await once(this.#child, 'message')) as [number]
    for (let n = 0; n < VISITORS; n++) this.#idle.push(new Visitor(port))
  }

  pin(): boolean {
    return pin(this.#child.pid!, CLIENT_CORES)
  }

  async logIn(users: number): Promise<void> {
    await runCalls(users, VISITORS, async (n) => {
      const head = await this.#get(`/login/user-${n}`, '', `user-${n}`)
      this.#cookies[n] = /^set-cookie: ([^;]+)/im.exec(head)?.[1] ?? ''
    })
  }

  /** So many requests untimed: compiles what is called often, and fills caches. */
  async warm(calls: number, writeEvery: number): Promise<void> {
    await runCalls(calls, VISITORS, () => this.#visit(writeEvery))
  }

  /** The app's CPU counts, not that of its users. */
  async time(inFlight: number, writeEvery: number, ms: number): Promise<Slice> {
    const before = await this.#cpu()
    const slice = await timeCalls(() => this.#visit(writeEvery), inFlight, { ms })
    return { ...slice, cpu: (await this.#cpu()) - before }
  }

  async end(): Promise<void> {
    for (const visitor of this.#idle) visitor.close()
    if (this.#child.kill('SIGKILL')) await once(this.#child, 'exit')
  }

  async #visit(writeEvery: number): Promise<void> {
    const call = ++this.#calls
    const user = (call * STRIDE) % this.#cookies.length
    const path = call % writeEvery === 0 ? '/write' : '/read'
    await this.#get(path, this.#cookies[user]!, `user-${user}`)
  }

  /** The head of the response, which has to be for this user. */
  async #get(path: string, cookie: string, user: string): Promise<string> {
    const visitor = this.#idle.pop()!
    const { head, body } = await visitor.get(path, cookie)
    this.#idle.push(visitor)
    const wanted = JSON.stringify({ user: this.#name === 'no session' ? 'nobody' : user })
    const isRight = body === wanted || path.startsWith('/login')
    if (!isRight) throw new Error(`${this.#name}: ${path} answers ${body}, not ${wanted}`)
    return head
  }

  async #cpu(): Promise<number> {
    const visitor = this.#idle.pop()!
    const { body } = await visitor.get('/cpu')
    this.#idle.push(visitor)
    return Number(body)
  }
}
