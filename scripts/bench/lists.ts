/** Sizes of the lists that are read, and how many owners have one of each. */
export const LISTS: Record<number, number> = { 1: 50, 10: 50, 100: 10, 1000: 3 }

/** The owners of an operation are called `list 10-0`, `list 10 ttl-0`, … */
export const listOps = Object.keys(LISTS).flatMap((size) => [`list ${size}`, `list ${size} ttl`])
export const sizeOf = (op: string): number => Number(op.split(' ')[1])
