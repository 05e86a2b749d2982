import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { project } from '../support'
import { DEAF, LATE, LATE_THEN_SILENT, OTHER_SERVER, type Fault } from './faults'

/** A fault put into the driver on purpose, and what finds it. */
export interface Mutation {
  what: string
  /** In src, the texts that are replaced, each of them there once. */
  file: string
  edits: [text: string, replacement: string][]
  /** Under which it is found. */
  fault: Fault['what']
  /** Whether it is found within a second or two. */
  soon?: true
}

export const mutations: Mutation[] = [
  {
    what: 'what was told between a read and its answer is forgotten',
    file: 'cache.ts',
    edits: [['if (this.#isDropped(entry, Math.min(sent, entry.sent))) continue', '']],
    fault: 'answers come late'
  },
  {
    what: 'own writes drop nothing',
    file: 'cache.ts',
    edits: [['if (WRITES_NO_TOKEN.has(script)) return send()', 'return send()']],
    fault: LATE,
    soon: true
  },
  {
    what: 'silence has no bound',
    file: 'cache.ts',
    edits: [['age >= this.#silence ||', '']],
    fault: LATE_THEN_SILENT,
    soon: true
  },
  {
    what: 'a proof counts from its answer',
    file: 'tracker.ts',
    edits: [['{ ...asked, time', '{ at: now(), today: today(), time']],
    fault: LATE_THEN_SILENT
  },
  {
    what: 'own writes of what is not known by its id put nothing in doubt',
    file: 'cache.ts',
    edits: [['this.#since = now()', '']],
    fault: LATE
  },
  {
    what: 'what a lost connection did not tell stays',
    file: 'cache.ts',
    edits: [["tracking.on('lost', () => this.clear())", '']],
    fault: 'the tracking connection is cut'
  },
  {
    what: 'an end does not count',
    file: 'cache.ts',
    edits: [['if (time >= expires_at) return null', '']],
    fault: 'none',
    soon: true
  },
  {
    what: 'a key within its grace is kept',
    file: 'cache.ts',
    edits: [['|| entry.text !== texts[i]', '']],
    fault: 'none'
  },
  {
    what: 'a key that was told of is not dropped',
    file: 'cache.ts',
    edits: [["if (family === 'key') this.#dropKey(rest)", '']],
    fault: 'none',
    soon: true
  },
  {
    what: 'FLUSHDB is not heard',
    file: 'cache.ts',
    edits: [["tracking.on('flushed', () => this.clear())", '']],
    fault: 'FLUSHDB',
    soon: true
  },
  {
    what: 'an answer of Redis leaves an older one in memory',
    file: 'cache.ts',
    edits: [
      [
        'if (text === null || record === null) this.#gone(key)',
        'if (text === null || record === null) continue'
      ],
      [
        'if (isKept(key)) return false\n    this.#entries.delete(key)',
        'if (isKept(key)) return false'
      ],
      ['if (other !== undefined && !isKept(other)) this.#entries.delete(other)', '']
    ],
    fault: DEAF
  },
  {
    what: 'what an own add evicted stays',
    file: 'written-ids.ts',
    edits: [['return several.slice(3)', 'return []']],
    fault: LATE
  },
  {
    what: 'the connection that tells is not asked for a proof',
    file: 'tracker.ts',
    edits: [['this.#redis!.ping(),', 'Promise.resolve(),']],
    fault: LATE_THEN_SILENT
  },
  {
    what: "ends go by the machine's clock",
    file: 'tracker.ts',
    edits: [['return this.#proof!.time + age', 'return today() + 0 * age']],
    fault: "Redis' clock is set"
  },
  {
    what: 'another server may tell',
    file: 'tracker.ts',
    edits: [["if (read !== told) throw new Error('it led to another server')", '']],
    fault: OTHER_SERVER
  }
]

/** The source after a mutation. */
export function mutated({ file, edits }: Mutation): string {
  let source = readFileSync(join(project, 'src', file), 'utf8')
  for (const [text, replacement] of edits) {
    const parts = source.split(text)
    if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times: ${text}`)
    source = parts.join(replacement)
  }
  return source
}

/** Copies of the driver, each with a mutation, until they are removed. */
export function mutants(some: Mutation[]): { drivers: string[]; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), 'tokenstore-mutants-'))
  symlinkSync(join(project, 'node_modules'), join(dir, 'node_modules'))
  writeFileSync(join(dir, 'package.json'), '{ "type": "commonjs" }')
  const drivers = some.map((mutation, i) => {
    const src = join(dir, `src-${i}`)
    cpSync(join(project, 'src'), src, { recursive: true })
    writeFileSync(join(src, mutation.file), mutated(mutation))
    return join(src, 'main.ts')
  })
  return { drivers, remove: () => rmSync(dir, { recursive: true, force: true }) }
}
