/** Where things are. */
import { join } from 'node:path'

export const root = join(__dirname, '..', '..')
export const home = join(root, 'scripts', 'bench')
/** For what is installed, and for what nobody keeps. */
export const cache = join(root, 'node_modules', '.cache', 'tokenstore-bench')
