--[[
  add -- issue a token: record, id index and owner set together, within the owner's limit.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  key             1..256 bytes, the secret or its digest
  ARGV[2]  id              UUID in lower case
  ARGV[3]  owner_id        1 byte or more
  ARGV[4]  attrs           JSON object, kept as it is
  Option   TTL ms          1..9999999999999, ends this long after issue
  Option   IDLE ms         1..9999999999999, ends this long after its last use
  Option   EVERY ms        1..IDLE, a use counts once it moves the end this far; a tenth of IDLE when absent
  Option   LIMIT n REJECT|EVICT  1..9999999999999, at most n live tokens of this owner

  Writes   <root>:key:<key>            the record, with the token's TTL
           <root>:id:<id>              the key, with the token's TTL
           <root>:tokens:<owner_id>    id added, ended ids dropped; the TTL of its last to end
           names of evicted tokens     deleted
  Returns  key, record, expires_at     expires_at in Unix ms, 0 for never; then
           the ids evicted             those that would end first, of never-ending ones the lowest ids
           the stored triple           same key and id again; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSKEYTAKEN                  the key belongs to another id, or the id to another key; nothing written
           TSLIMIT                     LIMIT n REJECT and n are live; nothing written
           TSRECORD                    a name holds something of another layout; nothing written
]]
local root, key, id, owner_id, attrs = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local function refuse(code, text) return redis.error_reply(code .. ' add: ' .. text) end
local function stray() return refuse('TSRECORD', 'a name holds something of another layout') end

if #KEYS ~= 1 or not attrs then return refuse('TSBADARG', 'expected root key id owner_id attrs') end
if key == '' or #key > 256 then return refuse('TSBADARG', 'key must be 1 to 256 bytes') end
local uuid = '^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$'
if not id:find(uuid) or id:find('%u') then return refuse('TSBADARG', 'id must be a UUID in lower case') end
if owner_id == '' then return refuse('TSBADARG', 'owner_id must not be empty') end
if not attrs:find('^{.*}$') then return refuse('TSBADARG', 'attrs must be a JSON object') end
local option, at = { TTL = false, IDLE = false, EVERY = false, LIMIT = false }, 5
while ARGV[at] do -- at most four options
  local word, n = ARGV[at], (ARGV[at + 1] or ''):match('^[1-9]%d*$')
  if option[word] ~= false then return refuse('TSBADARG', 'an option is unknown or repeated') end
  if not n or #n > 13 then return refuse('TSBADARG', word .. ' must be a whole number, 1 to 9999999999999') end
  option[word], at = tonumber(n), at + 2
  if word == 'LIMIT' then option.policy, at = ARGV[at], at + 1 end
end
local ttl, idle, every, limit, policy = option.TTL, option.IDLE, option.EVERY, option.LIMIT, option.policy
if every and every > (idle or 0) then return refuse('TSBADARG', 'EVERY must not be longer than IDLE') end
if limit and policy ~= 'REJECT' and policy ~= 'EVICT' then
  return refuse('TSBADARG', 'LIMIT n needs REJECT or EVICT')
end

local key_name, id_name, owner_set = root .. ':key:' .. key, root .. ':id:' .. id, root .. ':tokens:' .. owner_id
local function string_at(name) return redis.call('MGET', name)[1] end -- unlike GET no error on another type
local function head_of(record, of) -- all but attrs, which is never parsed; nil when it is not the record of that id
  local attrs_at = record and record:sub(-2) == '}}' and record:find(',"attrs":{', 57, true)
  if not attrs_at or record:sub(1, 57) ~= '{"id":"' .. of .. '","owner_id":"' then return nil end
  return cjson.decode(record:sub(1, attrs_at - 1) .. '}')
end
if redis.call('EXISTS', key_name, id_name, root) > 0 then -- with root: fails while a cluster moves the slot
  local function is_stray(name) -- neither a record nor the alias that rotate leaves for a grace
    local text = string_at(name)
    if not text then return redis.call('EXISTS', name) > 0 end
    local token = text:sub(1, 7) == '{"id":"' and text:sub(44, 57) == '","owner_id":"' and text:sub(-2) == '}}'
    return not (token and text:find(',"attrs":{', 57, true) or text:find('^{"id":"[%x-]+","grace":%d+}$'))
  end
  local held, other = string_at(key_name), string_at(id_name)
  local other_name = other and root .. ':key:' .. other
  if head_of(held, id) then return { key, held, head_of(held, id).expires_at or 0 } end
  if held and not is_stray(key_name) then return refuse('TSKEYTAKEN', 'the key belongs to another id') end
  if other and head_of(string_at(other_name), id) then return refuse('TSKEYTAKEN', 'the id belongs to another key') end
  if is_stray(key_name) or is_stray(other_name or id_name) then return stray() end -- else the id led nowhere
end
local kind = redis.call('TYPE', owner_set).ok
if kind ~= 'none' and kind ~= 'zset' then return stray() end

local time = redis.call('TIME')
local now, live = time[1] * 1000 + math.floor(time[2] / 1000), {}
if limit and redis.call('ZCOUNT', owner_set, now, '+inf') >= limit then -- a member without its record is not live
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', owner_set, now, '+inf')) do -- the owner's tokens
    local its_key = string_at(root .. ':id:' .. member)
    local head = its_key and head_of(string_at(root .. ':key:' .. its_key), member)
    if head and head.owner_id == owner_id then live[#live + 1] = { member, its_key, head.graced or {} } end
  end
  if policy == 'REJECT' and #live >= limit then return refuse('TSLIMIT', 'the owner has that many live tokens') end
end
local ends_at = ttl and now + ttl
local expires_at = idle and math.min(now + idle, ends_at or math.huge) or ends_at
local lifetime = expires_at and (',"expires_at":%.0f'):format(expires_at) or ''
if ends_at then lifetime = lifetime .. (',"ends_at":%.0f'):format(ends_at) end
if idle then lifetime = lifetime .. (',"idle":%.0f,"every":%.0f'):format(idle, every or math.ceil(idle / 10)) end
local record = '{"id":"' .. id .. '","owner_id":' .. cjson.encode(owner_id) .. lifetime .. ',"attrs":' .. attrs .. '}'

redis.call('ZADD', owner_set, expires_at or '+inf', id)
local reply = { key, record, expires_at or 0 }
for n = 1, limit and #live - limit + 1 or 0 do -- the tokens over the limit
  local member, its_key, graced = unpack(live[n])
  redis.call('DEL', root .. ':key:' .. its_key, root .. ':id:' .. member)
  for old in pairs(graced) do -- the name of a key long rotated out may be another token's by now
    local name, alias = root .. ':key:' .. old, '{"id":"' .. member .. '","grace":'
    if (string_at(name) or ''):sub(1, #alias) == alias then redis.call('DEL', name) end
  end
  redis.call('ZREM', owner_set, member)
  reply[#reply + 1] = member
end
redis.call('ZREMRANGEBYSCORE', owner_set, '-inf', '(' .. now)
if expires_at then
  redis.call('SET', key_name, record, 'PXAT', expires_at)
  redis.call('SET', id_name, key, 'PXAT', expires_at)
  local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2]
  if last ~= 'inf' then redis.call('PEXPIREAT', owner_set, last) end -- with inf it has no TTL already
else
  redis.call('SET', key_name, record)
  redis.call('SET', id_name, key)
  redis.call('PERSIST', owner_set)
end
return reply
