import { spawnSync } from 'node:child_process'
import { mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { notRun } from '../support'

/** The clock of the servers that are started with `env`, until they end. */
export interface SetClock {
  env: NodeJS.ProcessEnv
  /** Sets it so many ms ahead of the machine's. */
  set(ms: number): void
  remove(): void
}

/** Undefined, after a line that says so, where no C compiler is. */
export function setClock(): SetClock | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'tokenstore-clock-'))
  const [shim, offset] = [join(dir, 'clock.so'), join(dir, 'offset')]
  const remove = (): void => rmSync(dir, { recursive: true, force: true })
  const source = join(__dirname, 'clock.c')
  if (spawnSync('cc', ['-O2', '-shared', '-fPIC', '-o', shim, source]).status !== 0) {
    remove()
    return notRun("Redis' clock is not set: that takes a C compiler, cc")
  }
  writeFileSync(offset, Buffer.alloc(8))
  const file = openSync(offset, 'r+')
  return {
    env: { LD_PRELOAD: shim, CLOCK_OFFSET: offset },
    set: (ms) => {
      const bytes = Buffer.alloc(8)
      bytes.writeBigInt64LE(BigInt(ms))
      writeSync(file, bytes, 0, 8, 0)
    },
    remove
  }
}
