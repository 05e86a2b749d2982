export interface Header {
  name: string
  summary: string
  /** Those of ARGV[1], ARGV[2], ... as the header calls them. */
  args: string[]
  /** Whether the last of them stands for any number. */
  open: boolean
  /** The words of each option, e.g. LIMIT, n, REJECT|EVICT. */
  options: string[][]
  writes: string[]
  returns: string[]
  errors: { code: string; text: string }[]
  body: string
}

/** Takes a script apart; throws when its header has another shape than all have. */
export function parseHeader(lua: string): Header {
  const fail = (line: string): never => {
    throw new Error(`not the shape of a header: ${JSON.stringify(line)}`)
  }
  const [, comment, body] = /^--\[\[\n(.*?)\n\]\]\n(.*)$/s.exec(lua) ?? fail(lua.slice(0, 80))
  const [title, params, sections, ...notes] = comment!.split('\n\n')
  const [, name, summary] = /^ {2}(\w+) -- (.+)\.$/.exec(title!) ?? fail(title!)
  const header: Header = { name: name!, summary: summary!, args: [], open: false, options: [], ...EMPTY(), body: body! }

  const [keys, ...rest] = params!.split('\n')
  if (!/^ {2}KEYS\[1\] {2,3}root {2,}e\.g\. token, or token:\{k3F\}$/.test(keys!)) fail(keys!)
  for (const line of rest) {
    const [, n, open, arg] = /^ {2}ARGV\[(\d)(\.\.)?\] {1,3}(\S+(?: \S+)*) {2,}\S/.exec(line) ?? []
    const [, option] = /^ {2}Option {3}([A-Z]+(?: \S+)*) {2,}\S/.exec(line) ?? []
    if (option) header.options.push(option.split(' '))
    else if (Number(n) !== header.args.length + 1 || header.options.length > 0 || header.open) fail(line)
    else header.args.push(arg!)
    if (open) header.open = true
  }

  const order = ['Writes', 'Returns', 'Errors']
  let section: string | undefined
  for (const line of sections!.split('\n')) {
    const [, label, text] = /^ {2}(\w+|) +(\S.*)$/.exec(line) ?? fail(line)
    if (line.length - text!.length < 11 || line.length > 120) fail(line)
    if (label && label !== order.shift()) fail(line)
    section = label || section
    if (section === 'Writes') header.writes.push(text!)
    else if (section === 'Returns') header.returns.push(text!)
    else {
      const [, code, when] = /^(TS[A-Z]+) {2,}(\S.*)$/.exec(text!) ?? fail(line)
      header.errors.push({ code: code!, text: when! })
    }
  }
  if (order.length > 0) fail(sections!)
  for (const line of notes.join('\n').split('\n')) if (line && !/^ {2}\S/.test(line)) fail(line)
  return header
}

const EMPTY = (): Pick<Header, 'writes' | 'returns' | 'errors'> => ({ writes: [], returns: [], errors: [] })
