import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { client, closeAfterAll, freshPrefix, redisUrl } from '../support'
import { commandOf, run, where, type Result } from '../support/programs'
import { conversations, converse, values, type Expected, type Step } from './vectors'

closeAfterAll()

const runners = [
  ['redis-cli', 'run.sh'],
  ['Python', 'run.py'],
  ['PHP', 'run.php'],
  ['Ruby', 'run.rb']
] as const

const calls = conversations.flatMap(({ steps }) => steps).filter((step) => 'call' in step).length

test.each(runners)(
  '%s: every conversation',
  async (language, file) => {
    const command = commandOf(language)
    if (!command) return
    const env = { ...where(redisUrl()), PREFIX: freshPrefix() }
    expect(await run(command, [`test/languages/${file}`], env)).toEqual({
      code: 0,
      stdout: `${language}: ${conversations.length} conversations, ${calls} calls\n`,
      stderr: ''
    })
    // The shell starts a program for every call.
  },
  180_000
)

describe('a conversation that goes otherwise than written fails:', () => {
  const call = (name: string, args: string[], reply: Expected): Step => ({
    call: name,
    args,
    reply
  })
  const record = '{"id":"${id1}","owner_id":"ann","ends_at":${ends},"attrs":{}}'
  const add = call(
    'add',
    ['${key1}', '${id1}', 'ann', '{}', 'TTL', '60000'],
    ['${key1}', record, { time: 60_000, as: 'ends' }]
  )
  const hash = call('makehash', ['${hash1}', '1', '60000'], 1)
  const get = (reply: Expected): Step => call('get', ['${id1}'], reply)
  const right: Step[] = [
    add,
    hash,
    get(['${key1}', record, { same: 'ends' }]),
    call('gethash', ['${hash1}'], '1'),
    call('gethash', ['unknown'], null),
    call('getkey', ['PEEK', 'unknown'], [null, 0]),
    call('count', ['ann'], 1),
    call('count', [], { error: 'TSBADARG' }),
    { names: ['key:${key1}', 'id:${id1}', 'tokens:ann', 'hash:${hash1}'] }
  ]
  const wrong: Record<string, Step[]> = {
    'another text': [hash, call('gethash', ['${hash1}'], '2')],
    'another text in an array': [add, get(['${key2}', record, { same: 'ends' }])],
    'a number for a text': [hash, call('gethash', ['${hash1}'], 1)],
    'a text for a number': [call('count', ['ann'], '0')],
    'another number': [call('count', ['ann'], 1)],
    'a text for nil': [call('gethash', ['unknown'], '')],
    'a number for nil': [call('getkey', ['PEEK', 'unknown'], [0, 0])],
    'nil for a number': [call('count', ['ann'], null)],
    'nil for a text': [hash, call('gethash', ['${hash1}'], null)],
    'nil for an array': [add, get(null)],
    'fewer elements': [add, get(['${key1}', record])],
    'more elements': [call('list', ['ann'], ['', null])],
    'an array for a text': [hash, call('gethash', ['${hash1}'], ['1'])],
    'another error': [call('count', [], { error: 'TSRECORD' })],
    'the beginning of an error': [call('count', [], { error: 'TSBAD' })],
    'an error for a number': [call('count', ['ann'], { error: 'TSBADARG' })],
    'a number for an error': [call('count', [], 0)],
    'any text for an error': [call('count', [], { as: 'any' })],
    'any text for nil': [call('gethash', ['unknown'], { as: 'any' })],
    'any text for an array': [add, get({ as: 'any' })],
    'another time': [add, get(['${key1}', record, { time: 0 }])],
    'a time for a text': [hash, call('gethash', ['${hash1}'], { time: 0 })],
    'a time that is not after': [add, get(['${key1}', record, { time: 60_000, after: 'ends' }])],
    'another value': [add, get(['${key1}', record, { same: 'id1' }])],
    'a value of another call': [
      add,
      hash,
      call('gethash', ['${hash1}'], { as: 'ends' }),
      get(['${key1}', record, 0])
    ],
    'a name too few': [add, { names: ['key:${key1}', 'id:${id1}'] }],
    'a name too many': [
      add,
      { names: ['key:${key1}', 'id:${id1}', 'tokens:ann', 'hash:${hash1}'] }
    ],
    'no names': [hash, { names: [] }],
    'names where none are': [{ names: ['hash:${hash1}'] }],
    'a step of an unknown kind': [{ wiat: 1 } as unknown as Step]
  }
  test('ioredis', async () => {
    await converse(client(), freshPrefix(), right)
    for (const [what, steps] of Object.entries(wrong)) {
      const got = await converse(client(), freshPrefix(), steps).catch(
        (error: Error) => error.message
      )
      expect([what, got]).toEqual([what, expect.stringMatching(`^step ${steps.length}: `)])
    }
  })

  test.each(runners)('%s', async (language, program) => {
    const command = commandOf(language)
    if (!command) return
    const dir = mkdtempSync(join(tmpdir(), 'tokenstore-vectors-'))
    const runOn = (all: Record<string, Step[]>, as: NodeJS.ProcessEnv = {}): Promise<Result> => {
      const conversations = Object.entries(all).map(([name, steps]) => ({ name, steps }))
      writeFileSync(join(dir, 'vectors.json'), JSON.stringify({ values, conversations }))
      const env = {
        ...where(redisUrl()),
        PREFIX: freshPrefix(),
        VECTORS: join(dir, 'vectors.json'),
        ...as
      }
      return run(command, [`test/languages/${program}`], env)
    }
    try {
      const calls = right.length - 1
      expect(await runOn({ right })).toEqual({
        code: 0,
        stdout: `${language}: 1 conversations, ${calls} calls\n`,
        stderr: ''
      })
      const { code, stdout, stderr } = await runOn({ ...wrong, right })
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      // What follows are the reply, and the names when those are wrong.
      const failed = [...stderr.matchAll(/^([\w ]+): /gm)].map(([, what]) => what!)
      expect(failed.filter((what) => what in wrong || what === 'right')).toEqual(Object.keys(wrong))
      const user = freshPrefix()
      await client().call('ACL', ['SETUSER', user, 'on', '>p', '~*', '+@all', '-scan'])
      const blind = await runOn(
        { blind: [{ names: [] }] },
        { REDIS_USER: user, REDISCLI_AUTH: 'p' }
      )
      expect({ ...blind, failed: blind.code !== 0 }).toMatchObject({
        failed: true,
        stdout: '',
        stderr: expect.stringMatching(/NOPERM|no permissions/)
      })
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  })
})
