// What `require('tokenstore')` gives: Tokenstore itself, with every named export on it.
import * as main from './main'

const Tokenstore: typeof main.Tokenstore & typeof main = Object.assign(main.Tokenstore, main)

type Tokenstore<
  Attrs extends object = Record<string, unknown>,
  Digest extends boolean = false
> = main.Tokenstore<Attrs, Digest>

declare namespace Tokenstore {
  export type AddedToken<Attrs extends object> = main.AddedToken<Attrs>
  export type Api = main.Api
  export type CacheOptions = main.CacheOptions
  export type Callback<T> = main.Callback<T>
  export type ChangedToken<Attrs extends object, Digest extends boolean> = main.ChangedToken<
    Attrs,
    Digest
  >
  export type ChangeOptions<Attrs extends object = Record<string, unknown>> =
    main.ChangeOptions<Attrs>
  export type CodeOptions = main.CodeOptions
  export type Config = main.Config
  export type DelOwnerOptions = main.DelOwnerOptions
  export type GetKeyOptions = main.GetKeyOptions
  export type HashOptions = main.HashOptions
  export type NewToken<Attrs extends object = Record<string, unknown>> = main.NewToken<Attrs>
  export type Page<T> = main.Page<T>
  export type PageOptions = main.PageOptions
  export type RefreshOptions = main.RefreshOptions
  export type RotateOptions = main.RotateOptions
  export type SetOptions<Attrs extends object = Record<string, unknown>> = main.SetOptions<Attrs>
  export type StoredToken<Attrs extends object, Digest extends boolean> = main.StoredToken<
    Attrs,
    Digest
  >
  export type Token<Attrs extends object = Record<string, unknown>> = main.Token<Attrs>
  export type Tokenstore<
    Attrs extends object = Record<string, unknown>,
    Digest extends boolean = false
  > = main.Tokenstore<Attrs, Digest>
  export type TriedCode<T = unknown> = main.TriedCode<T>
  export type Watcher = main.Watcher
  export type WriteOptions = main.WriteOptions
}

export = Tokenstore
