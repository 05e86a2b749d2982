import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

/** What is kept of a password. */
export interface Password {
  salt: Buffer
  derived: Buffer
}

const derive = promisify<string, Buffer, number, Buffer>(scrypt)

export async function hashed(password: string): Promise<Password> {
  const salt = randomBytes(16)
  return { salt, derived: await derive(password, salt, 32) }
}

export async function matches(password: string, { salt, derived }: Password): Promise<boolean> {
  return timingSafeEqual(await derive(password, salt, 32), derived)
}
