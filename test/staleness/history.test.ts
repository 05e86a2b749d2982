import { History, type ClockSet, type Read, type Write } from './history'

const SILENCE = 100
const [ID, OWNER, KEY, OLD] = ['id-1', 'ann', 'key-1', 'key-0']
const UNSET: ClockSet[] = [{ from: 0, to: 0, ahead: 0 }]

const at = (sent: number, process = 0) => ({ process, sent, answered: sent + 10 })
const written = (sent: number, n: number, process = 0, expires_at = 0): Write => {
  return { op: 'write', id: ID, owner: OWNER, n, expires_at, ...at(sent, process) }
}
const given: Write[] = [written(0, 0), { op: 'key', id: ID, key: KEY, ...at(0) }]
const read = (sent: number, n: number, more: Partial<Read> = {}): Read => ({
  ...{ process: 1, sent, answered: sent + 1, key: KEY, n, expires_at: 0 },
  ...{ fresh: false, fromMemory: true, ...more }
})

/** What is said of the last of these reads; the fresh ones before are known to their process. */
function verdict(writes: Write[], reads: Read[], clock = UNSET, doubts: [number, number][] = []) {
  const history = new History(SILENCE, clock, doubts)
  for (const write of [...given, ...writes]) history.write(write)
  for (const each of reads) if (each.fresh) history.learn(each)
  history.seal()
  const found = history.judge(reads.at(-1)!)
  return typeof found === 'object' ? found.rule : found
}

const end: Write = { op: 'end', id: ID, ...at(500) }
const unanswered = { ...end, answered: null }
const ownerEnds: Write = { op: 'endOwner', owner: OWNER, ...at(500) }
const out = (grace: number): Write => ({ op: 'out', id: ID, key: KEY, grace, ...at(500) })
const ends = (expires_at: number): Write => written(0, 0, 0, expires_at)

test.each<[what: string, verdict: unknown, expected: string | undefined]>([
  ['attrs as they are', verdict([], [read(50, 0)]), undefined],
  ['older attrs, within the silence', verdict([written(500, 1)], [read(610, 0)]), undefined],
  ['older attrs, past it', verdict([written(500, 1)], [read(611, 0)]), 'stale'],
  ['attrs that an own write replaced', verdict([written(500, 1, 1)], [read(511, 0)]), 'own write'],
  ['attrs during an own write', verdict([written(500, 1, 1)], [read(510, 0)]), undefined],
  [
    'attrs older than what a fresh read saw',
    verdict([written(500, 1)], [read(502, 1, { fresh: true }), read(504, 0)]),
    'own write'
  ],
  [
    'a token that a fresh read did not see',
    verdict([end], [read(502, -1, { fresh: true }), read(504, 0)]),
    'own write'
  ],
  [
    'the same after the clock was set back',
    verdict(
      [end],
      [read(502, -1, { fresh: true }), read(504, 0)],
      [...UNSET, { from: 503, to: 503, ahead: -9 }]
    ),
    undefined
  ],
  ['attrs that nobody has written', verdict([], [read(50, 7)]), 'torn'],
  ['attrs before they were sent', verdict([written(500, 1)], [read(400, 1)]), 'torn'],
  ['a token after its end', verdict([end], [read(611, 0)]), 'stale'],
  ['a token after an end that may have failed', verdict([unanswered], [read(9000, 0)]), undefined],
  ['a token after its owner lost all', verdict([ownerEnds], [read(611, 0)]), 'stale'],
  [
    'the one that its owner kept',
    verdict([{ ...ownerEnds, except: ID }], [read(611, 0)]),
    undefined
  ],
  ['a token after all were lost', verdict([{ op: 'endAll', ...at(500) }], [read(611, 0)]), 'stale'],
  ['a key rotated out', verdict([out(0)], [read(611, 0)]), 'stale'],
  ['a key within its grace', verdict([out(1000)], [read(1510, 0)]), undefined],
  ['a key past its grace', verdict([out(1000)], [read(1512, 0)]), 'stale'],
  [
    'its token by another key',
    verdict([{ ...out(0), key: OLD } as Write], [read(611, 0)]),
    undefined
  ],
  ['a token in its last ms', verdict([], [read(800, 0, { expires_at: 800 })]), undefined],
  ['a token past it', verdict([], [read(801, 0, { expires_at: 800 })]), 'past its end'],
  [
    'a token past it by a clock that has been set forward',
    verdict(
      [],
      [read(601, 0, { expires_at: 800 })],
      [...UNSET, { from: 400, to: 401, ahead: 200 }]
    ),
    'past its end'
  ],
  [
    'the same within the silence',
    verdict(
      [],
      [read(601, 0, { expires_at: 800 })],
      [...UNSET, { from: 500, to: 501, ahead: 200 }]
    ),
    undefined
  ],
  ['null for a token that lives', verdict([], [read(50, -1)]), 'lost'],
  ['null while it is ended', verdict([end], [read(500, -1)]), undefined],
  ['null before it is ended', verdict([end], [read(400, -1)]), 'lost'],
  ['null after an end that may have happened', verdict([unanswered], [read(900, -1)]), undefined],
  ['null after its time', verdict([ends(800)], [read(800, -1)]), undefined],
  ['null before its time', verdict([ends(800)], [read(700, -1)]), 'lost'],
  ['null that only a null explains', verdict([], [read(50, -1, { fresh: true })]), 'lost'],
  [
    'what a failover may have undone',
    verdict([written(500, 1)], [read(900, 0)], UNSET, [[505, 600]]),
    'in doubt'
  ],
  [
    'what was written long before it',
    verdict([written(400, 1)], [read(900, 0)], UNSET, [[505, 600]]),
    'stale'
  ],
  ['a key that nobody was given', verdict([], [read(50, 0, { key: 'another' })]), 'torn']
])('%s', (_, found, expected) => {
  expect(found).toBe(expected)
})
