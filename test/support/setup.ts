import { useRedis } from '../../scripts/redis-server'

/**
 * A real Redis for each worker of jest. Those files that kill, stop or count on theirs start
 * another.
 */
export default async function setup({ maxWorkers }: { maxWorkers: number }): Promise<void> {
  const servers: Awaited<ReturnType<typeof useRedis>>[] = []
  // One after the other: the first may have to fetch it.
  while (servers.length < (process.env.REDIS_URL ? 1 : maxWorkers)) servers.push(await useRedis())
  process.env.TEST_REDIS_URLS = servers.map(({ url }) => url).join(' ')
  const stop = (): Promise<unknown> => Promise.all(servers.map((server) => server.stop()))
  Object.assign(globalThis, { __stopRedis: stop })
}
