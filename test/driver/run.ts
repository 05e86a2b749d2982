import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { project } from '../support'

export interface Run {
  stdout: string
  stderr: string
  code: number | null
}

/**
 * Runs a program that sees `Tokenstore`, `Redis` of ioredis and everything else
 * of the library, in a process of its own, and waits for its end; when it does
 * not end by itself it is killed, and code is null.
 */
export function run(program: string, ms = 50_000): Promise<Run> {
  const source = `
    const tokenstore = require(${JSON.stringify(join(project, 'src', 'index.ts'))})
    const { Tokenstore, api, TokenstoreError, UnavailableError } = tokenstore
    const { Redis } = require('ioredis')
    const main = async () => { ${program} }
    main().catch((error) => { console.error(error); process.exitCode = 1 })`
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['--require', 'tsx/cjs', '--eval', source],
      { cwd: project, timeout: ms, killSignal: 'SIGKILL', maxBuffer: 2 ** 26 },
      (_error, stdout, stderr) => resolve({ stdout, stderr, code: child.exitCode })
    )
  })
}
