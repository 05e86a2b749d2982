import type { Redis } from 'ioredis'

/**
 * Bytes that a server uses, without what clients, and replicas that read the
 * stream of writes, have in buffers.
 */
export async function usedMemory(redis: Redis): Promise<number> {
  const info = await redis.info('memory')
  const field = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1])
  const clients = field('mem_clients_normal') + field('mem_clients_slaves')
  return field('used_memory') - clients - field('mem_replication_backlog')
}
