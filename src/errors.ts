/**
 * What every failure of the library is, apart from wrong arguments (those are TypeErrors).
 * Neither the message nor any property holds a key, a hash or attrs.
 */
export class TokenstoreError extends Error {
  /** A code of the error table in the README, or the first word of another error that Redis answered, e.g. `OOM`. */
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.name = new.target.name
    this.code = code
  }
}

/** `TSKEYTAKEN`: the key belongs to another token already, or the id to another key. Nothing was written. */
export class KeyTakenError extends TokenstoreError {}

/** `TSLIMIT`: the owner has as many live tokens as `limit` allows. Nothing was written. */
export class LimitError extends TokenstoreError {}

/** `TSCONFLICT`: `update` met other writers at every one of its tries. Nothing was written. */
export class ConflictError extends TokenstoreError {}

/**
 * `TSUNAVAILABLE`: Redis could not be reached, was not able to serve, or did not answer within `timeout`.
 * A write that was under way may have happened or not; it has not happened by half.
 */
export class UnavailableError extends TokenstoreError {}

/**
 * `TSREPLICATION`: the write is done, but fewer replicas than `replicas` had it within `timeout`; a failover may undo it.
 */
export class ReplicationError extends TokenstoreError {}

const KINDS: Record<string, typeof TokenstoreError> = {
  TSKEYTAKEN: KeyTakenError,
  TSLIMIT: LimitError,
  TSCONFLICT: ConflictError,
  TSUNAVAILABLE: UnavailableError,
  TSREPLICATION: ReplicationError
}

/** An error of the kind that belongs to the code. */
export function errorOf(code: string, message: string): TokenstoreError {
  return new (KINDS[code] ?? TokenstoreError)(code, message)
}

// Redis is there but cannot serve now: what these answer has not been executed.
const NOT_NOW = new Set(['LOADING', 'BUSY', 'CLUSTERDOWN', 'MASTERDOWN', 'READONLY', 'TRYAGAIN', 'MOVED', 'ASK'])

/** The text of an error of ioredis, without the part in which Redis repeats arguments. */
export function errorText(error: Error): string {
  return error.message.split(', with args beginning with')[0] ?? ''
}

/**
 * Makes an error of ours of one of ioredis, which hangs the arguments of the failed call, keys among them, on its own.
 * Nothing of the original is kept but its text.
 */
export function fromRedis(operation: string, error: Error): TokenstoreError {
  const text = errorText(error)
  const [, code, rest] = /^([A-Z]+) (.*)/s.exec(text) ?? []
  if (error.name !== 'ReplyError' || code === undefined || rest === undefined) {
    const lost = error.name === 'MaxRetriesPerRequestError'
    return errorOf('TSUNAVAILABLE', `${operation}: ${lost ? 'the connection was lost before Redis answered' : text}`)
  }
  if (code.startsWith('TS')) return errorOf(code, rest)
  return errorOf(NOT_NOW.has(code) ? 'TSUNAVAILABLE' : code, `${operation}: Redis answered ${text}`)
}
