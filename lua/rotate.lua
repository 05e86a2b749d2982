--[[
  rotate -- give a token a new key: same id, attrs and lifetime; the old key ends now or after a grace.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  id              1 byte or more
  ARGV[2]  newkey          1..256 bytes
  Option   GRACE ms        1..9999999999999, how long the old key goes on opening the token

  Writes   <root>:key:<newkey>         the record, with the token's TTL
           <root>:id:<id>              the new key; its TTL stays
           <root>:key:<oldkey>         deleted, or with GRACE {"id":..,"grace":..}, never longer than the token
  Returns  newkey, record, expires_at  expires_at in Unix ms, 0 for never
           the stored triple           it is the token's key already; nothing written
           nil                         unknown or ended; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSKEYTAKEN                  newkey belongs to a token, or was rotated out within its grace; nothing written
           TSRECORD                    a name holds something of another layout; nothing written
]]
local root, id, newkey, word, grace = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local function refuse(code, text) return redis.error_reply(code .. ' rotate: ' .. text) end
local function stray() return refuse('TSRECORD', 'a name holds something of another layout') end
if #KEYS ~= 1 or not newkey or id == '' then return refuse('TSBADARG', 'expected root id newkey') end
if newkey == '' or #newkey > 256 then return refuse('TSBADARG', 'newkey must be 1 to 256 bytes') end
if #ARGV ~= 2 and (#ARGV ~= 4 or word ~= 'GRACE' or not grace:find('^[1-9]%d*$') or #grace > 13) then
  return refuse('TSBADARG', 'only GRACE ms may follow newkey, a whole number, 1 to 9999999999999')
end

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
local head = cjson.decode(record:sub(1, attrs_at - 1) .. '}')
if key == newkey then return { key, record, head.expires_at or 0 } end
local function is_ours(text) -- a record, or the alias that this script leaves for a grace
  local token = text:sub(1, 7) == '{"id":"' and text:sub(44, 57) == '","owner_id":"' and text:sub(-2) == '}}'
  return token and text:find(',"attrs":{', 57, true) or text:find('^{"id":"[%x-]+","grace":%d+}$')
end
local new_name = root .. ':key:' .. newkey
local taken = redis.call('MGET', new_name)[1]
if taken and is_ours(taken) then return refuse('TSKEYTAKEN', 'newkey is in use') end
if taken or redis.call('EXISTS', new_name) > 0 then return stray() end

local time = redis.call('TIME')
local now, graced = time[1] * 1000 + math.floor(time[2] / 1000), {}
for old, till in pairs(head.graced or {}) do -- only those still within their grace stay listed
  if till >= now then graced[#graced + 1] = cjson.encode(old) .. (':%.0f'):format(till) end
end
local till = grace and now + grace
if grace then graced[#graced + 1] = cjson.encode(key) .. (':%.0f'):format(till) end
local plain = record:sub(1, attrs_at - 1):gsub(',"graced":{.*}$', '') -- the last of the head
local list = graced[1] and ',"graced":{' .. table.concat(graced, ',') .. '}' or ''
record = plain .. list .. record:sub(attrs_at)

if head.expires_at then redis.call('SET', new_name, record, 'PXAT', head.expires_at)
else redis.call('SET', new_name, record) end
redis.call('SET', id_name, newkey, 'KEEPTTL')
if grace then
  local alias = ('{"id":"%s","grace":%.0f}'):format(id, till)
  redis.call('SET', key_name, alias, 'PXAT', math.min(till, head.expires_at or till))
else
  redis.call('DEL', key_name)
end
return { newkey, record, head.expires_at or 0 }
