import type { WithCallbacks } from './callbacks'
import { Store } from './store'
import type { Config } from './types'

export { api, type Api } from './api'
export type { Callback } from './callbacks'
export {
  ConflictError,
  KeyTakenError,
  LimitError,
  ReplicationError,
  ReuseError,
  TokenstoreError,
  UnavailableError
} from './errors'
export { issuedAt } from './issued-at'
export { scripts } from './scripts'
export type {
  AddedToken,
  CacheOptions,
  ChangedToken,
  ChangeOptions,
  CodeOptions,
  Config,
  DelOwnerOptions,
  GetKeyOptions,
  HashOptions,
  NewToken,
  Page,
  PageOptions,
  RefreshOptions,
  RotateOptions,
  SetOptions,
  StoredToken,
  Token,
  TriedCode,
  WriteOptions
} from './types'
export type { Watcher } from './watcher'

/** A store of session tokens on Redis, made by `Tokenstore(config)`. */
export type Tokenstore<
  Attrs extends object = Record<string, unknown>,
  Digest extends boolean = false
> = WithCallbacks<Store<Attrs, Digest>>

/**
 * `Tokenstore(config)`, with or without `new`; the type of `attrs` is the caller's to say.
 * Whether tokens come with their keys depends on `digest`, which may be known only at run
 * time.
 */
interface TokenstoreConstructor {
  <Attrs extends object = Record<string, unknown>>(
    config: Config & { digest: true }
  ): Tokenstore<Attrs, true>
  <Attrs extends object = Record<string, unknown>>(
    config?: Config & { digest?: false | undefined }
  ): Tokenstore<Attrs>
  <Attrs extends object = Record<string, unknown>>(config?: Config): Tokenstore<Attrs, boolean>
  new <Attrs extends object = Record<string, unknown>>(
    config: Config & { digest: true }
  ): Tokenstore<Attrs, true>
  new <Attrs extends object = Record<string, unknown>>(
    config?: Config & { digest?: false | undefined }
  ): Tokenstore<Attrs>
  new <Attrs extends object = Record<string, unknown>>(config?: Config): Tokenstore<Attrs, boolean>
  readonly prototype: Tokenstore
}

function construct(config?: Config): unknown {
  // With `new` of a class that extends this, that class.
  return Reflect.construct(Store, [config], new.target ?? Store)
}
construct.prototype = Store.prototype

export const Tokenstore = construct as unknown as TokenstoreConstructor
