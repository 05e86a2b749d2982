import type { Found } from './stage'

/** A line of a table. */
export function rowOf({ violations, ...numbers }: Found): Record<string, unknown> {
  return { ...numbers, violations: violations.length }
}

/** The violations under a fault, a line each. */
export function told({ what, violations }: Found): string[] {
  return violations.map(
    ({ rule, text, read }) => `${what}: ${rule}: ${text}${read ? ` ${JSON.stringify(read)}` : ''}`
  )
}
