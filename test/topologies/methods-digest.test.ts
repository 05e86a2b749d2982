import { Store } from '../../src/store'
import type { Token } from '../../src/types'
import { foundIn, placesOf, watched, type Watched } from '../driver/shows-all'
import { topology } from '../methods/support'
import { theMethods } from './methods'

// With `digest`, on a Redis that shows all it was told.
const secrets = new Set<string>()
const codes = new Set<string>()
let watching: Watched

// What the store issued or found. Hashes of a character or four are found
// anywhere, by chance.
const note = (secret: unknown): void => {
  if (typeof secret === 'string' && /^[\w-]{8,128}$/.test(secret)) secrets.add(secret)
}

const noteCode = (code: unknown): unknown => {
  if (String(code).length === 12) codes.add(String(code))
  return code
}

beforeAll(async () => {
  watching = await watched()
  process.env.TEST_REDIS_URL = watching.server.url
  topology.config = { digest: true }
  // The real methods, whose answers are noted.
  const methods = Store.prototype as unknown as Record<
    string,
    (...args: unknown[]) => Promise<unknown>
  >
  const withKey = ['add', 'getKey', 'rotate', 'refresh']
  const withHash = ['makeHash', 'getHash', 'takeHash', 'delHash']
  for (const name of [...withKey, ...withHash, 'makeCode']) {
    const method = methods[name]!
    jest.spyOn(methods, name).mockImplementation(function (this: unknown, ...args: unknown[]) {
      const answered = method.apply(this, args)
      return (answered as Promise<unknown> | undefined)?.then((answer) => {
        // Shorter ones are found in any time or number.
        if (name === 'makeCode') return noteCode(answer)
        note(
          name === 'makeHash'
            ? answer
            : name.endsWith('Hash')
              ? answer && args[0]
              : (answer as Token | null)?.key
        )
        return answer
      }) as Promise<unknown>
    })
  }
})

afterAll(() => watching.stop())

theMethods()

test('has shown no key, no hash and no code in Redis', async () => {
  expect(secrets.size).toBeGreaterThan(1000)
  expect(codes.size).toBeGreaterThan(4)
  for (const [place, text] of Object.entries(await placesOf(watching))) {
    expect([place, foundIn(text, secrets), foundIn(text, codes)]).toEqual([place, [], []])
  }
})
