import type { Redis } from 'ioredis'
import { digestOf } from '../../src/digest'
import type { TriedCode } from '../../src/main'
import { audit, client, closeAfterAll } from '../support'
import { breaks, connected, contenders, races, rounds, values, type Tokens } from './race'

closeAfterAll()

const N = 6
const TRIES = 4
const WRONG = 'no digits'
const NONE = { ok: false, left: 0 }

type Try = (i: number, name: string, code: string) => Promise<TriedCode>

/** A try in two calls: what there is, and what the try makes of it. */
function splitTry(prefix: string, clients: Redis[]): Try {
  return async (i, name, code) => {
    const at = `${prefix}:code:${name}`
    const [digest, value, left] = await clients[i]!.hmget(at, 'digest', 'value', 'left')
    if (digest == null || left === '0') return { ok: false, left: 0 }
    if (digest === digestOf(`${name}:${code}`)) {
      await clients[i]!.del(at)
      return { ok: true, value: JSON.parse(value!) as unknown }
    }
    await clients[i]!.hset(at, 'left', Number(left) - 1)
    return { ok: false, left: Number(left) - 1 }
  }
}

/** Expects that of wrong tries each took one, until there were none or no code. Answers how many. */
function expectWrong(tried: TriedCode[]): number {
  const lefts = tried.map((answer) => (answer.ok ? NaN : answer.left)).sort((a, b) => b - a)
  const taken = lefts.filter((left) => left > 0).length
  expect(lefts).toEqual(lefts.map((_, i) => (i < taken ? TRIES - 1 - i : 0)))
  return taken
}

interface Contenders {
  right: number
  wrong: number
}

function triesOf(
  maker: Tokens,
  attempt: Try,
  { right, wrong }: Contenders,
  seen: Record<string, number> = {}
): (round: number) => Promise<void> {
  const race = races(37)
  return async (round) => {
    const name = `login:${round}`
    const code = (await maker.makeCode(name, { tries: TRIES, value: { round } }))!
    const tried = values(
      await race(
        Array.from(
          { length: right + wrong },
          (_, i) => () => attempt(i, name, i < right ? code : WRONG)
        )
      )
    )
    const won = tried.filter(({ ok }) => ok)
    const lost = tried.slice(0, right).filter(({ ok }) => !ok)
    const taken = expectWrong(tried.slice(right))
    expect(lost).toEqual(lost.map(() => NONE))
    // Without a winner the tries are spent, the last of which answers 0.
    if (won.length === 0) expect(taken).toBe(TRIES - 1)
    else expect(won).toEqual([{ ok: true, value: { round } }])
    expect(await maker.tryCode(name, code)).toEqual(NONE)
    // Another code has the tries that are left.
    const next = await maker.makeCode(name, { tries: TRIES })
    expect(next === null).toBe(won.length === 0)
    expect(await maker.tryCode(name, WRONG)).toEqual({ ok: false, left: TRIES - 1 - taken })
    seen[won.length === 0 ? 'spent' : taken ? 'later' : 'first']!++
  }
}

const cases: [string, Contenders, Record<string, number>][] = [
  ['right ones one gets the value', { right: N, wrong: 0 }, { first: 0 }],
  ['wrong ones each takes one try, and then there is none', { right: 0, wrong: N }, { spent: 0 }],
  [
    'a right and wrong ones the right one wins, or all tries were spent before',
    { right: 1, wrong: N - 1 },
    { first: 0, later: 0, spent: 0 }
  ]
]

test.each(cases)('of many tries at once: of %s', async (_what, who, seen) => {
  const { prefix, stores } = await contenders(N)
  const attempt: Try = (i, name, code) => stores[i]!.tryCode(name, code)
  const ran = await rounds(triesOf(stores[0]!, attempt, who, seen), { seen })
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(0)
  expect(await audit(client(), prefix)).toEqual([])
  expect(await stores[0]!.reset()).toBe(ran)
})

test.each(cases)('in two calls, not so: of %s', async (_what, who, seen) => {
  const { prefix, stores } = await contenders(1)
  await breaks(triesOf(stores[0]!, splitTry(prefix, await connected(N)), who, seen))
})

const MAKERS = 2

type Make = (i: number, name: string) => Promise<string | null>

