import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exampleApp } from '../../scripts/example/app'
import { SessionStore } from '../../src/session/express-session'
import { client, closeAfterAll, freshPrefix, keyspace, redisUrl } from '../support'
import { startExample, type Example } from './example-app'

closeAfterAll()

const ann = { name: 'ann', password: 'correct horse' }
const ben = { name: 'ben', password: 'battery staple' }
const PHONE = 'Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0'

/** A browser, as far as cookies go. */
class Browser {
  cookie = ''
  constructor(
    readonly url: string,
    readonly userAgent = ''
  ) {}

  async send(path: string, form?: Record<string, string>): Promise<Response> {
    const response = await fetch(this.url + path, {
      redirect: 'manual',
      headers: { cookie: this.cookie, 'user-agent': this.userAgent },
      ...(form && { method: 'POST', body: new URLSearchParams(form) })
    })
    this.cookie = response.headers.get('set-cookie')?.split(';')[0] ?? this.cookie
    return response
  }

  /** The page, or where it redirects to. */
  async open(path: string, form?: Record<string, string>): Promise<string> {
    const response = await this.send(path, form)
    return response.headers.get('location') ?? (await response.text())
  }

  /** The ids of the devices that it shows, in order of their login. */
  async devices(): Promise<string[]> {
    const shown = (await this.open('/')).matchAll(/name="id" value="([\da-f-]{36})"/g)
    return [...shown].map(([, id]) => id!)
  }
}

