import { startMaster, startReplica, type Node } from '../../scripts/redis-cluster'
import { ReplicationError, ReuseError, UnavailableError } from '../../src/main'
import { client, closeAfterAll, freshPrefix, keyspace, names, store, until } from '../support'

// Servers of their own, whose commands the tests count.
let lone: Node
let master: Node
let replica: Node
beforeAll(async () => {
  ;[lone, master] = await Promise.all([startMaster(), startMaster()])
  replica = await startReplica(master.port)
})
closeAfterAll()
afterAll(() => Promise.all([lone, replica, master].map((node) => node.stop())))
beforeEach(() => Promise.all([lone, master].map(({ redis }) => redis.config('RESETSTAT'))))

const calls = async ({ redis }: Node, command: string): Promise<number> =>
  Number(
    new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await redis.info('commandstats'))?.[1] ?? 0
  )
const blocked = async ({ redis }: Node): Promise<boolean> =>
  (await redis.info('clients')).includes('blocked_clients:1')
/** Lets a WAIT answer as it does when its time is over, once there is one. */
async function endWait(node: Node): Promise<void> {
  await until(() => blocked(node))
  const [, id] = /^id=(\d+) .* flags=b /m.exec((await node.redis.client('LIST')) as string)!
  expect(await node.redis.client('UNBLOCK', id!)).toBe(1)
}

/** Whether the replica has said that it has all there is. */
async function acknowledged(): Promise<boolean> {
  const info = await master.redis.info('replication')
  const [there, here] = [/^slave0:.*offset=(\d+)/m, /^master_repl_offset:(\d+)/m].map(
    (offset) => offset.exec(info)?.[1]
  )
  return there === here
}
const caught = (call: Promise<unknown>): Promise<unknown> => call.catch((error: unknown) => error)
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1)

test('without a replica a write is done and rejects, and goes on rejecting when it is repeated', async () => {
  const prefix = freshPrefix()
  const tokens = store({ redis: lone.url, prefix })
  const token = await tokens.add({ owner_id: 'ann' })
  const confirmed = store({
    redis: lone.url,
    prefix,
    replicas: 1,
    timeout: 20_000
  })
  for (let tries = 0; tries < 2; tries++) {
    const rejected = caught(confirmed.del(token.id))
    await endWait(lone)
    const error = await rejected
    expect(error).toBeInstanceOf(ReplicationError)
    expect(error).toMatchObject({
      code: 'TSREPLICATION',
      message: 'del: done, but confirmed by 0 of 1 replicas'
    })
    expect(await names(lone.redis, prefix)).toEqual({})
  }
  expect(await confirmed.del(token.id, { replicas: 0 })).toBe(false)
})

test('what was rejected is not done later, over newer data, and other calls do not wait for it', async () => {
  const prefix = freshPrefix()
  const other = store({ redis: lone.url, prefix })
  const { id, key } = await other.add({ owner_id: 'ann', attrs: { n: 0 } })
  const tokens = store({ redis: lone.url, prefix, timeout: 20_000 })
  const writes = range(5).map((n) => caught(tokens.set(id, { n }, { replicas: 1 })))
  await until(() => blocked(lone))
  expect(await tokens.getKey(key)).toMatchObject({ id })
  expect(await blocked(lone)).toBe(true)
  await endWait(lone)
  for (const error of await Promise.all(writes)) expect(error).toBeInstanceOf(ReplicationError)
  await other.set(id, { n: 'newer' })
  const done = await calls(lone, 'eval')
  await tokens.quit()
  expect(await calls(lone, 'eval')).toBe(done)
  expect(await other.get(id)).toMatchObject({ attrs: { n: 'newer' } })
})

test('what waits behind an unanswered write is dropped when its time is over', async () => {
  const prefix = freshPrefix()
  const tokens = store({ redis: lone.url, prefix, timeout: 400, replicas: 1 })
  const confirms = async (): Promise<boolean> =>
    (await caught(tokens.del('a'))) instanceof ReplicationError
  await until(confirms)
  lone.pause()
  const late = range(6).map((n) => caught(tokens.add({ owner_id: `late-${n}` })))
  for (const error of await Promise.all(late)) expect(error).toBeInstanceOf(UnavailableError)
  lone.resume()
  // The first was sent, and is done now that Redis goes on.
  const done = async (): Promise<string[]> =>
    Object.keys(await keyspace(lone.redis, prefix)).filter((name) => name.includes(':tokens:'))
  await until(async () => (await done()).length > 0 && !(await blocked(lone)))
  await until(confirms)
  expect(await done()).toEqual([`${prefix}:tokens:late-1`])
})

test('writes of one moment share a WAIT', async () => {
  const prefix = freshPrefix()
  const tokens = store({
    redis: master.url,
    prefix,
    replicas: 1,
    timeout: 20_000
  })
  const added = await Promise.all(range(50).map((i) => tokens.add({ owner_id: `user-${i}` })))
  expect(await calls(master, 'wait')).toBeLessThanOrEqual(2)
  expect(await Promise.all(added.map(({ id }) => tokens.set(id, { n: 1 })))).toHaveLength(50)
  expect(await calls(master, 'eval')).toBe(100)
  expect(await calls(master, 'wait')).toBeLessThanOrEqual(4)
  expect(Object.keys(await keyspace(replica.redis, prefix))).toHaveLength(150)
  // And each with the others that want as many replicas as it does.
  const both = [tokens.del(added[0]!.id), caught(tokens.del(added[1]!.id, { replicas: 2 }))]
  expect(await both[0]).toBe(true)
  await until(() => blocked(master))
  await until(acknowledged)
  await endWait(master)
  expect(await both[1]).toMatchObject({
    message: 'del: done, but confirmed by 1 of 2 replicas'
  })
})

