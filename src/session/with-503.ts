import { UnavailableError } from '../errors'

/** What Redis answers. When it is down, an error that a framework makes a 503 of. */
export async function with503<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error
    throw Object.assign(error, { status: 503, statusCode: 503 })
  }
}
