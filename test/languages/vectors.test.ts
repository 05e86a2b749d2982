import { isDeepStrictEqual } from 'node:util'
import { parseHeader, type Header } from '../../src/cli/header'
import { scripts } from '../../src/scripts'
import { client, closeAfterAll, freshPrefix, snapshot } from '../support'
import { conversations, converse, type Call, type Expected } from './vectors'

closeAfterAll()

const prefix = freshPrefix()
const headers = Object.values(scripts).map(({ lua }) => parseHeader(lua))
const calls = conversations.flatMap(({ steps }) =>
  steps.filter((step): step is Call => 'call' in step)
)
/** The families of names that each script was seen to write. */
const written = new Map<string, Set<string>>()
const familiesOf = ({ writes }: Header): string[] => {
  const families = writes
    .filter(([, said]) => said) // else about the lines around it, or `nothing`
    .map(([thing]) => /^<root>:(\w+):/.exec(thing)?.[1] ?? `? ${thing}`)
  return [...new Set(families)].sort()
}

const isError = ({ reply }: Call): boolean =>
  typeof reply === 'object' && reply !== null && 'error' in reply
/** What a call shows: what it says, or what its reply is by itself. */
const shown = (call: Call): string[] => {
  const { reply, shows } = call
  if (shows !== undefined) return [shows].flat()
  if (isError(call)) return [(reply as { error: string }).error]
  if (reply === null) return ['nil']
  return reply === 0 || reply === 1 ? [String(reply)] : []
}
/** Whether the header says of what a call shows that nothing is written. */
const writesNothing = (call: Call): boolean => {
  const { returns, errors } = headers.find(({ name }) => name === call.call)!
  const said = [...returns, ...errors].filter(([thing]) => shown(call).includes(thing))
  return said.some(([, text]) => text.endsWith('; nothing written'))
}

test.each(conversations.map(({ name, steps }, i) => ({ name, steps, i })))(
  'ioredis: $name',
  async ({ steps, i }) => {
    const redis = client()
    const root = `${prefix}-${i}`
    await converse(redis, root, steps, async (call, runBy) => {
      const before = await snapshot(redis, `${root}:`)
      const reply = await runBy(redis)
      const after = await snapshot(redis, `${root}:`)
      const all = { ...before.entries, ...after.entries }
      for (const name of Object.keys(all)) {
        const [a, b] = [before.entries[name], after.entries[name]]
        const ranOut = !b && a!.end !== null && a!.end <= after.time
        if (ranOut || isDeepStrictEqual(a, b)) continue
        const family = name.slice(root.length + 1).split(':')[0]!
        if (reply instanceof Error || reply === null || writesNothing(call)) {
          throw new Error(`${call.call} wrote ${name} and answered ${JSON.stringify(reply)}`)
        }
        if (!written.has(call.call)) written.set(call.call, new Set())
        written.get(call.call)!.add(family)
      }
      return reply
    })
  }
)

test('every object in a reply is of a kind that runners know', () => {
  const kinds = [['error'], ['same'], ['as'], ['time'], ['as', 'time'], ['after', 'as', 'time']]
  const objects = (reply: Expected): object[] =>
    Array.isArray(reply)
      ? reply.flatMap(objects)
      : typeof reply === 'object' && reply !== null
        ? [reply]
        : []
  for (const object of calls.flatMap(({ reply }) => objects(reply))) {
    expect(kinds).toContainEqual(Object.keys(object).sort())
  }
})

describe('the conversations cover', () => {
  const of = (script: string): Call[] => calls.filter(({ call }) => call === script)
  test('every script', () => {
    expect([...new Set(calls.map(({ call }) => call))].sort()).toEqual(Object.keys(scripts).sort())
  })

  test.each(headers)(
    '$name: every reply and every error code of its header',
    ({ name, returns, errors }) => {
      const things = [...returns, ...errors].map(([thing]) => thing)
      const seen = new Set(of(name).flatMap(shown))
      expect(things.filter((thing) => !seen.has(thing))).toEqual([])
      // An integer of a range is not a line of its own; WRONGTYPE is of Redis.
      const others = [...seen].filter((thing) => !things.includes(thing))
      expect(others.filter((thing) => !/^([01]|WRONGTYPE)$/.test(thing))).toEqual([])
    }
  )

  test.each(headers)(
    '$name: every option and every word of its header',
    ({ name, args, options }) => {
      const good = of(name).filter((call) => !isError(call))
      for (const [at, arg] of args.entries()) {
        for (const word of /^[A-Z]+(\|[A-Z]+)+$/.test(arg) ? arg.split('|') : []) {
          expect(good.map((call) => call.args[at])).toContain(word)
        }
      }
      for (const option of options) {
        const words = option.match(/[A-Z]+/g)!
        for (const word of words)
          expect(good.flatMap((call) => call.args.slice(args.length))).toContain(word)
      }
    }
  )

  test.each(headers)(
    '$name: writes of just those families of names that its header says',
    (header) => {
      expect([...(written.get(header.name) ?? [])].sort()).toEqual(familiesOf(header))
    }
  )
})
