import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import { until } from '../support'

export interface Monitor {
  /** What clients sent since it was last asked, the command in lower case. */
  sent(): Promise<string[][]>
  /** What scripts called since it was last asked, the command in lower case. */
  called(): Promise<string[][]>
  /** Everything seen so far, what scripts called as well. */
  everything(): Promise<string[]>
  close(): void
}

/** Watches all that goes to a server. */
export async function monitor(url: string): Promise<Monitor> {
  const plain = new Redis(url)
  const watching = await plain.monitor()
  const lines: { args: string[]; source: string }[] = []
  let asked = 0
  watching.on('monitor', (_time: string, args: string[], source: string) =>
    lines.push({ args, source })
  )
  /** Once a command of our own comes by, all before it have. */
  const settled = async (): Promise<void> => {
    const marker = `marker-${randomBytes(8).toString('hex')}`
    await plain.echo(marker)
    await until(() => lines.some(({ args }) => args[1] === marker))
  }
  const ours = ['auth', 'client', 'echo', 'hello', 'info', 'monitor', 'ping', 'quit', 'select']
  const fresh = async (byScripts: boolean): Promise<string[][]> => {
    await settled()
    const since = lines.slice(asked)
    asked = lines.length
    return since
      .filter(({ source }) => (source === 'lua') === byScripts)
      .map(({ args: [command, ...args] }) => [command!.toLowerCase(), ...args])
      .filter(([command]) => !ours.includes(command!))
  }
  return {
    sent: () => fresh(false),
    called: () => fresh(true),
    async everything() {
      await settled()
      return lines.flatMap(({ args }) => args)
    },
    close() {
      watching.disconnect()
      plain.disconnect()
    }
  }
}
