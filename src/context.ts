import type { Args } from './args'
import * as check from './check'
import { readConfig, type Settings } from './config'
import { Connection } from './connection'
import { digestOf } from './digest'
import { KeyReader } from './key-reader'
import type { Layout } from './layout'
import type { ScriptName } from './scripts'
import type { Config, WriteOptions } from './types'

/** What the methods of a store share. */
export class Context {
  readonly settings: Settings
  readonly layout: Layout
  readonly connection: Connection
  readonly reader: KeyReader

  constructor(config: Config) {
    this.settings = readConfig(config)
    const { redis, layout, timeout, batch } = this.settings
    this.layout = layout
    this.connection = new Connection(redis, timeout)
    this.reader = new KeyReader(this.connection, batch)
  }

  /** Runs a script on a root, see `Connection`. */
  run(script: ScriptName, root: string, args: Args, replicas = 0): Promise<unknown> {
    return this.connection.run(script, root, args, replicas)
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
