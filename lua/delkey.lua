--[[
  delkey -- end the token that a key opens: all its keys, the id index and the owner's entry.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  key             1 byte or more; one within its grace ends its token too

  Writes   <root>:tokens:<owner_id>    id removed; the TTL of its last to end
           <root>:key:<key>            deleted, as are keys within their grace
           <root>:id:<id>              deleted
  Returns  1                           ended
           0                           unknown, rotated out or ended before; nothing written
  Errors   TSBADARG                    an argument is missing; nothing written
           TSRECORD                    a name holds something of another layout; nothing written
]]
local root, key = KEYS[1], ARGV[1]
if #KEYS ~= 1 or #ARGV ~= 1 or key == '' then return redis.error_reply('TSBADARG delkey: expected root key') end
local function stray() return redis.error_reply('TSRECORD delkey: a name holds something of another layout') end

local opened = redis.call('MGET', root .. ':key:' .. key, root)[1] -- with root: fails while a cluster moves the slot
if not opened then
  if redis.call('EXISTS', root .. ':key:' .. key) > 0 then return stray() end
  return 0
end
local id, current, record = opened:sub(8, 43), key, opened
if opened:sub(45, 53) == ',"grace":' then -- rotated out: opens the token whose record still lists it
  current = redis.call('MGET', root .. ':id:' .. id)[1]
  record = current and redis.call('MGET', root .. ':key:' .. current)[1]
  if not record then return 0 end
end
local ours = record:sub(1, 7) == '{"id":"' and record:sub(44, 57) == '","owner_id":"' and record:sub(-2) == '}}'
local attrs_at = ours and record:find(',"attrs":{', 57, true)
if not attrs_at then return stray() end
local head = cjson.decode(record:sub(1, attrs_at - 1) .. '}')
local graced, owner_set, id_name = head.graced or {}, root .. ':tokens:' .. head.owner_id, root .. ':id:' .. id
if head.id ~= id or current ~= key and not graced[key] then return 0 end
local leads_to, kind = redis.call('MGET', id_name)[1], redis.call('TYPE', owner_set).ok
if kind ~= 'none' and kind ~= 'zset' or not leads_to and redis.call('EXISTS', id_name) > 0 then return stray() end

if not leads_to or leads_to == current then -- else the id was evicted, and restored under another key since
  redis.call('ZREM', owner_set, id)
  local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2]
  if last and last ~= 'inf' then redis.call('PEXPIREAT', owner_set, last) end
  redis.call('DEL', id_name)
end
redis.call('DEL', root .. ':key:' .. current)
for old in pairs(graced) do -- a name whose grace is over may be another token's by now
  local name, alias = root .. ':key:' .. old, '{"id":"' .. id .. '","grace":'
  if (redis.call('MGET', name)[1] or ''):sub(1, #alias) == alias then redis.call('DEL', name) end
end
return 1
