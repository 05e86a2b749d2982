// Most browsers claim to be those further down as well, and most phones to be computers.
const BROWSERS = { Firefox: 'Firefox', Edg: 'Edge', Chrome: 'Chrome', Safari: 'Safari' }
const SYSTEMS = {
  Android: 'Android',
  iPhone: 'iPhone',
  iPad: 'iPad',
  Windows: 'Windows',
  Mac: 'Mac',
  Linux: 'Linux'
}

/** What people call the browser that sends this User-Agent. */
export function browserOf(userAgent = ''): string {
  const find = (names: Record<string, string>): string =>
    Object.entries(names).find(([name]) => userAgent.includes(name))?.[1] ?? 'unknown'
  return `${find(BROWSERS)} on ${find(SYSTEMS)}`
}
