import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { partitioned } from '../../src/layout'
import { topology } from '../methods/support'
import { tagPrefixes } from '../support'
import { clusterClient, clusterNames, useCluster } from './support'

const folder = join(__dirname, '..', 'methods')

/**
 * Declares every test of the methods once more, on what `topology` has become.
 * Three of them are not about the cluster then: makeHash's "gives up" returns
 * at once, since a hash of one character is too short, the callbacks of a
 * process of its own go to the one server, and reset's neighbours have prefixes
 * without a hash tag, so they are partitioned.
 */
export function theMethods(): void {
  for (const file of readdirSync(folder).filter((file) => file.endsWith('.test.ts'))) {
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    describe(file, () => void require(join(folder, file)))
  }
}

export function onACluster({ spread }: { spread: boolean }): void {
  const { cluster } = useCluster()
  beforeAll(() => {
    const redis = clusterClient(cluster())
    topology.config = { ...topology.config, redis }
    topology.redis = () => redis as unknown as Redis
    topology.keyPrefixed = (keyPrefix) => clusterClient(cluster(), { keyPrefix })
    topology.names = (prefix) => clusterNames(cluster(), prefix)
  })
  if (spread) topology.layout = partitioned
  else tagPrefixes()
}
