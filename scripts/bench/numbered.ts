/** Numbered tokens, ten an owner. */
export const keyOf = (n: number): string => String(n).padStart(24, 'k')
export const idOf = (n: number): string =>
  `00000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`
export const ownerOf = (n: number): string => `owner-${Math.floor(n / 10)}`
