--[[
  migrate -- bring the tokens of one owner from the layout of 0.0.4 to this one, all of them or none.

  KEYS[1]   root             e.g. token
  ARGV[1]   owner_id         1 byte or more
  ARGV[2..] id key old attrs of each member of the owner set; key and old, its record, are empty where there is
                             nothing, attrs are empty where the record is not to be touched

  Writes   <root>:tokens:<owner_id>    from a SET to a ZSET of the same ids, each with +inf; without those that lead
                                       to what is not to be touched, or the whole owner could not be read
           <root>:key:<key>            the record with those attrs instead of old; a TTL stays
  Returns  1                           written
           0                           something is not as given any more; nothing written
]]
local root, owner_id = KEYS[1], ARGV[1]
local function string_at(name) return redis.call('MGET', name)[1] or '' end

local owner_set = root .. ':tokens:' .. owner_id
if redis.call('TYPE', owner_set).ok ~= 'set' or redis.call('SCARD', owner_set) ~= (#ARGV - 1) / 4 then return 0 end
local members, records = {}, {}
for at = 2, #ARGV, 4 do -- the owner's tokens
  local id, key, old, attrs = unpack(ARGV, at, at + 3)
  local id_name, key_name = root .. ':id:' .. id, root .. ':key:' .. key
  local same = string_at(id_name) == key and (key == '' or string_at(key_name) == old)
  if not same or redis.call('SISMEMBER', owner_set, id) == 0 then return 0 end
  if attrs ~= '' then -- the owner as the scripts spell it, which compare it as text
    records[key_name] = '{"id":"' .. id .. '","owner_id":' .. cjson.encode(owner_id) .. ',"attrs":' .. attrs .. '}'
  end
  -- What leads to no record at all may stay: list drops it.
  if attrs ~= '' or old == '' and redis.call('EXISTS', id_name, key_name) == (key == '' and 0 or 1) then
    members[#members + 1] = id
  end
end

redis.call('DEL', owner_set)
for _, id in ipairs(members) do redis.call('ZADD', owner_set, '+inf', id) end
for key_name, record in pairs(records) do redis.call('SET', key_name, record, 'KEEPTTL') end
return 1
