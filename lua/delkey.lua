--[[
  delkey -- revoke the token that a key opens, whichever of its keys that is.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  key             1 byte or more; one within its grace revokes its token too

  Writes   <root>:tokens:<owner_id>    id removed; the TTL of its last to expire
           <root>:key:<key>            deleted, this key's and the current one's
           <root>:id:<id>              deleted
  Returns  1                           revoked
           0                           unknown, past its grace, revoked before or expired
  Errors   TSBADARG                    an argument is missing, empty or too many; nothing written
           TSRECORD                    a foreign record; nothing written
]]
local root, given = KEYS[1], ARGV[1]
if #KEYS ~= 1 or #ARGV ~= 1 or given == '' then
  return redis.error_reply('TSBADARG delkey: expected root key')
end
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
local key, given_name = given, root .. ':key:' .. given
local record = redis.call('GET', given_name)
local id, till
if record and #record < 57 then id, till = record:match('^([%x-]+) (%d+)$') end -- rotated out
if id then
  key = redis.call('GET', root .. ':id:' .. id)
  record = key and redis.call('GET', root .. ':key:' .. key)
end
if not record then
  redis.call('DEL', given_name) -- of a token that is gone
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if till and now > tonumber(till) then return 0 end -- refresh alone still knows it
local token = token_of(record, id)
if not token then return redis.error_reply('TSRECORD delkey: a foreign record') end
local id_name, owner_set = root .. ':id:' .. token.id, root .. ':tokens:' .. token.owner_id
local leads_to = redis.call('GET', id_name) or key

if leads_to == key then -- else the id was evicted, and issued again since
  redis.call('ZREM', owner_set, token.id)
  local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2] or 'inf'
  if last:find('%D') then redis.call('PERSIST', owner_set) end -- no time
  if not last:find('%D') then redis.call('PEXPIREAT', owner_set, last) end
  redis.call('DEL', id_name)
end
redis.call('DEL', given_name, root .. ':key:' .. key)
return 1
