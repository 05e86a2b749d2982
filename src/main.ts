import { Store } from './tokenstore'
import type { Config } from './types'

export { api, type Api } from './api'
export { ConflictError, KeyTakenError, LimitError, ReplicationError, TokenstoreError, UnavailableError } from './errors'
export { scripts } from './scripts'
export type { DelOwnerOptions, HashOptions, PageOptions, RotateOptions, WriteOptions } from './tokenstore'
export type { AddedToken, Callback, Config, NewToken, Page, StoredToken, Token } from './types'

/** A store of session tokens on Redis, made by `Tokenstore(config)`. */
export type Tokenstore<Attrs extends object = Record<string, unknown>, Digest extends boolean = false> = Store<
  Attrs,
  Digest
>

/** `Tokenstore(config)`, with or without `new`; the type of `attrs` is the caller's to say. */
export interface TokenstoreConstructor {
  <Attrs extends object = Record<string, unknown>>(config: Config & { digest: true }): Tokenstore<Attrs, true>
  <Attrs extends object = Record<string, unknown>>(config?: Config): Tokenstore<Attrs>
  new <Attrs extends object = Record<string, unknown>>(config: Config & { digest: true }): Tokenstore<Attrs, true>
  new <Attrs extends object = Record<string, unknown>>(config?: Config): Tokenstore<Attrs>
  readonly prototype: Tokenstore
}

function construct(config?: Config): Store<object, boolean> {
  return new Store(config)
}
construct.prototype = Store.prototype

export const Tokenstore = construct as unknown as TokenstoreConstructor
