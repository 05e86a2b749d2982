--[[
  refresh -- rotate by the key that the client presents; one used up before revokes the token.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  key             1 byte or more, the token's, or one within its grace
  ARGV[2]  newkey          1..256 bytes
  Option   GRACE ms        1..9999999999999, how long the key goes on opening the token
  Option   DETECT ms       longer than GRACE: how long to present it again, past that, is reuse

  Writes   <root>:id:<id>              the new key; with IDLE its TTL; on reuse deleted
           <root>:key:<newkey>         the record, from the old name; with IDLE its TTL
           <root>:key:<oldkey>         gone; with an option the id and when its grace is over
           <root>:key:<key>            on reuse deleted, as the token's own
           <root>:tokens:<owner_id>    with IDLE the score of the id; on reuse id removed; the TTL
                                       of its last to expire
  Returns  newkey, record, expires_at  a use of the token; expires_at in Unix ms, 0 for never
           the stored triple           newkey is the token's key already; nothing written
           id, owner_id                reuse: the token has been revoked
           nil                         unknown, revoked or expired; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSKEYTAKEN                  newkey is in use, or was before; nothing written
           TSRECORD                    a foreign record; nothing written
]]
local root, given, newkey = KEYS[1], ARGV[1], ARGV[2]
local function bad(text) return redis.error_reply('TSBADARG refresh: ' .. text) end
if #KEYS ~= 1 or not newkey or given == '' then return bad('expected root key newkey') end
if newkey == '' or #newkey > 256 then return bad('newkey must be 1 to 256 bytes') end
local option = { GRACE = false, DETECT = false }
for i = 3, #ARGV, 2 do -- at most two options
  local word, n = ARGV[i], (ARGV[i + 1] or ''):match('^[1-9]%d*$')
  if option[word] ~= false then return bad('an option is unknown or repeated') end
  if not n or #n > 13 then return bad(word .. ' must be 1 to 9999999999999') end
  option[word] = tonumber(n)
end
local grace, detect = option.GRACE, option.DETECT
if detect and detect <= (grace or 0) then return bad('DETECT must be longer than GRACE') end
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
local key, record = given, redis.call('GET', root .. ':key:' .. given)
local id, till
if record and #record < 57 then id, till = record:match('^([%x-]+) (%d+)$') end -- rotated out
if id then
  key = redis.call('GET', root .. ':id:' .. id)
  record = key and redis.call('GET', root .. ':key:' .. key)
end
if not record then return nil end
local token = token_of(record, id)
if not token then return redis.error_reply('TSRECORD refresh: a foreign record') end
local key_name, id_name = root .. ':key:' .. key, root .. ':id:' .. token.id
local owner_set, new_name = root .. ':tokens:' .. token.owner_id, root .. ':key:' .. newkey
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expires_at = tonumber(redis.call('ZSCORE', owner_set, token.id) or 0)
local ends_at = token.ends_at or math.huge
if redis.call('GET', id_name) ~= key or math.min(expires_at, ends_at) <= now then return nil end
if key == newkey then return { key, record, expires_at < 1e15 and expires_at or 0 } end
local reuse = till and now > tonumber(till)
if not reuse and redis.call('EXISTS', new_name) > 0 then
  return redis.error_reply('TSKEYTAKEN refresh: newkey is in use')
end

if reuse then
  redis.call('ZREM', owner_set, token.id)
  redis.call('DEL', root .. ':key:' .. given, key_name, id_name)
else
  redis.call('SET', id_name, newkey, 'KEEPTTL')
  redis.call('RENAME', key_name, new_name)
  local marked = token.id .. (' %.0f'):format(grace and now + grace or 0)
  local known = detect and math.min(now + detect, ends_at) or now + (grace or 0)
  if grace or detect then redis.call('SET', key_name, marked, 'PXAT', known) end
  local ends = math.min(now + (token.idle or math.huge), ends_at)
  if expires_at < ends and ends < 1e15 then
    redis.call('ZADD', owner_set, ends, token.id)
    redis.call('PEXPIREAT', new_name, ends)
    redis.call('PEXPIREAT', id_name, ends)
    expires_at = ends
  end
end
local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2] or 'inf'
if last:find('%D') then redis.call('PERSIST', owner_set) end -- no time
if not last:find('%D') then redis.call('PEXPIREAT', owner_set, last) end
if reuse then return { token.id, token.owner_id } end
return { newkey, record, expires_at < 1e15 and expires_at or 0 }
