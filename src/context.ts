import { mostCharacters, type Args } from './args'
import * as check from './check'
import { Cache } from './cache'
import { readConfig, type Settings } from './config'
import { Connection } from './connection'
import { digestOf } from './digest'
import { KeyReader } from './key-reader'
import type { Layout } from './layout'
import type { ScriptName } from './scripts'
import { Tracking } from './tracking'
import type { Config, WriteOptions } from './types'

/** What the methods of a store share. */
export class Context {
  readonly settings: Settings
  readonly layout: Layout
  readonly connection: Connection
  readonly tracking: Tracking
  readonly cache: Cache | undefined
  readonly reader: KeyReader

  constructor(config: Config) {
    this.settings = readConfig(config)
    const { redis, layout, timeout, batch, cache } = this.settings
    this.layout = layout
    this.connection = new Connection(redis, timeout)
    this.tracking = new Tracking(this.connection, layout, cache.silence)
    this.cache = cache.max > 0 ? new Cache(cache, this.tracking) : undefined
    this.reader = new KeyReader(this.connection, batch, this.cache)
  }

  /** Runs a script on a root, see `Connection`. */
  run(script: ScriptName, root: string, args: Args, replicas = 0): Promise<unknown> {
    const send = (): Promise<unknown> => this.connection.run(script, root, args, replicas)
    return this.cache ? this.cache.around(script, args, send) : send()
  }

  /** Whether a value can be a key or a hash. */
  isSecret(value: unknown): value is string {
    return check.isText(value) && value.length <= mostCharacters(this.settings)
  }

  /** What of a key or a hash Redis gets to see. */
  stored(secret: string): string {
    return this.settings.digest ? digestOf(secret) : secret
  }

  /** How many replicas a write waits for, of a method that has no other options. */
  replicasOf(options: unknown): number {
    return this.confirmedBy(check.options<WriteOptions>('options', options, ['replicas']).replicas)
  }

  confirmedBy(replicas: unknown): number {
    return replicas === undefined
      ? this.settings.replicas
      : check.integer('replicas', replicas, 0, 100)
  }
}