test('quit waits for their answers, and closes what was opened for them', async () => {
  const own = client({}, master.url)
  const connections = async (): Promise<number> =>
    ((await master.redis.client('LIST')) as string).split('\n').length
  await own.ping()
  const before = await connections()
  const tokens = store({ redis: own, prefix: freshPrefix(), replicas: 1 })
  const added = Promise.all(range(3).map((i) => tokens.add({ owner_id: `user-${i}` })))
  await tokens.quit()
  expect(await added).toHaveLength(3)
  await until(async () => (await connections()) === before)
  expect(await own.ping()).toBe('PONG')
})

test("they go where the caller's client goes: to its database, with its keyPrefix", async () => {
  const prefix = freshPrefix()
  const own = client(
    { keyPrefix: `${prefix}:`, lazyConnect: true, enableAutoPipelining: true },
    master.url
  )
  await own.select(3)
  const tokens = store({ redis: own, prefix: 'token', replicas: 1 })
  const token = await tokens.add({ owner_id: 'ann' })
  expect(await tokens.getKey(token.key)).toEqual(token)
  expect(Object.keys(await keyspace(client({ db: 3 }, master.url), prefix)).sort()).toEqual([
    `${prefix}:token:id:${token.id}`,
    `${prefix}:token:key:${token.key}`,
    `${prefix}:token:tokens:ann`
  ])
  expect(await keyspace(master.redis, prefix)).toEqual({})
})

test('a user who may not WAIT is told so', async () => {
  const prefix = freshPrefix()
  await lone.redis.acl('SETUSER', 'app', 'reset', 'on', '>secret', '~*', '+@all', '-wait')
  const tokens = store({
    redis: { port: lone.port, username: 'app', password: 'secret' },
    prefix,
    replicas: 1
  })
  const error = (await caught(tokens.add({ owner_id: 'ann' }))) as Error
  expect(error).toBeInstanceOf(ReplicationError)
  expect(error.message).toMatch(/^add: done, but confirmed by 0 of 1 replicas: NOPERM .*wait/)
})

describe('of change, refresh, tryCode and delOwner with hashes', () => {
  test('a replica has each once it is answered, and that a key was used again', async () => {
    const prefix = freshPrefix()
    const tokens = store({ redis: master.url, prefix, replicas: 1, timeout: 20_000 })
    const copied = async (): Promise<unknown> => {
      const [here, there] = await Promise.all(
        [master, replica].map(({ redis }) => keyspace(redis, prefix))
      )
      expect(there).toEqual(here)
      return there
    }
    const token = await tokens.add({ owner_id: 'ann' })
    await tokens.change(token.id, { owner_id: 'bob', ttl: 1000 })
    await copied()
    const { key } = (await tokens.refresh(token.key, { grace: null }))!
    await copied()
    expect(await tokens.getKey(key)).toMatchObject({ owner_id: 'bob' })
    await expect(tokens.refresh(token.key)).rejects.toBeInstanceOf(ReuseError)
    expect(await copied()).toEqual({})
    expect(await calls(master, 'wait')).toBe(4)

    // What is made is not waited for, what is used up is.
    const code = await tokens.makeCode('login')
    await tokens.makeHash('a', { owner_id: 'ann' })
    expect(await calls(master, 'wait')).toBe(4)
    expect(await tokens.tryCode('login', 'wrong')).toEqual({ ok: false, left: 4 })
    expect(await tokens.tryCode('login', code)).toEqual({ ok: true, value: null })
    expect(await tokens.delOwner('ann', { hashes: true })).toBe(0)
    // The name of the code, which remembers its tries.
    expect(Object.keys((await copied()) as object)).toEqual([`${prefix}:code:login`])
    expect(await calls(master, 'wait')).toBe(7)
    expect(await tokens.tryCode('login', code, { replicas: 0 })).toEqual({ ok: false, left: 0 })
    expect(await calls(master, 'wait')).toBe(7)
  })

  test('without a replica each is done, and rejects', async () => {
    const prefix = freshPrefix()
    const redis = lone.url
    const tokens = store({ redis, prefix })
    const confirmed = store({ redis, prefix, replicas: 1, timeout: 20_000 })
    const unconfirmed = async (method: string, call: Promise<unknown>): Promise<void> => {
      const rejected = caught(call)
      await endWait(lone)
      expect(await rejected).toMatchObject({
        name: 'ReplicationError',
        message: `${method}: done, but confirmed by 0 of 1 replicas`
      })
    }
    const { id, key } = await tokens.add({ owner_id: 'ann' })
    const code = await tokens.makeCode('login')
    const hash = await tokens.makeHash('a', { owner_id: 'bob' })
    await unconfirmed('change', confirmed.change(id, { owner_id: 'bob' }))
    expect(await tokens.get(id)).toMatchObject({ owner_id: 'bob' })
    await unconfirmed('refresh', confirmed.refresh(key, { grace: null }))
    expect(await tokens.getKey(key)).toBeNull()
    // Whose revocation may be undone is not told yet.
    await unconfirmed('refresh', confirmed.refresh(key))
    expect(await tokens.get(id)).toBeNull()
    await unconfirmed('trycode', confirmed.tryCode('login', code))
    expect(await tokens.tryCode('login', code)).toEqual({ ok: false, left: 0 })
    await unconfirmed('delowner', confirmed.delOwner('bob', { hashes: true }))
    expect(await tokens.getHash(hash)).toBeNull()
    const { key: last } = await tokens.add({ owner_id: 'ann' })
    expect(await confirmed.refresh(last, { replicas: 0 })).toMatchObject({ owner_id: 'ann' })
  })
})
