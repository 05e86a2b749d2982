/**
 * Rejects when something takes longer, by a timer: a machine that stands still
 * holds up that and others alike.
 */
export async function within<T>(ms: number, something: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${ms} ms`)), ms)
  })
  return Promise.race([something, late]).finally(() => clearTimeout(timer))
}
