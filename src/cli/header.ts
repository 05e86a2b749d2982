/** What a script says of itself in the comment it begins with. */
export interface Header {
  name: string
  summary: string
  /** ARGV in order, without the options. */
  args: string[]
  /** The optional arguments, each beginning with its word. */
  options: string[]
  /** What is written, returned and refused, as it stands in the header: the thing, then what is to be said of it. */
  writes: Row[]
  returns: Row[]
  errors: Row[]
}

export type Row = [thing: string, text: string]

export function parseHeader(lua: string): Header {
  const lines = lua.slice(0, lua.indexOf('\n]]')).split('\n')
  const [, name = '', summary = ''] = /^ {2}(\w+) -- (.*)\.$/.exec(lines[1] ?? '') ?? []
  const header: Header = { name, summary, args: [], options: [], writes: [], returns: [], errors: [] }
  const rows: Record<string, Row[]> = { Writes: header.writes, Returns: header.returns, Errors: header.errors }
  let section = ''
  for (const line of lines.slice(2)) {
    const [, label, text] = /^ {2}(KEYS\[1\]|ARGV\[[\d.]+\]|[A-Z][a-z]+ (?= )| {9})\s*(.*)$/.exec(line) ?? []
    if (label === undefined || !text) {
      section = ''
      continue
    }
    section = label.trim() || section
    const [thing = '', said = ''] = text.split(/ {2,}(.*)/)
    if (section.startsWith('ARGV')) header.args.push(thing)
    else if (section === 'Option') header.options.push(thing)
    else rows[section]?.push([thing, said])
  }
  return header
}

/** The arguments that follow the root, in one line. */
export function usage({ args, options }: Header): string {
  return [...args, ...options.map((option) => `[${option}]`)].join(' ')
}
