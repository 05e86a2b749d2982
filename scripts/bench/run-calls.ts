/** So many calls, so many of them in flight. */
export async function runCalls(
  calls: number,
  inFlight: number,
  call: (n: number) => Promise<unknown>
): Promise<void> {
  let next = 0
  async function caller(): Promise<void> {
    while (next < calls) await call(next++)
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
}
