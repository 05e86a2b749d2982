/** Says that something cannot be run for want of what it needs; an error where all must run. */
export function notRun(missing: string): undefined {
  if (process.env.CI === 'true' || process.env.REQUIRE_RUNNERS === '1') throw new Error(missing)
  process.stderr.write(`NOT RUN: ${missing}\n`)
  return undefined
}
