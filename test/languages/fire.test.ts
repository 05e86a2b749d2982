import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { v7 as uuidV7 } from 'uuid'
import { KeyTakenError, ReuseError } from '../../src/main'
import {
  audit,
  client,
  closeAfterAll,
  freshPrefix,
  keyspace,
  random,
  redisUrl,
  project,
  store
} from '../support'
import { commandOf, where } from '../support/programs'

closeAfterAll()

const TOKENS = 12
const OWNERS = ['ann', 'ben', 'c/"d']
const STEPS = 6000
const CALLERS = 8
const HASHES = 300

test('the driver and Python work on the same tokens at once, and nothing is torn', async () => {
  const command = commandOf('Python')
  if (!command) return
  const prefix = freshPrefix()
  const tokens = store({ prefix, size: 24 })
  const redis = client()
  const pairs = Array.from(
    { length: TOKENS },
    (_, i) => [`shared-key-${i}-`.padEnd(24, 'x'), uuidV7()] as const
  )
  const hashes = await Promise.all(Array.from({ length: HASHES }, (_, i) => tokens.makeHash(i)))
  const plan = {
    seed: 1,
    root: prefix,
    tokens: pairs,
    owners: OWNERS,
    hashes,
    steps: STEPS,
    every: Math.floor(STEPS / HASHES),
    options: [[], ['TTL', 600_000], ['IDLE', 600_000, 'EVERY', 1]],
    changes: [
      ['OWNER', 'ann'],
      ['OWNER', 'ben', 'TTL', 'NEVER'],
      ['IDLE', 600_000]
    ]
  }

  const child = spawn(command, [join('test', 'languages', 'fire.py')], {
    cwd: project,
    env: { ...process.env, ...where(redisUrl()) },
    stdio: ['pipe', 'pipe', 'inherit']
  })
  const ended = once(child, 'close')
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  child.stdin.write(`${JSON.stringify(plan)}\n`)
  expect((await lines.next()).value).toBe('ready')
  child.stdin.end('go\n')

  let working = true
  const taken: string[] = []
  const left = [...hashes]
  // With an effect, as in Python.
  const done = { add: 0, set: 0, change: 0, del: 0, rotate: 0, refresh: 0, getKey: 0 }
  const changes = [{ owner_id: 'ann', ttl: null }, { owner_id: 'c/"d' }, { idle: null, ttl: 600 }]
  const caller = async (seed: number): Promise<void> => {
    const rng = random(seed)
    const one = <T>(list: readonly T[]): T => list[Math.floor(rng() * list.length)]!
    for (let step = 0; working; step++) {
      const [key, id] = one(pairs)
      const what = one(Object.keys(done) as (keyof typeof done)[])
      let effect: unknown
      if (what === 'add') {
        const lifetime = one([{}, { ttl: 600 }, { idle: 600 }])
        const given = {
          key,
          id,
          owner_id: one(OWNERS),
          attrs: { node: step },
          ...lifetime
        }
        effect = await tokens.add(given).catch((error) => {
          if (!(error instanceof KeyTakenError)) throw error
        })
      } else if (what === 'refresh') {
        // One whose key had been rotated out is revoked, as by del.
        effect = await tokens.refresh(key, { grace: 0.01, detect: 0.05 }).catch((error) => {
          if (!(error instanceof ReuseError)) throw error
          return error
        })
      } else if (what === 'set') effect = await tokens.set(id, { node: step })
      else if (what === 'change') effect = await tokens.change(id, one(changes))
      else if (what === 'del') effect = await tokens.del(id)
      else if (what === 'rotate') effect = await tokens.rotate(id, one([{}, { grace: 0.01 }]))
      else effect = await tokens.getKey(key)
      if (effect) done[what]++
      const hash = step % 10 === 0 ? left.pop() : undefined
      if (hash && (await tokens.takeHash(hash)) !== null) taken.push(hash)
    }
  }
  const callers = Promise.all(Array.from({ length: CALLERS }, (_, i) => caller(i + 2)))
  const [result] = await Promise.all([lines.next(), Promise.race([ended, callers])])
  working = false
  await callers
  expect(await ended).toEqual([0, null])
  const python = JSON.parse(result.value as string) as {
    done: Record<string, number>
    taken: string[]
  }

  // Both took part, the driver for as long as Python worked, and of every hash
  // one of the two had the value.
  for (const count of [...Object.values(done), ...Object.values(python.done)])
    expect(count).toBeGreaterThan(20)
  for (const hash of left) if ((await tokens.takeHash(hash)) !== null) taken.push(hash)
  expect([...taken, ...python.taken].sort()).toEqual([...hashes].sort())

  expect(await audit(redis, prefix)).toEqual([])
  const listed = (await Promise.all(OWNERS.map((owner) => tokens.list(owner)))).flat()
  for (const token of listed)
    expect(await tokens.getKey(token.key, { touch: false })).toEqual(token)
  expect(listed.length).toBe(Object.keys(await keyspace(redis, `${prefix}:id:`)).length)
  await tokens.reset()
  expect(await keyspace(redis, prefix)).toEqual({})
})
