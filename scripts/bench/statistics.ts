/** The value that such a part of all does not exceed. */
export function quantile(values: number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = part * (sorted.length - 1)
  return (sorted[Math.floor(at)]! + sorted[Math.ceil(at)]!) / 2
}

export const median = (values: number[]): number => quantile(values, 0.5)

/** Of two series of the same rounds. */
export function ratios(a: number[], b: number[]): number[] {
  return a.map((value, round) => value / b[round]!)
}
