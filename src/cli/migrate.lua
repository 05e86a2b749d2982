--[[
  migrate -- bring the tokens of one owner from the layout of 0.0.4 to this one, all or none.

  KEYS[1]   root             e.g. token
  ARGV[1]   owner_id         1 byte or more
  ARGV[2..] id key old attrs of each member of the owner set; key and old, its record, are empty
                             where there is nothing, attrs where the record is not to be touched

  Writes   <root>:tokens:<owner_id>    from a SET to a ZSET of the tokens that are converted
           <root>:key:<key>            the record with those attrs instead of old; a TTL stays
           <root>:id:<id>              the TTL of the record, if it has one
  Returns  1                           written
           0                           something is not as given any more; nothing written
]]
local root, owner_id = KEYS[1], ARGV[1]
local function string_at(name) return redis.call('MGET', name)[1] or '' end

local owner_set = root .. ':tokens:' .. owner_id
local size = (#ARGV - 1) / 4
if redis.call('TYPE', owner_set).ok ~= 'set' or redis.call('SCARD', owner_set) ~= size then
  return 0
end
local owner = '","owner_id":' .. cjson.encode(owner_id) .. ','
local tokens = {}
for at = 2, #ARGV, 4 do -- the owner's tokens
  local id, key, old, attrs = unpack(ARGV, at, at + 3)
  local id_name, key_name = root .. ':id:' .. id, root .. ':key:' .. key
  local same = string_at(id_name) == key and (key == '' or string_at(key_name) == old)
  if not same or redis.call('SISMEMBER', owner_set, id) == 0 then return 0 end
  if attrs ~= '' then
    local ends_at = redis.call('PEXPIRETIME', key_name) -- 0.0.4 set none
    local by_ttl = ends_at > 0 and ('"ends_at":%.0f,'):format(ends_at) or ''
    local record = '{"id":"' .. id .. owner .. by_ttl .. '"attrs":' .. attrs .. '}'
    tokens[#tokens + 1] = { id, id_name, key_name, record, ends_at }
  end
end

redis.call('DEL', owner_set)
for _, token in ipairs(tokens) do
  local id, id_name, key_name, record, ends_at = unpack(token)
  redis.call('ZADD', owner_set, ends_at > 0 and ends_at or '+inf', id)
  redis.call('SET', key_name, record, 'KEEPTTL')
  if ends_at > 0 then redis.call('PEXPIREAT', id_name, ends_at) end
end
local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2]
if last and last ~= 'inf' then redis.call('PEXPIREAT', owner_set, last) end
return 1
