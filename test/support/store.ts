import { Tokenstore } from '../../src/main'
import type { Config } from '../../src/types'
import { redisUrl } from './client'
import { closeLater } from './close-after-all'
import { freshPrefix } from './fresh-prefix'

/** A store on the tests' server, under a fresh prefix unless the config names one. */
export function store<Attrs extends object = Record<string, unknown>>(
  config: Config = {}
): Tokenstore<Attrs> {
  const own = { prefix: freshPrefix(), redis: redisUrl(), timeout: 10_000 }
  const tokens = Tokenstore<Attrs>({ ...own, ...config })
  closeLater(() => tokens.quit())
  return tokens
}
