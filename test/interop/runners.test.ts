import { freshPrefix, redisUrl } from '../support'
import { commandOf, run, where } from './programs'
import { conversations } from './vectors'

const calls = conversations.flatMap(({ steps }) => steps).filter((step) => 'call' in step).length

test.each([
  ['redis-cli', 'run.sh'],
  ['Python', 'run.py'],
  ['PHP', 'run.php'],
  ['Ruby', 'run.rb']
] as const)(
  '%s: every conversation',
  async (language, file) => {
    const command = commandOf(language)
    if (!command) return
    const env = { ...where(redisUrl()), PREFIX: freshPrefix() }
    expect(await run(command, [`test/interop/${file}`], env)).toEqual({
      code: 0,
      stdout: `${language}: ${conversations.length} conversations, ${calls} calls\n`,
      stderr: ''
    })
    // The shell starts a program for every call.
  },
  180_000
)
