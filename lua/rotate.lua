--[[
  rotate -- give a token a new key; the old one is dead at once or after a grace, all else stays.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  id              1 byte or more
  ARGV[2]  newkey          1..256 bytes
  Option   GRACE ms        1..9999999999999, how long the old key goes on opening the token
  Option   IF key          only if this is the token's key, one within its grace is not

  Writes   <root>:id:<id>              the new key; its TTL stays
           <root>:key:<newkey>         the record and its TTL, from the old name
           <root>:key:<oldkey>         gone; with GRACE the id and when it is over, with that TTL
  Returns  newkey, record, expires_at  expires_at in Unix ms, 0 for never
           the stored triple           it is the token's key already; nothing written
           nil                         unknown, revoked or expired; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSKEYTAKEN                  newkey is in use, or was before; nothing written
           TSCONFLICT                  the token's key is not that of IF; nothing written
           TSRECORD                    a foreign record; nothing written
]]
local root, id, newkey = KEYS[1], ARGV[1], ARGV[2]
local function bad(text) return redis.error_reply('TSBADARG rotate: ' .. text) end
if #KEYS ~= 1 or not newkey or id == '' then return bad('expected root id newkey') end
if newkey == '' or #newkey > 256 then return bad('newkey must be 1 to 256 bytes') end
local option = { GRACE = false, IF = false }
for i = 3, #ARGV, 2 do -- at most two options
  local word, value = ARGV[i], ARGV[i + 1]
  if not value or option[word] ~= false then
    return bad('an option is unknown, repeated or without its value')
  end
  option[word] = value
end
local grace, expected = option.GRACE, option.IF
if grace and (not grace:find('^[1-9]%d*$') or #grace > 13) then
  return bad('GRACE must be 1 to 9999999999999')
end
if expected == '' then return bad('IF must be a key') end
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
local key = redis.call('GET', root .. ':id:' .. id)
local key_name = root .. ':key:' .. (key or '')
local record = key and redis.call('GET', key_name)
if not record then return nil end
if not token_of(record, id) then
  return redis.error_reply('TSRECORD rotate: a foreign record')
end
local expires_at = math.max(0, redis.call('PEXPIRETIME', key_name))
if key == newkey then return { key, record, expires_at } end
if expected and key ~= expected then
  return redis.error_reply('TSCONFLICT rotate: the key is not that of IF')
end
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
