import { once } from 'node:events'
import { connect } from 'node:net'

/**
 * Gives a test file the Redis of its worker, without the names of the files before: KEYS and SCAN
 * look at all there are.
 */
export = async function setup(): Promise<void> {
  const urls = process.env.TEST_REDIS_URLS!.split(' ')
  const url = urls[(Number(process.env.JEST_WORKER_ID) - 1) % urls.length]!
  process.env.TEST_REDIS_URL = url
  if (process.env.REDIS_URL) return // somebody's own
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.end('FLUSHALL\r\n').resume()
  await once(socket, 'close')
}
