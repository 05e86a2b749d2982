import { setTimeout as sleep } from 'node:timers/promises'

/** Polls until the condition holds. */
export async function until(
  condition: () => Promise<boolean> | boolean,
  ms = 10_000
): Promise<void> {
  for (const deadline = Date.now() + ms; Date.now() < deadline; await sleep(10)) {
    if (await condition()) return
  }
  throw new Error(`still not so after ${ms} ms`)
}
