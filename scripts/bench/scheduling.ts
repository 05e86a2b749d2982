/** Who runs where, and before whom: else it is chance who disturbs whom. */
import { spawnSync } from 'node:child_process'
import { constants, cpus, setPriority } from 'node:os'

const cores = cpus().length
export const SERVER_CORE = '0'
export const CLIENT_CORES = `1-${cores - 1}`
export const ALL_CORES = `0-${cores - 1}`

/** Keeps a process to cores. False where the system cannot. */
export function pin(pid: number, those: string): boolean {
  if (cores < 2) return false
  const args = ['-a', '-c', '-p', those, String(pid)]
  return spawnSync('taskset', args, { stdio: 'ignore' }).status === 0
}

/** Lets a process run before all others, where this one may say so. */
export function prefer(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_HIGHEST)
  } catch {
    // Then it is disturbed like everybody else.
  }
}
