import { join } from 'node:path'
import { run, type Result } from '../support/programs'

/** The command line of this project, from its source. */
export const cli = (args: string[], env: NodeJS.ProcessEnv = {}): Promise<Result> =>
  run(process.execPath, ['--require', 'tsx/cjs', join('src', 'cli.ts'), ...args], {
    REDISCLI_AUTH: undefined,
    ...env
  })
