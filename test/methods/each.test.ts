import type { Token } from '../../src/types'
import { closeAfterAll, listed, noText, open } from './support'

closeAfterAll()

test('yields every token of an owner', async () => {
  const { tokens } = open()
  const added = await Promise.all(
    Array.from({ length: 250 }, () => tokens.add({ owner_id: 'user-7' }))
  )
  await tokens.add({ owner_id: 'user-8' })
  const met: Token[] = []
  for await (const token of tokens.each('user-7')) met.push(token)
  const inOrder = (a: Token, b: Token): number => (a.id < b.id ? -1 : 1)
  expect(met.sort(inOrder)).toEqual(added.map(listed).sort(inOrder))
  expect(await tokens.each('nobody').next()).toEqual({
    done: true,
    value: undefined
  })
})

test('yields exactly once what lives through the walk, while tokens are added, deleted and used', async () => {
  const { tokens } = open({ idle: 1000, touchEvery: 0.001 })
  const add = (i: number): Promise<Token> =>
    tokens.add({
      owner_id: 'user-7',
      attrs: { i },
      ...(i % 3 === 0 ? { idle: null } : {})
    })
  const steady = await Promise.all(Array.from({ length: 330 }, (_, i) => add(i)))
  const leaving = await Promise.all(Array.from({ length: 120 }, (_, i) => add(i)))
  const met: string[] = []
  let step = 0
  for await (const { id } of tokens.each('user-7')) {
    met.push(id)
    step++
    // One that was met already moves to the end, so that the walk meets it
    // again; others move as well.
    if (step % 3 === 0)
      await tokens.getKey(steady.find((token) => token.id === id)?.key ?? steady[step % 330]!.key)
    if (step % 5 === 0 && step < 400) await tokens.getKey(steady[(step * 7) % 330]!.key)
    if (step % 11 === 0 && step < 400) await add(step)
    if (step % 4 === 0 && leaving.length > 0) await tokens.del(leaving.pop()!.id)
  }
  expect(new Set(met).size).toBe(met.length)
  for (const { id } of steady) expect(met).toContain(id)
  expect(leaving.length).toBeLessThan(60)
})

test('asks for no more pages than are taken', async () => {
  const { tokens } = open()
  await Promise.all(Array.from({ length: 150 }, () => tokens.add({ owner_id: 'user-7' })))
  const list = jest.spyOn(tokens, 'list')
  const walk = tokens.each('user-7')
  expect(list).not.toHaveBeenCalled()
  let n = 0
  for await (const token of walk) if (token && ++n === 100) break
  expect(list).toHaveBeenCalledTimes(1)
  expect(await walk.next()).toEqual({ done: true, value: undefined })
})

test('wrong arguments are refused', async () => {
  const { tokens } = open()
  for (const wrong of [...noText(), '\ud800']) {
    const next = tokens.each(wrong as string).next()
    await expect(next).rejects.toThrow(
      new TypeError('owner_id must be a non-empty well-formed string')
    )
  }
})
