import { execFile, spawnSync } from 'node:child_process'
import { notRun, project } from '.'

export interface Result {
  code: number
  stdout: string
  stderr: string
}

/** Runs a program in the project's folder, whatever its exit code. */
export function run(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
  input = ''
): Promise<Result> {
  return new Promise((resolve) => {
    const options = {
      cwd: project,
      env: { ...process.env, ...env },
      maxBuffer: 1 << 26
    }
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0
      resolve({
        code,
        stdout,
        stderr: stderr || (code === -1 ? String(error) : '')
      })
    })
    child.stdin!.on('error', () => {}) // a program may end without reading it
    child.stdin!.end(input)
  })
}

/** Where the programs of the other languages find a server. */
export function where(url: string): NodeJS.ProcessEnv {
  const { hostname, port, username, password } = new URL(url)
  return {
    REDIS_HOST: hostname,
    REDIS_PORT: port || '6379',
    ...(username ? { REDIS_USER: username } : {}),
    REDISCLI_AUTH: password || undefined
  }
}

/**
 * A language and how to find out whether it is there, with its client for
 * Redis.
 */
const languages = {
  'redis-cli': {
    commands: ['sh'],
    check: ['-c', 'command -v redis-cli && command -v jq'],
    packages: 'redis-tools jq'
  },
  Python: {
    commands: ['/usr/bin/python3', 'python3'],
    check: ['-c', 'import redis'],
    packages: 'python3-redis'
  },
  PHP: {
    commands: ['php'],
    check: ['-r', 'exit(class_exists("Redis") ? 0 : 1);'],
    packages: 'php-cli php-redis'
  },
  Ruby: {
    commands: ['ruby'],
    check: ['-e', 'require "redis"'],
    packages: 'ruby-redis'
  },
  /** Not a language: it gives a program a terminal. */
  script: { commands: ['script'], check: ['--version'], packages: 'bsdutils' }
}

/**
 * The command of a language, or undefined, after a line that says so, where it
 * is not installed. Where everything must run, in CI or with REQUIRE_RUNNERS=1,
 * that is a failure.
 */
export function commandOf(language: keyof typeof languages): string | undefined {
  const { commands, check, packages } = languages[language]
  const found = commands.find((command) => spawnSync(command, check).status === 0)
  if (found) return found
  return notRun(
    `${language} or its client for Redis is not installed: Debian has them as ${packages}`
  )
}
