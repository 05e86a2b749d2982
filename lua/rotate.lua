--[[
  rotate -- give a token a new key; the old one is dead at once or after a grace, all else stays.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  id              1 byte or more
  ARGV[2]  newkey          1..256 bytes
  Option   GRACE ms        1..9999999999999, how long the old key goes on opening the token

  Writes   <root>:id:<id>              the new key; its TTL stays
           <root>:key:<newkey>         the record and its TTL, from the old name
           <root>:key:<oldkey>         gone; with GRACE the id and when it is over, with that TTL
  Returns  newkey, record, expires_at  expires_at in Unix ms, 0 for never
           the stored triple           it is the token's key already; nothing written
           nil                         unknown, revoked or expired; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSKEYTAKEN                  newkey is in use, or within its grace; nothing written
           TSRECORD                    a foreign record; nothing written
]]
local root, id, newkey, word, grace = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local function bad(text) return redis.error_reply('TSBADARG rotate: ' .. text) end
if #KEYS ~= 1 or not newkey or id == '' then return bad('expected root id newkey') end
if newkey == '' or #newkey > 256 then return bad('newkey must be 1 to 256 bytes') end
local ms = grace and #grace <= 13 and grace:find('^[1-9]%d*$')
if #ARGV ~= 2 and (#ARGV ~= 4 or word ~= 'GRACE' or not ms) then
  return bad('only GRACE ms may follow newkey, 1 to 9999999999999')
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
if not at then return redis.error_reply('TSRECORD rotate: a foreign record') end
local expires_at = math.max(0, redis.call('PEXPIRETIME', key_name))
if key == newkey then return { key, record, expires_at } end
local new_name = root .. ':key:' .. newkey
if redis.call('EXISTS', new_name) > 0 then
  return redis.error_reply('TSKEYTAKEN rotate: newkey is in use')
end

redis.call('SET', root .. ':id:' .. id, newkey, 'KEEPTTL')
redis.call('RENAME', key_name, new_name)
if grace then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local till = ('%.0f'):format(now + grace)
  redis.call('SET', key_name, id .. ' ' .. till, 'PXAT', till)
end
return { newkey, record, expires_at }
