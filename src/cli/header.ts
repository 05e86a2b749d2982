/** What a script says of itself in the comment it begins with. */
export interface Header {
  name: string
  summary: string
  /** Those of ARGV[1], ARGV[2], ... as the header calls them, without the options. */
  args: string[]
  /** Whether the last of them stands for any number. */
  open: boolean
  /** The optional arguments, each beginning with its word, e.g. LIMIT n REJECT|EVICT. */
  options: string[]
  /**
   * What is written, returned and refused, as it stands in the header: the thing, then what
   * is to be said of it.
   */
  writes: Row[]
  returns: Row[]
  errors: Row[]
  /** What follows the comment. */
  body: string
}

export type Row = [thing: string, text: string]

/** Takes a script apart; throws when its header has another shape than all have. */
export function parseHeader(lua: string): Header {
  const fail = (text = ''): never => {
    throw new Error(`not the shape of a header: ${JSON.stringify(text.slice(0, 80))}`)
  }
  const [, comment = '', body = ''] = /^--\[\[\n(.*?)\n\]\]\n(.*)$/s.exec(lua) ?? fail(lua)
  const [title = '', params = '', sections = '', ...notes] = comment.split('\n\n')
  const [, name = '', summary = ''] = /^ {2}(\w+) -- (.+)\.$/.exec(title) ?? fail(title)
  const header: Header = {
    name,
    summary,
    args: [],
    open: false,
    options: [],
    writes: [],
    returns: [],
    errors: [],
    body
  }

  const [keys = '', ...rest] = params.split('\n')
  if (!/^ {2}KEYS\[1\] {2,3}root {2,}e\.g\. token, or token:\{k3F\}$/.test(keys)) fail(keys)
  for (const line of rest) {
    const [, n, open, arg] = /^ {2}ARGV\[(\d)(\.\.)?\] {1,3}(\S+(?: \S+)*) {2,}\S/.exec(line) ?? []
    const [, option] = /^ {2}Option {3}([A-Z]+(?: \S+)*) {2,}\S/.exec(line) ?? []
    if (option) header.options.push(option)
    else if (
      !arg ||
      Number(n) !== header.args.length + 1 ||
      header.options.length > 0 ||
      header.open
    )
      fail(line)
    else header.args.push(arg)
    if (open) header.open = true
  }

  const order: [string, Row[]][] = [
    ['Writes', header.writes],
    ['Returns', header.returns],
    ['Errors', header.errors]
  ]
  let rows: Row[] | undefined
  for (const line of sections.split('\n')) {
    const [, label, text = ''] = /^ {2}(\w+|) +(\S.*)$/.exec(line) ?? fail(line)
    if (line.length - text.length < 11 || line.length > 100) fail(line)
    if (label || !rows) {
      const [wanted, next] = order.shift() ?? fail(line)
      if (label !== wanted) fail(line)
      rows = next
    }
    const [thing = '', said = ''] = text.split(/ {2,}(.*)/)
    if (rows === header.errors && !(/^TS[A-Z]+$/.test(thing) && said)) fail(line)
    rows?.push([thing, said])
  }
  if (order.length > 0) fail(sections)
  for (const line of notes.join('\n').split('\n')) if (line && !/^ {2}\S/.test(line)) fail(line)
  return header
}

/** The arguments that follow the root, in one line. */
export function usage({ args, options }: Header): string {
  return [...args, ...options.map((option) => `[${option}]`)].join(' ')
}
