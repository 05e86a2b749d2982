--[[
  change -- give a live token another owner, lifetime or attrs, in one step.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  id              1 byte or more; then one option at least
  Option   OWNER owner_id  1 byte or more, whose token it is from now on
  Option   LIMIT n REJECT|EVICT  1..9999999999999, with OWNER: at most n live tokens of that owner
  Option   TTL ms|NEVER    1..9999999999999, expires this long from now
  Option   IDLE ms|NEVER   1..9999999999999, expires this long after its last use
  Option   EVERY ms        1..IDLE, a use is written once it moves the expiry so far; else IDLE / 10
  Option   ATTRS attrs     JSON object, kept as it is
  Option   IF attrs        only if the stored text is this, byte for byte

  Writes   <root>:key:<key>            the record, with its TTL; that of an evicted token: deleted
           <root>:id:<id>              the same TTL; that of an evicted token: deleted
           <root>:tokens:<owner_id>    id added or removed; the TTL of its last to expire
  Returns  key, record, expires_at     after the write; Unix ms, 0 for never; then
           the ids evicted             those to expire first, of those that never do the lowest
           nil                         unknown, revoked or expired; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSLIMIT                     LIMIT n REJECT and n others are live; nothing written
           TSCONFLICT                  the stored attrs are not those of IF; nothing written
           TSRECORD                    a foreign record; nothing written
]]
local root, id = KEYS[1], ARGV[1]
local function bad(text) return redis.error_reply('TSBADARG change: ' .. text) end
if #KEYS ~= 1 or not ARGV[2] or id == '' then return bad('expected root id and an option') end
local option = { OWNER = false, LIMIT = false, TTL = false, IDLE = false }
option.EVERY, option.ATTRS, option.IF = false, false, false
local next_word, policy = 2, nil
while ARGV[next_word] do -- at most seven options
  local word, value = ARGV[next_word], ARGV[next_word + 1]
  if not value or option[word] ~= false then
    return bad('an option is unknown, repeated or without its value')
  end
  option[word], next_word = value, next_word + 2
  if word == 'LIMIT' then policy, next_word = ARGV[next_word], next_word + 1 end
end
for word, never in pairs({ TTL = 'NEVER', IDLE = 'NEVER', EVERY = false, LIMIT = false }) do
  local value = option[word]
  local n = value and value ~= never and value:match('^[1-9]%d*$')
  if n == nil or n and #n > 13 then return bad(word .. ' must be 1 to 9999999999999') end
  option[word] = value and (tonumber(n) or math.huge)
end
local ttl, idle, every, limit = option.TTL, option.IDLE, option.EVERY, option.LIMIT
local new_owner, attrs, expected = option.OWNER, option.ATTRS, option.IF
if every and (idle == math.huge or every > (idle or 0)) then
  return bad('EVERY must not be longer than IDLE')
end
if new_owner == '' then return bad('OWNER must not be empty') end
local policies = new_owner and { REJECT = true, EVICT = true } or {}
if limit and not policies[policy or ''] then
  return bad('LIMIT n needs OWNER, and REJECT or EVICT')
