import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freshPrefix, redisUrl } from '../support'
import { topology } from './support'

test('what a callback throws is an uncaught exception, and never a second call of it', async () => {
  // A config that holds a client cannot be handed to another process; there the
  // plain server does.
  const { redis, ...config } = topology.config
  const given = {
    ...config,
    redis: typeof redis === 'string' ? redis : redisUrl(),
    prefix: freshPrefix()
  }
  const child = join(__dirname, 'callbacks-child.ts')
  const run = await promisify(execFile)(process.execPath, [
    '--require',
    'tsx/cjs',
    child,
    JSON.stringify(given)
  ])
  const { calls, uncaught, rejections } = JSON.parse(run.stdout) as {
    calls: Record<string, number>
    uncaught: string[]
    rejections: string[]
  }
  expect(Object.keys(calls)).toHaveLength(22 + 19)
  expect(new Set(Object.values(calls))).toEqual(new Set([1]))
  expect(uncaught).toEqual(
    Object.keys(calls)
      .map((name) => `thrown by ${name}`)
      .sort()
  )
  expect(rejections).toEqual([])
  expect(run.stderr).toBe('')
})
