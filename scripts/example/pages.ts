export interface Device {
  id: string
  name: string
  /** Unix ms, as `used`. */
  since: number
  used: number
  isThisOne: boolean
}

interface Said {
  error?: string
  notice?: string | false
}

export function loginPage(said: Said): string {
  const body = markup`
    <form method="post" action="/login">
      ${field('Name', 'name', 'autocomplete="username" autofocus')}
      ${field('Password', 'password', 'type="password" autocomplete="current-password"')}
      <button class="main">Log in</button>
    </form>
    <p><a href="/lost">Lost your password?</a></p>`
  return page('Log in', body, said)
}

export function devicesPage(user: string, devices: Device[]): string {
  const one = ({ id, name, since, used, isThisOne }: Device): Markup => markup`
    <li>
      <div>
        <b>${name}</b> ${isThisOne ? markup`<mark>this one</mark>` : ''}
        <small>Logged in ${time(since)}, last used ${time(used)}</small>
      </div>
      ${button(isThisOne ? '/logout' : '/logout-device', 'Log out', `Log out ${name}`, id)}
    </li>`
  const body = markup`
    <p>You are logged in as <b>${user}</b> here:</p>
    <ul>${devices.map(one)}</ul>
    ${devices.length > 1 ? button('/logout-others', 'Log out everywhere else') : ''}`
  return page('Your devices', body)
}

export function lostPage(): string {
  const body = markup`
    <p>You get a code by mail, and choose a new password with it.</p>
    <form method="post" action="/lost">
      ${field('Name', 'name', 'autocomplete="username" autofocus')}
      <button class="main">Send me a code</button>
    </form>
    <p><a href="/login">Back to login</a></p>`
  return page('Lost password', body)
}

export function codePage(name: string, said: Said): string {
  const body = markup`
    <p>If there is an account <b>${name}</b>, a code is in its mail.</p>
    <form method="post" action="/reset">
      <input type="hidden" name="name" value="${name}">
      ${field('Code', 'code', 'inputmode="numeric" autocomplete="one-time-code" autofocus')}
      ${field('New password', 'password', `type="password" ${NEW}`)}
      <button class="main">Set password</button>
    </form>
    <p>This logs you out everywhere. <a href="/lost">Send another code</a></p>`
  return page('Choose a new password', body, said)
}

const NEW = 'autocomplete="new-password" minlength="8"'

export function sorryPage(): string {
  return page('Sorry', markup`<p>That did not work. Please <a href="/">try again</a> later.</p>`)
}

/** HTML. */
class Markup {
  constructor(readonly html: string) {}
}

/** What is filled in is escaped, unless it is markup itself. */
function markup(parts: TemplateStringsArray, ...values: unknown[]): Markup {
  const filled = values.map((value) => [value].flat().map(escaped).join(''))
  return new Markup(String.raw({ raw: parts }, ...filled))
}

function escaped(value: unknown): string {
  if (value instanceof Markup) return value.html
  return String(value).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

function field(label: string, name: string, attributes: string): Markup {
  return markup`
    <label for="${name}">${label}</label>
    <input id="${name}" name="${name}" required ${new Markup(attributes)}>`
}

function button(action: string, text: string, label = text, id = ''): Markup {
  return markup`
    <form method="post" action="${action}">
      <button name="id" value="${id}" aria-label="${label}">${text}</button>
    </form>`
}

function time(ms: number): Markup {
  const style = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })
  return markup`<time datetime="${new Date(ms).toISOString()}">${style.format(ms)}</time>`
}

function page(title: string, body: Markup, { error, notice }: Said = {}): string {
  const { html } = markup`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>${title}</title>
    <style>${STYLE}</style>
  </head>
  <body>
    <main>
      <h1>${title}</h1>
      ${error ? markup`<p class="said error" role="alert">${error}</p>` : ''}
      ${notice ? markup`<p class="said" role="status">${notice}</p>` : ''}
      ${body}
    </main>
  </body>
</html>`
  return html
}

const STYLE = new Markup(`
  :root { color-scheme: light dark; --blue: #2258c9; --line: light-dark(#d3d8e0, #434a57) }
  body { font: 1rem/1.5 system-ui, sans-serif }
  main { max-width: 36rem; margin: 3rem auto; padding: 0 1rem }
  h1 { font-size: 1.7rem }
  label, input { display: block; box-sizing: border-box; width: 100% }
  label { margin-top: 1rem; font-weight: 600 }
  input, button { font: inherit; padding: .4rem .8rem; border: 1px solid var(--line) }
  input, button, .said, ul { border-radius: .4rem }
  button { cursor: pointer; background: none; white-space: nowrap }
  .main { margin-top: 1.2rem; color: #fff; background: var(--blue); border-color: var(--blue) }
  ul { list-style: none; padding: 0; border: 1px solid var(--line) }
  li { display: flex; align-items: center; justify-content: space-between; gap: 1rem }
  li, .said { padding: .7rem 1rem }
  li + li { border-top: 1px solid var(--line) }
  small { display: block }
  mark { padding: 0 .4rem; border-radius: .4rem; white-space: nowrap }
  mark { color: #fff; background: var(--blue) }
  .said { border-left: .3rem solid var(--blue); background: light-dark(#e9effc, #1d2740) }
  .error { border-color: #b3261e; background: light-dark(#fdebe9, #3d1d1b) }
`)
