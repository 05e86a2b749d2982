--[[
  move-session -- move a session of connect-redis to a token, whole or not at all.

  KEYS[1]  old             the name it has, e.g. sess:k3F
  KEYS[2]  root            of the token, e.g. token
  ARGV[1]  value           what the session was read from, byte for byte
  ARGV[2]  key             the digest of its sid
  ARGV[3]  id              UUID in lower case
  ARGV[4]  owner_id        1 byte or more
  ARGV[5]  attrs           JSON object, kept as it is
  ARGV[6]  idle            ms, ends this long after its last use, but not before the old one would
  ARGV[7]  ttl             ms, ends this long from now, used or not; 0 for never
  ARGV[8]  APPLY|DRY       whether to write, or only to answer what would be done

  Writes   <old>                       deleted
           <root>:key:<key>            the record, with what is left of the TTL of the old one
           <root>:id:<id>              the key, with the same TTL
           <root>:tokens:<owner_id>    id added, expired ids dropped; the TTL of its last to expire
  Returns  moved
           there                       the sid has a token, which stays as it is: deleted only
           changed                     it holds another value, or none: nothing written
           foreign                     the owner's name holds no tokens: nothing written
]]
local old, root = KEYS[1], KEYS[2]
local value, key, id, owner_id, attrs = unpack(ARGV, 1, 5)
local idle, ttl, apply = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == 'APPLY'
if redis.call('MGET', old)[1] ~= value then return 'changed' end
local key_name, id_name = root .. ':key:' .. key, root .. ':id:' .. id
local owner_set = root .. ':tokens:' .. owner_id
if redis.call('EXISTS', key_name) == 1 then
  if apply then redis.call('DEL', old) end
  return 'there'
end
local type = redis.call('TYPE', owner_set).ok
if type ~= 'zset' and type ~= 'none' then return 'foreign' end
if not apply then return 'moved' end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expires_at = redis.call('PEXPIRETIME', old)
if expires_at < 0 then expires_at = now + idle end -- it had no TTL
idle = math.max(idle, expires_at - now)
if ttl > 0 then expires_at = math.min(expires_at, now + ttl) end
local by_ttl = ttl > 0 and ('"ends_at":%.0f,'):format(now + ttl) or ''
local by_use = ('"idle":%.0f,"every":%.0f,'):format(idle, math.ceil(idle / 10))
local owner = '","owner_id":' .. cjson.encode(owner_id) .. ','
local record = '{"id":"' .. id .. owner .. by_ttl .. by_use .. '"attrs":' .. attrs .. '}'

redis.call('ZADD', owner_set, expires_at, id)
redis.call('ZREMRANGEBYSCORE', owner_set, '-inf', '(' .. now)
redis.call('SET', key_name, record, 'PXAT', expires_at)
redis.call('SET', id_name, key, 'PXAT', expires_at)
local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2] or 'inf'
if last:find('%D') then redis.call('PERSIST', owner_set) end -- no time
if not last:find('%D') then redis.call('PEXPIREAT', owner_set, last) end
redis.call('DEL', old)
return 'moved'
