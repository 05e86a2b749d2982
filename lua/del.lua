--[[
  del -- revoke the token of an id: record, id index and owner's entry together.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  id              1 byte or more

  Writes   <root>:tokens:<owner_id>    id removed; the TTL of its last to expire
           <root>:key:<key>            deleted; keys within a grace lead nowhere from now on
           <root>:id:<id>              deleted, also when it led nowhere
  Returns  1                           revoked
           0                           unknown, revoked before or expired
  Errors   TSBADARG                    an argument is missing, empty or too many; nothing written
           TSRECORD                    a foreign record; nothing written
]]
local root, id = KEYS[1], ARGV[1]
if #KEYS ~= 1 or #ARGV ~= 1 or id == '' then
  return redis.error_reply('TSBADARG del: expected root id')
end
local function attrs_at(record, of) -- nil or false in what is not of that id
  local whole = record:find('{"id":"', 1, true) == 1 and record:sub(-2) == '}}'
  local owned = record:find('","owner_id":"', 44, true) == 44
  local wanted = not of or record:sub(8, 43) == of
  return whole and owned and wanted and record:find(',"attrs":{', 57, true)
end

-- No names of ours, so that this fails while a cluster moves the slot.
redis.call('EXISTS', root, root .. ':')
local id_name = root .. ':id:' .. id
local key = redis.call('GET', id_name)
local key_name = root .. ':key:' .. (key or '')
local record = key and redis.call('GET', key_name)
if not record then
  redis.call('DEL', id_name)
  return 0
end
local at = attrs_at(record, id)
if not at then return redis.error_reply('TSRECORD del: a foreign record') end
local token = cjson.decode(record:sub(1, at - 1) .. '}')
local owner_set = root .. ':tokens:' .. token.owner_id

redis.call('ZREM', owner_set, id)
local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2]
if last and last ~= 'inf' then redis.call('PEXPIREAT', owner_set, last) end
redis.call('DEL', key_name, id_name)
return 1
