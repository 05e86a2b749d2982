import { chromium, type Browser, type Locator, type Page } from 'playwright-core'
import { findChromium } from '../../scripts/chromium'
import { closeAfterAll, notRun } from '../support'
import { startExample, type Example } from './example-app'

closeAfterAll()

// Keeps it from asking the network for anything.
const QUIET = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]
const PHONE = 'Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0'
const PASSWORD = 'correct horse'

const executablePath = findChromium()
if (executablePath === undefined) notRun('Chromium is not installed: Debian has it as chromium')

const inChromium = executablePath === undefined ? test.skip : test

describe('the example in Chromium', () => {
  let example: Example
  let browser: Browser
  beforeAll(async () => {
    if (executablePath === undefined) return
    example = await startExample()
    browser = await chromium.launch({ executablePath, args: QUIET })
  })
  afterAll(async () => {
    await browser?.close()
    await example?.interrupt()
  })

  /** A browser with cookies of its own. */
  async function open(userAgent?: string): Promise<Page> {
    const context = await browser.newContext({ baseURL: example.url, userAgent })
    const page = await context.newPage()
    await page.goto('/')
    expect(await title(page)).toBe('Log in')
    return page
  }

  async function logIn(page: Page, password = PASSWORD): Promise<void> {
    await page.getByLabel('Name').fill('ann')
    await page.getByLabel('Password').fill(password)
    await press(page, 'Log in')
  }

  /** Clicks, and waits for the page that it leads to. */
  const follow = (what: Locator): Promise<unknown> =>
    Promise.all([what.page().waitForEvent('load'), what.click()])
  const press = (page: Page, name: string): Promise<unknown> =>
    follow(page.getByRole('button', { name, exact: true }))
  const title = (page: Page): Promise<string> => page.getByRole('heading').innerText()
  const said = (page: Page): Promise<string> => page.getByRole('alert').innerText()

  /** What a page lists after a reload, without the times. */
  async function devices(page: Page): Promise<string[]> {
    await page.reload()
    const all = await page.getByRole('listitem').locator('div').allInnerTexts()
    return all.map((text) => text.split('\n')[0]!)
  }

  inChromium('log in twice, log one out from the other, then everywhere else', async () => {
    const [computer, phone] = [await open(), await open(PHONE)]
    await logIn(computer, 'wrong')
    expect(await said(computer)).toBe('The name or the password is wrong.')
    await logIn(computer)
    await logIn(phone)
    expect(await devices(computer)).toEqual(['Chrome on Linux this one', 'Firefox on Android'])
    expect(await devices(phone)).toEqual(['Chrome on Linux', 'Firefox on Android this one'])

    await press(computer, 'Log out Firefox on Android')
    expect(await devices(computer)).toEqual(['Chrome on Linux this one'])
    await phone.reload()
    expect(await title(phone)).toBe('Log in')

    await logIn(phone)
    await press(phone, 'Log out everywhere else')
    expect(await devices(phone)).toEqual(['Firefox on Android this one'])
    await computer.reload()
    expect(await title(computer)).toBe('Log in')

    await press(phone, 'Log out Firefox on Android')
    expect(await title(phone)).toBe('Log in')
    await phone.goBack()
    expect(await title(phone)).toBe('Log in')
  })

  inChromium('lose the password, and change it by the code in the mail', async () => {
    const [computer, other] = [await open(), await open()]
    await logIn(other)
    await follow(computer.getByRole('link', { name: 'Lost your password?' }))
    await computer.getByLabel('Name').fill('ann')
    await press(computer, 'Send me a code')
    const code = await example.code('ann')
    const reset = async (typed: string): Promise<void> => {
      await computer.getByLabel('Code').fill(typed)
      await computer.getByLabel('New password').fill('a new horse')
      await press(computer, 'Set password')
    }
    await reset('no code')
    expect(await said(computer)).toBe('That is not the code, or it is no longer valid.')
    expect(await devices(other)).toHaveLength(1)

    await reset(code.replace(/^.../, '$& '))
    expect(await computer.getByRole('status').innerText()).toBe('Log in with your new password.')
    await other.reload()
    expect(await title(other)).toBe('Log in')
    await logIn(other)
    expect(await said(other)).toBe('The name or the password is wrong.')
    await logIn(other, 'a new horse')
    expect(await devices(other)).toHaveLength(1)
  })
})
