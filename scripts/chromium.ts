import { existsSync } from 'node:fs'
import { onPath, packaged } from './programs'

/** The binary of a Chromium: that of CHROMIUM, one on the PATH, or Debian's. */
export function findChromium(): string | undefined {
  const named = process.env.CHROMIUM
  if (!named) return onPath('chromium', 'chromium-browser', 'google-chrome') ?? packaged('chromium')
  if (!existsSync(named)) throw new Error(`CHROMIUM names ${named}, which does not exist`)
  return named
}
