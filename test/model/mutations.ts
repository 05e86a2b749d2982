import type { Invariant } from './invariants'

/** A fault put into a script on purpose, and what finds it. */
export interface Mutation {
  what: string
  script: string
  /** Once in the script. */
  text: string
  replacement: string
  space: string
  invariant: Invariant
}

export const mutations: Mutation[] = [
  {
    what: 'an ended token stays in its owner set',
    script: 'del',
    text: "redis.call('ZREM', owner_set, id)",
    replacement: '',
    space: 'owners',
    invariant: 'leftovers'
  },
  {
    what: 'a new key makes an id live for ever',
    script: 'rotate',
    text: "newkey, 'KEEPTTL')",
    replacement: 'newkey)',
    space: 'rotate',
    invariant: 'ends'
  },
  {
    what: 'new attrs make a record live for ever',
    script: 'set',
    text: "record, 'KEEPTTL')",
    replacement: 'record)',
    space: 'life',
    invariant: 'ends'
  },
  {
    what: 'an owner set ends though one of its tokens does not',
    script: 'add',
    text: "redis.call('PERSIST', owner_set)",
    replacement: '',
    space: 'limit',
    invariant: 'ends'
  },
  {
    what: 'one token more than the limit',
    script: 'add',
    text: '- limit + 1 or 0',
    replacement: '- limit or 0',
    space: 'limit',
    invariant: 'reply'
  },
  {
    what: 'a limit counts tokens that have ended',
    script: 'add',
    text: "redis.call('ZCOUNT', owner_set, now,",
    replacement: "redis.call('ZCOUNT', owner_set, '-inf',",
    space: 'limit',
    invariant: 'reply'
  },
  {
    what: 'ids whose time is over are never dropped',
    script: 'add',
    text: "redis.call('ZREMRANGEBYSCORE', owner_set, '-inf', '(' .. now)",
    replacement: '',
    space: 'limit',
    invariant: 'reply'
  },
  {
    what: 'the limit makes way by those that end last',
    script: 'add',
    text: "redis.call('ZRANGEBYSCORE', owner_set, now, '+inf', 'LIMIT', 0, over)",
    replacement: "redis.call('ZRANGE', owner_set, 0, over - 1, 'REV')",
    space: 'limit',
    invariant: 'reply'
  },
  {
    what: 'a use moves the end past ends_at',
    script: 'getkey',
    text: 'math.min(now + token.idle, token.ends_at or math.huge)',
    replacement: 'now + token.idle',
    space: 'life',
    invariant: 'reply'
  },
  {
    what: 'a use before EVERY moves the end',
    script: 'getkey',
    text: '>= token.every',
    replacement: '> 0',
    space: 'life',
    invariant: 'reply'
  },
  {
    what: 'a key opens a token that its owner set does not list',
    script: 'getkey',
    text: "tonumber(redis.pcall('ZSCORE', owner_set, token.id))",
    replacement: 'true',
    space: 'clock',
    invariant: 'reach'
  },
  {
    what: 'a key opens a token to which its id does not lead',
    script: 'getkey',
    text: 'led[n] == token.key and',
    replacement: '',
    space: 'clock',
    invariant: 'reach'
  },
  {
    what: 'an end is read after the use, which in the ms of the end deletes it',
    script: 'getkey',
    text: 'ends_of[name] or 0\n',
    replacement: "math.max(0, redis.call('PEXPIRETIME', name))\n",
    space: 'life',
    invariant: 'reply'
  },
  {
    what: 'a rotated key opens for ever',
    script: 'rotate',
    text: ", 'PXAT', till)",
    replacement: ')',
    space: 'rotate',
    invariant: 'ends'
  },
  {
    what: 'a new key may be the old key of another token, within its grace',
    script: 'rotate',
    text: "redis.call('EXISTS', new_name) > 0",
    replacement: "(redis.call('GET', new_name) or ''):sub(1, 1) == '{'",
    space: 'rotate',
    invariant: 'reply'
  },
  {
    what: 'a key within its grace passes for the one that is expected',
    script: 'rotate',
    text: 'if expected and key ~= expected then',
    replacement:
      "local old = expected and redis.call('GET', root .. ':key:' .. expected) or ''\n" +
      'if expected and key ~= expected and old:sub(1, 36) ~= id then',
    space: 'rotate',
    invariant: 'reply'
  },
  {
    what: 'a new key is given whatever the expected one was',
    script: 'rotate',
    text: 'if expected and key ~= expected then',
    replacement: 'if false then',
    space: 'rotate',
    invariant: 'reply'
  },
  {
    what: 'a rotated key ends no token',
    script: 'delkey',
    text: "record:match('^([%x-]+) (%d+)$')",
    replacement: 'nil',
    space: 'rotate',
    invariant: 'reply'
  },
  {
    what: 'the token that is to stay goes too',
    script: 'delowner',
    text: 'own and id == except',
    replacement: 'false',
    space: 'owners',
    invariant: 'reply'
  },
  {
    what: 'those that would end first go first',
    script: 'delowner',
    text: "kept + page - 1, 'REV')",
    replacement: 'kept + page - 1)',
    space: 'pages',
    invariant: 'reply'
  },
  {
    what: 'a cursor skips ids of the same end',
    script: 'list',
    text: 'bound = behind and middle or bound',
    replacement: 'first = bound',
    space: 'pages',
    invariant: 'reply'
  },
  {
    what: 'a hash can be taken twice',
    script: 'takehash',
    text: "'GETDEL'",
    replacement: "'GET'",
    space: 'hashes',
    invariant: 'names'
  },
  {
    what: 'a hash that was replaced goes on',
    script: 'makehash',
    text: 'older and older ~= hash',
    replacement: 'false',
    space: 'hashes',
    invariant: 'names'
  },
  {
    what: 'the newest hash of a name is known for ever',
    script: 'makehash',
    text: "latest, hash, 'PXAT', till)",
    replacement: 'latest, hash)',
    space: 'hashes',
    invariant: 'ends'
  },
  {
    what: 'an id answers with whatever record its key holds by now',
    script: 'get',
    text: 'of or record:sub(8, 43)',
    replacement: 'record:sub(8, 43)',
    space: 'evictions',
    invariant: 'another'
  },
  {
    what: 'an id ends whatever token its key opens by now',
    script: 'del',
    text: 'of or record:sub(8, 43)',
    replacement: 'record:sub(8, 43)',
    space: 'evictions',
    invariant: 'another'
  },
  {
    what: 'an owner ends tokens of another, to whom the id was issued since',
    script: 'delowner',
    text: 'record:sub(1, 43 + #owner) == \'{"id":"\' .. id .. owner',
    replacement: 'record:sub(1, 43) == \'{"id":"\' .. id',
    space: 'evictions',
    invariant: 'another'
  },
  {
    what: 'a use moves the end of an id that was issued to another since',
    script: 'getkey',
    text: 'led[n] == token.key and',
    replacement: '',
    space: 'evictions',
    invariant: 'another'
  },
  {
    what: 'a nil where Redis evicted the record',
    script: 'set',
    text: 'if not record then return nil end',
    replacement: 'if not key then return nil end',
    space: 'evictions',
    invariant: 'error'
  },
  {
    what: 'an error after a write',
    script: 'add',
    text: "redis.call('ZADD', owner_set, expires_at, id)",
    replacement: "redis.call('SET', id_name, key)\nredis.call('ZADD', owner_set, expires_at, id)",
    space: 'foreign',
    invariant: 'silence'
  },
  {
    what: 'the id stays in the owner set that it left',
    script: 'change',
    text: "if new_set ~= old_set then redis.call('ZREM', old_set, id) end",
    replacement: '',
    space: 'change',
    invariant: 'listed'
  },
  {
    what: 'the owner set that it left keeps its TTL',
    script: 'change',
    text: 'ipairs({ old_set, new_set })',
    replacement: 'ipairs({ new_set })',
    space: 'change',
    invariant: 'ends'
  },
  {
    what: 'under a limit its own entry counts twice',
    script: 'change',
    text: ' - (listed and 1 or 0)',
    replacement: '',
    space: 'change',
    invariant: 'reply'
  },
  {
    what: 'a limit evicts the token that is changed',
    script: 'change',
    text: 'if victim ~= id and',
    replacement: 'if',
    space: 'limit',
    invariant: 'reply'
  },
  {
    what: 'a new lifetime by use reaches past ends_at',
    script: 'change',
    text: 'math.min(ends_at, now + lives)',
    replacement: 'now + lives',
    space: 'change',
    invariant: 'reply'
  },
  {
    what: 'a token comes back in the ms of its end',
    script: 'change',
    text: 'token.ends_at or math.huge) <= now then',
    replacement: 'token.ends_at or math.huge) < now then',
    space: 'change',
    invariant: 'reply'
  },
  {
    what: 'a score with a fraction, as others may write it, is an error',
    script: 'change',
    text: "math.floor(tonumber(redis.call('ZSCORE', old_set, id) or 0))",
    replacement: "tonumber(redis.call('ZSCORE', old_set, id) or 0)",
    space: 'foreign',
    invariant: 'error'
  },
  {
    what: 'an answer that got lost passes for reuse',
    script: 'refresh',
    text: 'till and now > tonumber(till)',
    replacement: 'till',
    space: 'refresh',
    invariant: 'reply'
  },
  {
    what: 'a key past its grace rotates again',
    script: 'refresh',
    text: 'till and now > tonumber(till)',
    replacement: 'false',
    space: 'refresh',
    invariant: 'reply'
  },
  {
    what: "reuse leaves the token's own key",
    script: 'refresh',
    text: "':key:' .. given, key_name, id_name)",
    replacement: "':key:' .. given, id_name)",
    space: 'refresh',
    invariant: 'names'
  },
  {
    what: 'the same call again finds its own new key in use',
    script: 'refresh',
    text: 'if key == newkey then',
    replacement: 'if false then',
    space: 'refresh',
    invariant: 'reply'
  },
  {
    what: 'reuse is watched for past ends_at',
    script: 'refresh',
    text: 'math.min(now + detect, ends_at)',
    replacement: 'now + detect',
    space: 'refresh',
    invariant: 'ends'
  },
  {
    what: 'a use leaves the id as it was',
    script: 'refresh',
    text: "redis.call('PEXPIREAT', id_name, ends)",
    replacement: '',
    space: 'refresh',
    invariant: 'ends'
  },
  {
    what: 'a key takes over an id that was issued to another since',
    script: 'refresh',
    text: "redis.call('GET', id_name) ~= key or ",
    replacement: '',
    space: 'evictions',
    invariant: 'another'
  },
  {
    what: 'a new code refills the tries',
    script: 'makecode',
    text: 'tonumber(left or tries)',
    replacement: 'tonumber(tries)',
    space: 'codes',
    invariant: 'names'
  },
  {
    what: 'a new code is left to the window of the one before',
    script: 'makecode',
    text: "redis.call('PEXPIREAT', code_name, now + ttl_ms)",
    replacement: "if not made then redis.call('PEXPIREAT', code_name, now + ttl_ms) end",
    space: 'codes',
    invariant: 'ends'
  },
  {
    what: 'a new code comes too soon',
    script: 'makecode',
    text: 'every and made and now <',
    replacement: 'false and now <',
    space: 'codes',
    invariant: 'reply'
  },
  {
    what: 'a code can be used twice',
    script: 'trycode',
    text: "redis.call('HDEL', code_name, 'digest', 'value')",
    replacement: '',
    space: 'codes',
    invariant: 'names'
  },
  {
    what: 'a wrong code costs no try',
    script: 'trycode',
    text: "redis.call('HSET', code_name, 'left', left)",
    replacement: '',
    space: 'codes',
    invariant: 'names'
  },
  {
    what: 'a right code gives all tries back',
    script: 'trycode',
    text: "redis.call('HSET', code_name, 'left', left + 1)",
    replacement: "redis.call('DEL', code_name)",
    space: 'codes',
    invariant: 'names'
  },
  {
    what: 'the last wrong code ends the window too',
    script: 'trycode',
    text: "'HDEL', code_name, 'digest', 'value'",
    replacement: "'DEL', code_name",
    space: 'codes',
    invariant: 'names'
  },
  {
    what: "an owner's hashes stay",
    script: 'delowner',
    text: "redis.call('DEL', root .. ':hash:' .. hash)",
    replacement: '',
    space: 'hashes',
    invariant: 'names'
  },
  {
    what: 'the hashes of an owner are listed for ever',
    script: 'makehash',
    text: "if not last:find('%D') then redis.call('PEXPIREAT', owner_set, last) end",
    replacement: '',
    space: 'hashes',
    invariant: 'ends'
  },
  {
    what: 'a hash that was replaced is listed still',
    script: 'makehash',
    text: "if older then redis.call('ZREM', owner_set, older) end",
    replacement: '',
    space: 'hashes',
    invariant: 'names'
  },
  {
    what: 'a key opens past its grace while reuse is watched for',
    script: 'getkey',
    text: "now <= tonumber(till) and redis.call('GET'",
    replacement: "redis.call('GET'",
    space: 'refresh',
    invariant: 'reply'
  },
  {
    what: 'a key past its grace ends the token',
    script: 'delkey',
    text: 'if till and now > tonumber(till) then',
    replacement: 'if false then',
    space: 'refresh',
    invariant: 'reply'
  },
  {
    what: 'an error after a write',
    script: 'makehash',
    text: "if owner_id then redis.call('ZCARD', owner_set) end",
    replacement: '',
    space: 'torn',
    invariant: 'silence'
  }
]

/** The scripts with a fault in one of them. */
export function mutated(
  scripts: ReadonlyMap<string, string>,
  { script, text, replacement }: Mutation
): Map<string, string> {
  const parts = scripts.get(script)!.split(text)
  if (parts.length !== 2) throw new Error(`${script} has ${parts.length - 1} times: ${text}`)
  return new Map(scripts).set(script, parts.join(replacement))
}
