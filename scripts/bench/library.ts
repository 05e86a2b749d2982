/** This library as it was built. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type * as Main from '../../src/main'
import { root } from './paths'

export function library(): typeof Main {
  return createRequire(__filename)(join(root, 'dist', 'index.js')) as typeof Main
}
