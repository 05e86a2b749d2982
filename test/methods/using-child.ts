/**
 * Uses a store for the length of a block, with an answer under way at its end, and prints what
 * became of it. It ends by itself once the connection is closed.
 */
import { Tokenstore } from '../../src/main'
import type { Config, Token } from '../../src/types'

async function work(config: Config): Promise<unknown[]> {
  let asked: Promise<Token | null>
  let outer: Tokenstore
  {
    await using tokens = Tokenstore(config)
    const { key } = await tokens.add({ owner_id: 'user-7' })
    asked = tokens.getKey(key)
    outer = tokens
  }
  const late = await outer.count('user-7').catch((error: Error) => error.message)
  return [(await asked)?.owner_id, late]
}

void work(JSON.parse(process.argv[2]!) as Config).then((seen) =>
  process.stdout.write(JSON.stringify(seen))
)
