import { client, closeAfterAll, names } from '../support'
import { Browser, overtaken, program, site, type Starts } from './faces'
import { start as koa } from './koa-site'
import { start as reactRouter } from './react-router-site'

closeAfterAll()

const ROUNDS = 1000
const AT_ONCE = 20

const redis = client()
const sites: [name: string, starts: Starts, path: string][] = [
  ['koa-session, a save', koa, '/?theme=dark'],
  ['koa-session, a new sid', koa, '/renew?theme=dark'],
  ['hono-sessions, a save', program('hono-site.ts'), '/?theme=dark'],
  ['hono-sessions, a new sid', program('hono-site.ts'), '/renew?theme=dark'],
  ['React Router, a save', reactRouter, '/?theme=dark']
]

test.each(sites)('%s after a logout revives nothing', async (_name, starts, path) => {
  const at = await site(starts, { age: 3600 })
  for (let round = 0; round < ROUNDS; round += AT_ONCE) {
    const people = Array.from({ length: AT_ONCE }, () => new Browser(at))
    await Promise.all(people.map((browser) => browser.go('/?user=ann')))
    const twins = people.map((browser) => browser.twin())
    const logouts = async (): Promise<unknown> =>
      Promise.all(people.map((browser) => browser.go('/logout')))
    await overtaken(at, twins, path, logouts)
  }
  expect(await at.ask('/gone')).toHaveLength(ROUNDS)
  expect(await names(redis, at.prefix)).toEqual({})
})

const WRITERS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']

test.each(sites.filter(([name]) => name.endsWith('a save')))(
  '%s beside seven others loses none',
  async (_name, starts) => {
    const at = await site(starts, { age: 3600 })
    const ann = new Browser(at)
    await ann.go('/?user=ann')
    for (let round = 0; round < ROUNDS / 10; round++) {
      await Promise.all(WRITERS.map((name) => ann.twin().go(`/?${name}=${round}`)))
      const [token] = await at.tokens.list('ann')
      const written = Object.fromEntries(WRITERS.map((name) => [name, String(round)]))
      expect(token!.attrs).toMatchObject(written)
    }
  }
)
