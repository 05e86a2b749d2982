import { issuedAt } from '../../src/main'
import { closeAfterAll, noText, open } from './support'

closeAfterAll()

test('when a token was issued, by the clock of whoever did', async () => {
  const { tokens } = open()
  const now = Date.now
  // Ahead of all that tests have set, since ids never go back.
  const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() + 86_400_000)
  try {
    const from = Date.now()
    const { id } = await tokens.add({ owner_id: 'user-7' })
    expect(issuedAt(id)).toBeGreaterThanOrEqual(from)
    expect(issuedAt(id)).toBeLessThanOrEqual(Date.now())
  } finally {
    clock.mockRestore()
  }
})

test('is in the id, and stays what it was', async () => {
  const { tokens, beside } = open()
  const token = await tokens.add({ owner_id: 'user-7' })
  const rotated = (await tokens.rotate(token.id))!
  const changed = (await tokens.change(token.id, { owner_id: beside('user-7'), ttl: 5 }))!
  for (const { id } of [rotated, changed]) expect(issuedAt(id)).toBe(issuedAt(token.id))
  expect(issuedAt('00000000-0000-7000-8000-000000000000')).toBe(0)
  expect(issuedAt('0190a0b0-c0d0-7fff-bfff-ffffffffffff')).toBe(0x0190a0b0c0d0)
  expect(issuedAt('ffffffff-ffff-7000-9000-000000000000')).toBe(2 ** 48 - 1)
})

test('null for what is no UUID of version 7', () => {
  for (const id of [
    '',
    'x',
    '0190a0b0-c0d0-4000-8000-000000000001',
    '0190a0b0-c0d0-6000-8000-000000000001',
    '0190a0b0-c0d0-7000-c000-000000000001',
    '0190A0B0-C0D0-7000-8000-000000000001',
    '0190a0b0-c0d0-7000-8000-00000000000',
    '0190a0b0-c0d0-7000-8000-0000000000012',
    ' 0190a0b0-c0d0-7000-8000-000000000001',
    '0190a0b0-c0d0-7000-8000-000000000001\n',
    '0190a0b0c0d070008000000000000001',
    '\ud800'
  ]) {
    expect(issuedAt(id)).toBeNull()
  }
})

test('what is no text is refused', () => {
  for (const wrong of noText().filter((wrong) => wrong !== ''))
    expect(() => issuedAt(wrong as string)).toThrow(new TypeError('id must be a string'))
})
