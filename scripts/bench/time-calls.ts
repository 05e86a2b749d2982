import { performance } from 'node:perf_hooks'
import type { Slice } from './tasks'

/** Calls with so many in flight, for so long or until there were so many. */
export async function timeCalls(
  operation: (call: number) => Promise<unknown>,
  inFlight: number,
  { ms = Infinity, calls = Infinity }: { ms?: number; calls?: number }
): Promise<Slice> {
  const latencies: number[] = []
  let made = 0
  const cpuBefore = process.cpuUsage()
  const start = performance.now()
  async function caller(): Promise<void> {
    for (let before = performance.now(); before < start + ms && made < calls;) {
      await operation(made++)
      const after = performance.now()
      latencies.push(after - before)
      before = after
    }
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  const sorted = Float64Array.from(latencies).sort()
  const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? 0
  return {
    calls: made,
    seconds,
    cpu: user + system,
    p50: at(0.5),
    p99: at(0.99)
  }
}
