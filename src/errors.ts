/**
 * What every failure of the library is, apart from wrong arguments (those are TypeErrors).
 * Neither the message nor any property holds a key, a hash, a code or attrs.
 */
export class TokenstoreError extends Error {
  // Spelt out in each class, since a bundler may give the classes themselves other names.
  override readonly name: string = 'TokenstoreError'
  /**
   * A code of the error table in the README, or the first word of another error that Redis
   * answered, e.g. `NOPERM`.
   */
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/**
 * `TSKEYTAKEN`: the key is in use, or the id has another key. Nothing
 * was written.
 */
export class KeyTakenError extends TokenstoreError {
  override readonly name = 'KeyTakenError'
}

/** `TSLIMIT`: the owner has as many live tokens as `limit` allows. Nothing was written. */
export class LimitError extends TokenstoreError {
  override readonly name = 'LimitError'
}

/**
 * `TSCONFLICT`: `set` or `change` found other attrs than `from`, `rotate` another key, or `update`
 * met other writers at every one of its tries. Nothing was written.
 */
export class ConflictError extends TokenstoreError {
  override readonly name = 'ConflictError'
}

/**
 * `TSUNAVAILABLE`: Redis could not be reached, was not able to serve, was overloaded, or did
 * not answer within `timeout`. A write that was under way may have happened or not; it has not
 * happened by half.
 */
export class UnavailableError extends TokenstoreError {
  override readonly name = 'UnavailableError'
}

/**
 * `TSREPLICATION`: the write is done, but fewer replicas than `replicas` had it within
 * `timeout`; a failover may undo it.
 */
export class ReplicationError extends TokenstoreError {
  override readonly name = 'ReplicationError'
}

/**
 * `TSREUSE`: `refresh` met a key that had been rotated out, longer than its grace ago: somebody
 * has a copy. The token has been revoked.
 */
export class ReuseError extends TokenstoreError {
  override readonly name = 'ReuseError'
  /** Of the token that was revoked. */
  readonly id: string
  readonly owner_id: string

  constructor(code: string, message: string, id = '', owner_id = '') {
    super(code, message)
    this.id = id
    this.owner_id = owner_id
  }
}

const KINDS: Record<string, typeof TokenstoreError> = {
  TSKEYTAKEN: KeyTakenError,
  TSLIMIT: LimitError,
  TSCONFLICT: ConflictError,
  TSUNAVAILABLE: UnavailableError,
  TSREPLICATION: ReplicationError,
  TSREUSE: ReuseError
}

/** An error of the kind that belongs to the code. */
export function errorOf(code: string, message: string): TokenstoreError {
  return new (KINDS[code] ?? TokenstoreError)(code, message)
}

/** What will be an error, once somebody awaits it. */
export type Failure = Pick<TokenstoreError, 'code' | 'message'>

/**
 * Throws the error of a failure. As what catches a promise it gives the error the stack of
 * those who await that promise; where Redis answers, nobody is on the stack.
 */
export function raise({ code, message }: Failure): never {
  const error = errorOf(code, message)
  Error.captureStackTrace(error, raise)
  throw error
}

// Redis is there but cannot serve now: what these answer has not been executed.
const NOT_NOW = new Set([
  'LOADING',
  'BUSY',
  'CLUSTERDOWN',
  'MASTERDOWN',
  'READONLY',
  'MISCONF',
  'NOREPLICAS',
  'OOM',
  'NOSCRIPT',
  'TRYAGAIN',
  'MOVED',
  'ASK'
])

// What Redis answers begins with a code, what ioredis says of the connection with a
// sentence. The classes of ioredis tell nothing: a bundler renames them, and those of the
// caller's client may be another version's.
const ANSWER = /^([A-Z]{2,}) (.*)/s
const LOST = /^Reached the max retries per request limit/
// Of Redis 6 and of Redis 7, which may lack a command as well when somebody renamed it.
const TOO_OLD = /Unknown Redis command called from (Lua )?script/

/** The text of an error of ioredis, without the part in which Redis repeats arguments. */
export function errorText(error: Error): string {
  return error.message.split(', with args beginning with')[0] ?? ''
}

/**
 * Makes a failure of an error of ioredis, which hangs the arguments of the failed call, keys
 * among them, on its own. Nothing of the original is kept but its text.
 */
export function fromRedis(operation: string, error: Error): Failure {
  const text = errorText(error)
  const failure = (code: string, why: string): Failure => ({
    code,
    message: `${operation}: ${why}`
  })
  const [, code, rest] = ANSWER.exec(text) ?? []
  if (code === undefined || rest === undefined) {
    const lost = LOST.test(text)
    return failure('TSUNAVAILABLE', lost ? 'the connection was lost before Redis answered' : text)
  }
  if (code.startsWith('TS')) return { code, message: rest }
  if (code === 'WRONGTYPE') return failure('TSRECORD', 'a foreign record')
  if (TOO_OLD.test(rest)) return failure('TSVERSION', `Redis 7.0 or newer is needed: ${text}`)
  return failure(NOT_NOW.has(code) ? 'TSUNAVAILABLE' : code, `Redis answered ${text}`)
}
