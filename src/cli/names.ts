import type { Redis } from 'ioredis'

/** Names that one command asks for. */
export const COUNT = 500

/** A text as a part of a pattern of SCAN. */
export function escaped(text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&')
}

/** The names that match a pattern, page by page; one may come twice. */
export async function* scan(
  redis: Redis,
  pattern: string,
  type?: string
): AsyncGenerator<string[]> {
  let cursor = '0'
  do {
    const [next, names] = type
      ? await redis.scan(cursor, 'MATCH', pattern, 'COUNT', COUNT, 'TYPE', type)
      : await redis.scan(cursor, 'MATCH', pattern, 'COUNT', COUNT)
    cursor = next
    yield names
  } while (cursor !== '0')
}

export async function count(pages: AsyncGenerator<string[]>): Promise<number> {
  let n = 0
  for await (const page of pages) n += page.length
  return n
}

/** The object of a JSON text, null when it is none. */
export function objectOf(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}
