import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { project, redisUrl, until } from '../support'

/** `npm run example`, as the one who started it sees it. */
export interface Example {
  url: string
  /** The code in the next mail to somebody. */
  code(name: string): Promise<string>
  mails(): string[]
  /** Ctrl-C; the exit code. */
  interrupt(): Promise<number | null>
}

/** Starts the example, on the Redis of the tests. */
export async function startExample(): Promise<Example> {
  const args = ['--require', 'tsx/cjs', join('scripts', 'example.ts')]
  const env = { ...process.env, REDIS_URL: redisUrl(), PORT: '' }
  const child = spawn(process.execPath, args, {
    cwd: project,
    env,
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = once(child, 'exit') as Promise<[number | null]>
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text))
  const find = async (pattern: RegExp): Promise<string> => {
    await until(() => pattern.test(printed), 30_000)
    const [all, found] = pattern.exec(printed)!
    printed = printed.replace(all, '')
    return found!
  }
  return {
    url: await find(/(http:\/\/127\.0\.0\.1:\d+) .*Ctrl-C/s),
    code: (name) => find(new RegExp(`^Mail to ${name}: your code is (\\d{6}),.*\\n`, 'm')),
    mails: () => printed.match(/^Mail to .*$/gm) ?? [],
    async interrupt() {
      child.kill('SIGINT')
      const [code] = await ended
      return code
    }
  }
}
