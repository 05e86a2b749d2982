/** A connection to an app that is kept open, with one request at a time. */
import { connect, type Socket } from 'node:net'

export interface Response {
  head: string
  body: string
}

// Sockets and a search for the end of a response cost the machine far less than a client of
// HTTP, which would be a good part of what is measured.
export class Visitor {
  readonly #socket: Socket
  #received = ''
  #waiting: { resolve(response: Response): void; reject(error: Error): void } | undefined

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.setEncoding('utf8')
    this.#socket.on('data', (text: string) => this.#receive(text))
    this.#socket.on('error', (error) => this.#waiting?.reject(error))
    this.#socket.on('end', () => this.#waiting?.reject(new Error('the app hung up')))
  }

  get(path: string, cookie = ''): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      const headers = `Host: bench\r\n${cookie && `Cookie: ${cookie}\r\n`}`
      this.#socket.write(`GET ${path} HTTP/1.1\r\n${headers}\r\n`)
    })
  }

  close(): void {
    this.#waiting = undefined
    this.#socket.destroy()
  }

  #receive(text: string): void {
    this.#received += text
    const end = this.#received.indexOf('\r\n\r\n') + 4
    if (end < 4) return
    const head = this.#received.slice(0, end)
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1])
    if (this.#received.length < end + length) return
    const body = this.#received.slice(end)
    this.#received = ''
    if (head.startsWith('HTTP/1.1 200')) this.#waiting?.resolve({ head, body })
    else this.#waiting?.reject(new Error(head + body))
  }
}
