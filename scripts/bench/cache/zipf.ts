/**
 * Draws of numbers below `size`, of which 0 is the most frequent: that of rank r
 * in proportion to 1 / (r + 1) ** SKEW, as the use of what people use is.
 */
export const SKEW = 0.99
const DRAWS = 2 ** 19

export function zipf(size: number): Uint32Array {
  const sums = new Float64Array(size)
  let sum = 0
  for (let rank = 0; rank < size; rank++) sums[rank] = sum += (rank + 1) ** -SKEW
  const random = randomOf(1)
  return Uint32Array.from({ length: DRAWS }, () => firstAbove(sums, random() * sum))
}

/** The index of the first of ascending numbers that is above a value. */
function firstAbove(ascending: Float64Array, value: number): number {
  let [low, high] = [0, ascending.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (ascending[middle]! > value) high = middle
    else low = middle + 1
  }
  return low
}

/** mulberry32: the same numbers in every run. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
