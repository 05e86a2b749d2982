--[[
  get -- the token of an id; not a use of it.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  id              1 byte or more

  Writes   nothing
  Returns  key, record, expires_at     expires_at in Unix ms, 0 for never
           nil                         unknown, revoked or expired
  Errors   TSBADARG                    an argument is missing, empty or too many; nothing written
           TSRECORD                    a foreign record; nothing written
]]
local root, id = KEYS[1], ARGV[1]
if #KEYS ~= 1 or #ARGV ~= 1 or id == '' then
  return redis.error_reply('TSBADARG get: expected root id')
end
local function attrs_at(record, of) -- nil or false in what is not of that id
  local whole = record:find('{"id":"', 1, true) == 1 and record:sub(-2) == '}}'
  local owned = record:find('","owner_id":"', 44, true) == 44
  local wanted = not of or record:sub(8, 43) == of
  return whole and owned and wanted and record:find(',"attrs":{', 57, true)
end

-- No names of ours, so that this fails while a cluster moves the slot.
redis.call('EXISTS', root, root .. ':')
local key = redis.call('GET', root .. ':id:' .. id)
local key_name = root .. ':key:' .. (key or '')
local record = key and redis.call('GET', key_name)
if not record then return nil end
local at = attrs_at(record, id)
if not at then return redis.error_reply('TSRECORD get: a foreign record') end

return { key, record, math.max(0, redis.call('PEXPIRETIME', key_name)) }
