--[[
  del -- end the token of an id: the record, the id index, the owner's entry and keys within their grace.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  id              1 byte or more

  Writes   <root>:tokens:<owner_id>    id removed; the TTL of its last to end
           <root>:key:<key>            deleted, as are keys within their grace
           <root>:id:<id>              deleted, also when it led nowhere
  Returns  1                           ended
           0                           unknown or ended before
  Errors   TSBADARG                    an argument is missing; nothing written
           TSRECORD                    a name holds something of another layout; nothing written
]]
local root, id = KEYS[1], ARGV[1]
if #KEYS ~= 1 or #ARGV ~= 1 or id == '' then return redis.error_reply('TSBADARG del: expected root id') end
local function stray() return redis.error_reply('TSRECORD del: a name holds something of another layout') end

local id_name = root .. ':id:' .. id
local key = redis.call('MGET', id_name, root)[1] -- with root: fails while a cluster moves the slot
local key_name = root .. ':key:' .. (key or '')
local record = key and redis.call('MGET', key_name)[1]
if not record then
  if redis.call('EXISTS', key and key_name or id_name) > 0 then return stray() end
  redis.call('DEL', id_name) -- if it is there, it led nowhere: its record was evicted
  return 0
end
local ours = record:sub(1, 7) == '{"id":"' and record:sub(44, 57) == '","owner_id":"' and record:sub(-2) == '}}'
local attrs_at = ours and record:find(',"attrs":{', 57, true)
if record:sub(8, 43) ~= id and (attrs_at or record:find('^{"id":"[%x-]+","grace":%d+}$')) then
  redis.call('DEL', id_name) -- the id's own record was evicted, and its key issued again
  return 0
end
if not attrs_at then return stray() end
local head = cjson.decode(record:sub(1, attrs_at - 1) .. '}')
local owner_set = root .. ':tokens:' .. head.owner_id
local kind = redis.call('TYPE', owner_set).ok
if kind ~= 'none' and kind ~= 'zset' then return stray() end

redis.call('ZREM', owner_set, id)
local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2]
if last and last ~= 'inf' then redis.call('PEXPIREAT', owner_set, last) end
redis.call('DEL', key_name, id_name)
for old in pairs(head.graced or {}) do -- a name whose grace is over may be another token's by now
  local name, alias = root .. ':key:' .. old, '{"id":"' .. id .. '","grace":'
  if (redis.call('MGET', name)[1] or ''):sub(1, #alias) == alias then redis.call('DEL', name) end
end
return 1
