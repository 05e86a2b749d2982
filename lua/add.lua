--[[
  add -- issue a token: record, id index and owner set together, within the owner's limit.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  key             1..256 bytes, the secret or its digest
  ARGV[2]  id              UUID in lower case
  ARGV[3]  owner_id        1 byte or more
  ARGV[4]  attrs           JSON object, kept as it is
  Option   TTL ms          1..9999999999999, expires this long after issue
  Option   IDLE ms         1..9999999999999, expires this long after its last use
  Option   EVERY ms        1..IDLE, a use is written once it moves the expiry so far; else IDLE / 10
  Option   LIMIT n REJECT|EVICT  1..9999999999999, at most n live tokens of this owner

  Writes   <root>:key:<key>            the record, with its TTL; that of an evicted token: deleted
           <root>:id:<id>              the key, with the same TTL; that of an evicted token: deleted
           <root>:tokens:<owner_id>    id added, expired ids dropped; the TTL of its last to expire
  Returns  key, record, expires_at     Unix ms, 0 for never; as stored when key and id are; then
           the ids evicted             those to expire first, of those that never do the lowest
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSKEYTAKEN                  the key is in use, or the id has another key; nothing written
           TSLIMIT                     LIMIT n REJECT and n are live; nothing written
]]
local root, key, id, owner_id, attrs = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local function bad(text) return redis.error_reply('TSBADARG add: ' .. text) end
if #KEYS ~= 1 or not attrs then return bad('expected root key id owner_id attrs') end
if key == '' or #key > 256 then return bad('key must be 1 to 256 bytes') end
local uuid = '^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$'
if not id:find(uuid) or id:find('%u') then return bad('id must be a UUID in lower case') end
if owner_id == '' then return bad('owner_id must not be empty') end
if not attrs:find('^{.*}$') then return bad('attrs must be a JSON object') end
local option = { TTL = false, IDLE = false, EVERY = false, LIMIT = false }
local at, policy = 5, nil
while ARGV[at] do -- at most four options
  local word, n = ARGV[at], (ARGV[at + 1] or ''):match('^[1-9]%d*$')
  if option[word] ~= false then return bad('an option is unknown or repeated') end
  if not n or #n > 13 then return bad(word .. ' must be 1 to 9999999999999') end
  option[word], at = tonumber(n), at + 2
  if word == 'LIMIT' then policy, at = ARGV[at], at + 1 end
end
local ttl, idle, limit = option.TTL, option.IDLE, option.LIMIT
local every = option.EVERY or math.ceil((idle or 0) / 10)
if every > (idle or 0) then return bad('EVERY must not be longer than IDLE') end
local policies = limit and { REJECT = true, EVICT = true }
if limit and not policies[policy or ''] then return bad('LIMIT n needs REJECT or EVICT') end

local key_name, id_name = root .. ':key:' .. key, root .. ':id:' .. id
local owner_set = root .. ':tokens:' .. owner_id
-- With two that are no names of ours, so that this fails while a cluster moves the slot.
local taken = redis.call('EXISTS', key_name, id_name, root, root .. ':') > 0
local held, other = taken and redis.call('GET', key_name), taken and redis.call('GET', id_name)
if held and held:sub(1, 57) == '{"id":"' .. id .. '","owner_id":"' then
  return { key, held, math.max(0, redis.call('PEXPIRETIME', key_name)) }
end
if held or other and redis.call('EXISTS', root .. ':key:' .. other) > 0 then
  return redis.error_reply('TSKEYTAKEN add: the key is in use, or the id has another key')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local over = limit and redis.call('ZCOUNT', owner_set, now, '+inf') - limit + 1 or 0
if over > 0 and policy == 'REJECT' then return redis.error_reply('TSLIMIT add: limit reached') end
local evicted = over > 0
  and redis.call('ZRANGEBYSCORE', owner_set, now, '+inf', 'LIMIT', 0, over) or {}
local expires_at = now + math.min(ttl or math.huge, idle or math.huge)
local by_ttl = ttl and ('"ends_at":%.0f,'):format(now + ttl) or ''
local by_use = idle and ('"idle":%.0f,"every":%.0f,'):format(idle, every) or ''
local owner = '","owner_id":' .. cjson.encode(owner_id) .. ','
local record = '{"id":"' .. id .. owner .. by_ttl .. by_use .. '"attrs":' .. attrs .. '}'

redis.call('ZADD', owner_set, expires_at, id)
redis.call('ZREMRANGEBYSCORE', owner_set, '-inf', '(' .. now)
local reply = { key, record, expires_at < math.huge and expires_at or 0 }
for _, victim in ipairs(evicted) do -- by MGET: no error may follow a write
  local its_key = redis.call('MGET', root .. ':id:' .. victim)[1] or ''
  local its_record = redis.call('MGET', root .. ':key:' .. its_key)[1] or ''
  if its_record:sub(1, 43 + #owner) == '{"id":"' .. victim .. owner then
    redis.call('DEL', root .. ':key:' .. its_key, root .. ':id:' .. victim)
  end
  if victim ~= id then -- else it is listed still, but its record was evicted
    redis.call('ZREM', owner_set, victim)
    reply[#reply + 1] = victim
  end
end
local lasting = expires_at < math.huge and { 'PXAT', expires_at } or {}
redis.call('SET', key_name, record, unpack(lasting))
redis.call('SET', id_name, key, unpack(lasting))
local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2] or 'inf'
if last:find('%D') then redis.call('PERSIST', owner_set) end -- no time
if not last:find('%D') then redis.call('PEXPIREAT', owner_set, last) end
return reply
