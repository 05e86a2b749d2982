/**
 * A reply of ioredis' ...Buffer methods, and all in it, as text. In latin1 each byte is one
 * character: so nothing is lost of bytes that are not UTF-8.
 */
export function decoded(reply: unknown, encoding: BufferEncoding): unknown {
  if (Array.isArray(reply)) return reply.map((each) => decoded(each, encoding))
  return Buffer.isBuffer(reply) ? reply.toString(encoding) : reply
}

/** The bytes of a text, each as one character. */
export const bytes = (text: string | Buffer): string =>
  Buffer.from(text as string).toString('latin1')