end
if attrs and not attrs:find('^{.*}$') then return bad('ATTRS must be a JSON object') end
-- The token of a record and where its attrs begin; nil for what is no record of that id.
local function token_of(record, of)
  local at = record:find(',"attrs":{', 57, true) or 0
  local owner_id = record:match('^"([^%c"/\\]+)"', 57)
  if not owner_id then -- it has escapes
    local read, head = pcall(cjson.decode, record:sub(1, at - 1) .. '}')
    owner_id = read and type(head.owner_id) == 'string' and head.owner_id or ''
  end
  local token = { id = of or record:sub(8, 43), owner_id = owner_id }
  local begin = '{"id":"' .. token.id .. '","owner_id":' .. cjson.encode(owner_id)
  local from = owner_id ~= '' and record:sub(1, #begin) == begin and #begin + 1
  while from and from < at do
    local name, n, behind = record:match('^,"([%l_]+)":(%d+)()', from)
    from = name and not token[name] and behind
    if from then token[name] = tonumber(n) end
  end
  return from == at and record:sub(-2) == '}}' and token, at
end

-- No names of ours, so that this fails while a cluster moves the slot.
redis.call('EXISTS', root, root .. ':')
local key = redis.call('GET', root .. ':id:' .. id)
local key_name = root .. ':key:' .. (key or '')
local record = key and redis.call('GET', key_name)
if not record then return nil end
local token, attrs_at = token_of(record, id)
if not token then return redis.error_reply('TSRECORD change: a foreign record') end
local owner_id = new_owner or token.owner_id
local old_set, new_set = root .. ':tokens:' .. token.owner_id, root .. ':tokens:' .. owner_id
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expires_at = math.floor(tonumber(redis.call('ZSCORE', old_set, id) or 0))
if math.min(expires_at, token.ends_at or math.huge) <= now then return nil end
local stored = record:sub(attrs_at + #',"attrs":', -2)
if expected and stored ~= expected then
  return redis.error_reply('TSCONFLICT change: the stored attrs are not those of IF')
end
local listed = tonumber(redis.call('ZSCORE', new_set, id) or 0) >= now
local others = redis.call('ZCOUNT', new_set, now, '+inf') - (listed and 1 or 0)
local over = limit and math.max(0, others + 1 - limit) or 0
if over > 0 and policy == 'REJECT' then
  return redis.error_reply('TSLIMIT change: limit reached')
end
-- One more than are too many, for this token may be among them.
local first = redis.call('ZRANGEBYSCORE', new_set, now, '+inf', 'LIMIT', 0, over + 1)

local ends_at = ttl and now + ttl or token.ends_at or math.huge
every = idle and (every or math.ceil(idle / 10)) or token.every or token.idle
local lives = idle or token.idle or math.huge
if ttl or idle then expires_at = math.min(ends_at, now + lives) end
local by_ttl = ends_at < math.huge and ('"ends_at":%.0f,'):format(ends_at) or ''
local by_use = lives < math.huge and ('"idle":%.0f,"every":%.0f,'):format(lives, every) or ''
local later = record:sub(22 + #id + #cjson.encode(token.owner_id), attrs_at)
later = later:gsub('"([%l_]+)":%d+,', { ends_at = '', idle = '', every = '' })
local owner = '","owner_id":' .. cjson.encode(owner_id) .. ','
attrs = '"attrs":' .. (attrs or stored) .. '}'
record = '{"id":"' .. id .. owner .. by_ttl .. by_use .. later .. attrs

redis.call('ZADD', new_set, expires_at, id)
redis.call('ZREMRANGEBYSCORE', new_set, '-inf', '(' .. now)
if new_set ~= old_set then redis.call('ZREM', old_set, id) end
local lasting = expires_at < 1e15 and { 'PXAT', expires_at } or {}
local reply = { key, record, lasting[2] or 0 }
for _, victim in ipairs(first) do -- by MGET: no error may follow a write
  if victim ~= id and #reply < 3 + over then
    local its_key = redis.call('MGET', root .. ':id:' .. victim)[1] or ''
    local its_record = redis.call('MGET', root .. ':key:' .. its_key)[1] or ''
    if its_record:sub(1, 43 + #owner) == '{"id":"' .. victim .. owner then
      redis.call('DEL', root .. ':key:' .. its_key, root .. ':id:' .. victim)
    end
    redis.call('ZREM', new_set, victim)
    reply[#reply + 1] = victim
  end
end
redis.call('SET', key_name, record, unpack(lasting))
redis.call('SET', root .. ':id:' .. id, key, unpack(lasting))
for _, owner_set in ipairs({ old_set, new_set }) do
  local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2] or 'inf'
  if last:find('%D') then redis.call('PERSIST', owner_set) end -- no time
  if not last:find('%D') then redis.call('PEXPIREAT', owner_set, last) end
end
return reply