function refillsOf(stores: Tokens[], make: Make, seen = { made: 0, refused: 0 }) {
  const triers = stores.slice(MAKERS)
  const race = races(38)
  return async (round: number): Promise<void> => {
    const name = `login:${round}`
    await stores[0]!.makeCode(name, { tries: TRIES })
    const results = values(
      await race<string | null | TriedCode>([
        ...Array.from({ length: MAKERS }, (_, i) => () => make(i, name)),
        ...triers.map((tokens) => () => tokens.tryCode(name, WRONG))
      ])
    )
    expect(expectWrong(results.slice(MAKERS) as TriedCode[])).toBe(TRIES - 1)
    const codes = results.slice(0, MAKERS) as (string | null)[]
    for (const code of codes) seen[code === null ? 'refused' : 'made']++
    expect(await stores[0]!.makeCode(name, { tries: TRIES })).toBeNull()
    for (const code of codes) expect(await stores[0]!.tryCode(name, code)).toEqual(NONE)
  }
}

test('codes made while tries are taken give none back', async () => {
  const { prefix, stores } = await contenders(MAKERS + N)
  const seen = { made: 0, refused: 0 }
  const make: Make = (i, name) => stores[i]!.makeCode(name, { tries: TRIES })
  const ran = await rounds(refillsOf(stores, make, seen), { seen })
  expect(Math.min(seen.made, seen.refused)).toBeGreaterThan(0)
  expect(await audit(client(), prefix)).toEqual([])
  expect(await stores[0]!.reset()).toBe(ran)
})

test('in two calls, they do', async () => {
  const { prefix, stores } = await contenders(MAKERS + N)
  const clients = await connected(MAKERS)
  await breaks(
    refillsOf(stores, async (i, name) => {
      const at = `${prefix}:code:${name}`
      const left = await clients[i]!.hget(at, 'left')
      if (left === '0') return null
      const digest = digestOf(`${name}:1234`)
      await clients[i]!.hset(at, { digest, value: 'null', left, made: Date.now() })
      return '1234'
    })
  )
})

function makesOf(looker: Tokens, make: Make, every: boolean, wins: number[] = []) {
  const race = races(39)
  return async (round: number): Promise<void> => {
    const name = `login:${round}`
    const codes = values(await race(Array.from({ length: N }, (_, i) => () => make(i, name))))
    const made = codes.filter((code) => code !== null)
    expect(made).toHaveLength(every ? 1 : N)
    const tried = await Promise.all(made.map((code) => looker.tryCode(name, code)))
    const right = made[tried.findIndex(({ ok }) => ok)]
    // The code of one never finds the value of another.
    const won = codes.indexOf(right!)
    expect(tried.filter(({ ok }) => ok)).toEqual([{ ok: true, value: won }])
    wins[won]!++
  }
}

// So long that no two are alike.
const options = { digits: 12, tries: N }

test.each([true, false])('of codes made at once one is right (every: %s)', async (every) => {
  const { prefix, stores } = await contenders(N)
  const wins = new Array<number>(N).fill(0)
  const make: Make = (i, name) =>
    stores[i]!.makeCode(name, { ...options, value: i, ...(every && { every: 60 }) })
  const ran = await rounds(makesOf(stores[0]!, make, every, wins), { seen: wins })
  expect(Math.min(...wins)).toBeGreaterThan(0)
  expect(await audit(client(), prefix)).toEqual([])
  expect(await stores[0]!.reset()).toBe(ran)
})

test('in two calls, more than one is made in the time of every', async () => {
  const { prefix, stores } = await contenders(N)
  const clients = await connected(N)
  await breaks(
    makesOf(
      stores[0]!,
      async (i, name) => {
        const made = await clients[i]!.exists(`${prefix}:code:${name}`)
        return made ? null : stores[i]!.makeCode(name, { ...options, value: i })
      },
      true
    )
  )
})

test("in two calls, a code finds another's value", async () => {
  const { prefix, stores } = await contenders(1)
  const clients = await connected(N)
  await breaks(
    makesOf(
      stores[0]!,
      async (i, name) => {
        const at = `${prefix}:code:${name}`
        const digest = digestOf(`${name}:${i}`)
        await clients[i]!.hset(at, { digest, left: N, made: Date.now() })
        await clients[i]!.hset(at, { value: String(i) })
        return String(i)
      },
      false
    )
  )
})
