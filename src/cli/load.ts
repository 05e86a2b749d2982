import type { Cluster, Redis } from 'ioredis'
import { scripts } from '../scripts'
import { parseHeader, usage } from './header'

/**
 * Loads every script into a server, or into every master of a cluster, and answers the
 * lines to print.
 */
export async function load(redis: Redis | Cluster, json: boolean): Promise<string[]> {
  const nodes = redis.isCluster ? (redis as Cluster).nodes('master') : [redis as Redis]
  for (const node of nodes) {
    for (const [name, { sha1, lua }] of Object.entries(scripts)) {
      const reply = await node.script('LOAD', lua)
      if (reply !== sha1)
        throw new Error(`${name}: SCRIPT LOAD must answer ${sha1}, but answers ${String(reply)}`)
    }
    if (redis.isCluster) console.error(`loaded into ${node.options.host}:${node.options.port}`)
  }
  const rows = Object.entries(scripts).map(([name, { sha1, lua }]) => {
    return { name, sha1, arguments: usage(parseHeader(lua)) }
  })
  return json
    ? [`[${rows.map((row) => JSON.stringify(row)).join(',\n ')}]`]
    : rows.map((row) => `${row.name.padEnd(10)}${row.sha1}  ${row.arguments}`)
}
