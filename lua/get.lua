--[[
  get -- the token of an id; not a use of it.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  id              1 byte or more

  Writes   nothing
  Returns  key, record, expires_at     expires_at in Unix ms, 0 for never
           nil                         unknown or ended
  Errors   TSBADARG                    an argument is missing; nothing written
           TSRECORD                    a name holds something of another layout; nothing written
]]
local root, id = KEYS[1], ARGV[1]
if #KEYS ~= 1 or #ARGV ~= 1 or id == '' then return redis.error_reply('TSBADARG get: expected root id') end
local function stray() return redis.error_reply('TSRECORD get: a name holds something of another layout') end

local id_name = root .. ':id:' .. id
local key = redis.call('MGET', id_name, root)[1] -- with root: fails while a cluster moves the slot
local key_name = root .. ':key:' .. (key or '')
local record = key and redis.call('MGET', key_name)[1]
if not record then
  if redis.call('EXISTS', key and key_name or id_name) > 0 then return stray() end
  return nil
end
local ours = record:sub(1, 7) == '{"id":"' and record:sub(44, 57) == '","owner_id":"' and record:sub(-2) == '}}'
local attrs_at = ours and record:find(',"attrs":{', 57, true)
if record:sub(8, 43) ~= id and (attrs_at or record:find('^{"id":"[%x-]+","grace":%d+}$')) then
  return nil -- the id's own record was evicted, and its key issued again
end
if not attrs_at then return stray() end
return { key, record, tonumber(record:sub(1, attrs_at):match('","expires_at":(%d+)')) or 0 }