describe('the example', () => {
  let example: Example
  beforeAll(async () => {
    example = await startExample()
  })
  afterAll(() => example.interrupt())

  async function logIn(account: typeof ann, userAgent?: string): Promise<Browser> {
    const browser = new Browser(example.url, userAgent)
    expect(await browser.open('/login', account)).toBe('/')
    return browser
  }

  test('lets nobody in but who knows a password', async () => {
    const browser = new Browser(example.url)
    expect(await browser.open('/')).toBe('/login')
    for (const form of [{ ...ann, password: 'x' }, { ...ann, name: 'zoe' }, {}]) {
      const response = await browser.send('/login', form)
      expect(response.status).toBe(401)
      expect(await response.text()).toContain('The name or the password is wrong.')
    }
    for (const path of ['/logout', '/logout-others', '/logout-device'])
      expect(await browser.open(path, {})).toBe('/login')
    expect(browser.cookie).toBe('')
  })

  test('shows where somebody is logged in, and ends any of it', async () => {
    const first = await logIn(ann)
    const phone = await logIn(ann, PHONE)
    const [one, two] = await first.devices()
    const [page, ofPhone] = [await first.open('/'), await phone.open('/')]
    expect(page).toMatch(/unknown on unknown<\/b> <mark>.*Firefox on Android<\/b> *\n/s)
    expect(ofPhone).toMatch(/unknown on unknown<\/b> *\n.*Firefox on Android<\/b> <mark>/s)

    const others = await logIn(ben)
    expect(await others.devices()).toHaveLength(1)
    for (const id of [two!, 'x', '']) expect(await others.open('/logout-device', { id })).toBe('/')
    expect(await phone.devices()).toEqual([one, two])

    expect(await first.open('/logout-device', { id: two! })).toBe('/')
    expect(await phone.open('/')).toBe('/login')
    expect(await first.devices()).toEqual([one])

    const more = [await logIn(ann), await logIn(ann)]
    expect(await first.devices()).toHaveLength(3)
    expect(await first.open('/logout-others', {})).toBe('/')
    for (const browser of more) expect(await browser.open('/')).toBe('/login')
    expect(await first.devices()).toEqual([one])

    for (const browser of [first, others]) expect(await browser.open('/logout', {})).toBe('/login')
    expect(await first.open('/')).toBe('/login')
    expect(await keyspace(client(), 'tokenstore-example')).toEqual({})
  })

  test('keeps five sessions of somebody, each under a sid of its own', async () => {
    const browsers: Browser[] = []
    while (browsers.length < 6) browsers.push(await logIn(ann))
    expect(await browsers[0]!.open('/')).toBe('/login')
    const [, again] = browsers
    const before = again!.cookie
    expect(await again!.devices()).toHaveLength(5)
    expect(await again!.open('/login', ann)).toBe('/')
    expect(await again!.devices()).toHaveLength(5)
    again!.cookie = before
    expect(await again!.open('/')).toBe('/login')
  })

  test('hands out a cookie that no script sees and no other site sends', async () => {
    const response = await new Browser(example.url).send('/login', ann)
    const [cookie, ...attributes] = response.headers.get('set-cookie')!.split('; ')
    expect(cookie).toMatch(/^example=/)
    expect(attributes.sort()).toEqual(['HttpOnly', 'Path=/', 'SameSite=Lax'])
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
  })

  test('lets no form of another site log somebody in', async () => {
    const response = await fetch(`${example.url}/login`, {
      method: 'POST',
      headers: { 'sec-fetch-site': 'cross-site' },
      body: new URLSearchParams(ann)
    })
    expect([response.status, response.headers.get('set-cookie')]).toEqual([403, null])
  })

  test('fills no markup into a page', async () => {
    const page = await new Browser(example.url).open('/lost', { name: `"><b a='&` })
    expect(page).toContain('value="&#34;&#62;&#60;b a=&#39;&#38;"')
    expect(page).not.toContain('<b a')
  })

  test('lets a lost password be changed by a code, which ends all sessions', async () => {
    const browser = await logIn(ann)
    const stranger = new Browser(example.url)
    const asked = await stranger.open('/lost', { name: 'zoe' })
    expect(await stranger.open('/lost', { name: 'ann' })).toBe(asked.replaceAll('zoe', 'ann'))
    const code = await example.code('ann')
    const form = { name: 'ann', code, password: 'a new horse' }
    const wrong = code.replace(/.$/, (digit) => String((Number(digit) + 1) % 10))
    const refused: [Record<string, string>, string][] = [
      [{ ...form, code: wrong }, 'That is not the code'],
      [{ ...form, name: 'ben' }, 'That is not the code'],
      [{ ...form, name: 'zoe' }, 'That is not the code'],
      [{ ...form, password: '1234567' }, 'A password has at least 8 characters.'],
      [{ name: 'ann', password: form.password }, 'That is not the code']
    ]
    for (const [sent, error] of refused) {
      const response = await stranger.send('/reset', sent)
      expect([response.status, await response.text()]).toEqual([
        400,
        expect.stringContaining(error)
      ])
    }
    expect(await browser.open('/')).not.toBe('/login')

    expect(await stranger.open('/reset', form)).toBe('/login?changed')
    expect(await stranger.open('/login?changed')).toContain('Log in with your new password.')
    expect(await browser.open('/')).toBe('/login')
    expect(await stranger.open('/login', ann)).toContain('is wrong')
    await logIn({ name: 'ann', password: form.password })
    expect(await stranger.open('/reset', form)).toContain('That is not the code')
    expect(example.mails()).toEqual([])
  })

  test('ends at Ctrl-C, and leaves nothing', async () => {
    expect(await keyspace(client(), 'tokenstore-example')).not.toEqual({})
    expect(await example.interrupt()).toBe(0)
    expect(await keyspace(client(), 'tokenstore-example')).toEqual({})
  })
})

test('a new password ends a session that the old one is just opening', async () => {
  let code = ''
  let server: Server | undefined
  const urlOf = (): string => `http://127.0.0.1:${(server!.address() as AddressInfo).port}`
  class Overtaken extends SessionStore {
    override async login(...args: Parameters<SessionStore['login']>): Promise<void> {
      const other = new Browser(urlOf())
      await other.open('/lost', { name: 'ann' })
      await other.open('/reset', { name: 'ann', code, password: 'a new horse' })
      return super.login(...args)
    }
  }
  const store = new Overtaken({ redis: redisUrl(), prefix: freshPrefix() })
  const mail = (_: string, text: string): void => void (code = /\d{6}/.exec(text)![0])
  try {
    const app = await exampleApp(store, { ann: ann.password }, mail)
    server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const browser = new Browser(urlOf())
    expect(await browser.open('/login', ann)).toBe('/')
    expect(code).not.toBe('')
    expect(await browser.open('/')).toBe('/login')
    expect(await store.tokens.count('ann')).toBe(0)
  } finally {
    server?.closeAllConnections()
    server?.close()
    await store.tokens.quit()
  }
})
