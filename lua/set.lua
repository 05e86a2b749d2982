--[[
  set -- replace a token's attrs; never creates one, changes nothing else of it.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  id              1 byte or more
  ARGV[2]  attrs           JSON object, kept as it is
  Option   IF attrs        only if the stored text is this, byte for byte

  Writes   <root>:key:<key>            the record; its TTL stays
  Returns  key, record, expires_at     after the write; expires_at in Unix ms, 0 for never
           nil                         unknown, revoked or expired; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSCONFLICT                  the stored attrs are not those of IF; nothing written
           TSRECORD                    a foreign record; nothing written
]]
local root, id, attrs, word, expected = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local function bad(text) return redis.error_reply('TSBADARG set: ' .. text) end
if #KEYS ~= 1 or not attrs or id == '' then return bad('expected root id attrs') end
if not attrs:find('^{.*}$') then return bad('attrs must be a JSON object') end
if #ARGV ~= 2 and (#ARGV ~= 4 or word ~= 'IF') then
  return bad('only IF attrs may follow attrs')
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
local token, at = token_of(record, id)
if not token then return redis.error_reply('TSRECORD set: a foreign record') end
local head, stored = record:sub(1, at - 1), record:sub(at + #',"attrs":', -2)
if expected and stored ~= expected then
  return redis.error_reply('TSCONFLICT set: the stored attrs are not those of IF')
end
local expires_at = math.max(0, redis.call('PEXPIRETIME', key_name))

record = head .. ',"attrs":' .. attrs .. '}'
redis.call('SET', key_name, record, 'KEEPTTL')
return { key, record, expires_at }
