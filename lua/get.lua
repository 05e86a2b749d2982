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
  return redis.error_reply('TSRECORD get: a foreign record')
end

return { key, record, math.max(0, redis.call('PEXPIRETIME', key_name)) }
