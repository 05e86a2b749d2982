/** One contender in a process of its own, as its parent sees it. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Name } from './contenders'
import { CLIENT_CORES, pin } from './scheduling'
import type { Task } from './tasks'

interface Waiting {
  resolve(result: unknown): void
  reject(error: Error): void
}

interface Answer {
  result?: unknown
  error?: string
}

export class ContenderProcess {
  readonly #child: ChildProcess
  #waiting: Waiting | undefined

  constructor(name: Name, ...urls: string[]) {
    this.#child = fork(join(__dirname, 'worker.ts'), [name, ...urls])
    this.#child.on('message', ({ result, error }: Answer) => {
      if (error) this.#waiting?.reject(new Error(error))
      else this.#waiting?.resolve(result)
    })
    this.#child.on('exit', (code) =>
      this.#waiting?.reject(new Error(`${name} ended with code ${code}`))
    )
  }

  /** One at a time. Without a task: until it is ready. */
  ask(task?: Task): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      if (task) this.#child.send(task)
    })
  }

  pin(): boolean {
    return pin(this.#child.pid!, CLIENT_CORES)
  }

  /** Before its Redis stops, about which it would complain. */
  async end(): Promise<void> {
    this.#waiting = undefined
    if (this.#child.kill('SIGKILL')) await once(this.#child, 'exit')
  }
}
