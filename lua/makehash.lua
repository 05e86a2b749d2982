--[[
  makehash -- keep a value under a hash that is not in use, for a limited time.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  hash            1..256 bytes
  ARGV[2]  value           JSON text, kept as it is
  ARGV[3]  ttl_ms          1..9999999999999
  Option   REPLACES name   end the hash that was made last under this name

  Writes   <root>:hash:<hash>          the value, with its TTL
           <root>:latest:<name>        with REPLACES: the hash, with the same TTL
           <root>:hash:<older>         with REPLACES: deleted
  Returns  1                           kept
           0                           the hash is taken; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSRECORD                    a name holds something of another layout; nothing written
]]
local root, hash, value, ttl_ms, word, name = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local function refuse(code, text) return redis.error_reply(code .. ' makehash: ' .. text) end
if #KEYS ~= 1 or not ttl_ms then return refuse('TSBADARG', 'expected root hash value ttl_ms') end
if hash == '' or #hash > 256 then return refuse('TSBADARG', 'hash must be 1 to 256 bytes') end
local word_or_number = value == 'true' or value == 'false' or value == 'null' or value:find('^%-?%d[%d.eE+-]*$')
if not word_or_number and not value:find('^["%[{].*["%]}]$') then
  return refuse('TSBADARG', 'value must be JSON text')
end
if not ttl_ms:find('^[1-9]%d*$') or #ttl_ms > 13 then
  return refuse('TSBADARG', 'ttl_ms must be a whole number, 1 to 9999999999999')
end
if #ARGV ~= 3 and (#ARGV ~= 5 or word ~= 'REPLACES' or name == '') then
  return refuse('TSBADARG', 'only REPLACES name may follow ttl_ms')
end

local hash_name, latest = root .. ':hash:' .. hash, name and root .. ':latest:' .. name
redis.call('EXISTS', hash_name, root) -- two names: fails while a cluster moves the slot
local older = name and redis.call('MGET', latest)[1]
if name and not older and redis.call('EXISTS', latest) > 0 then
  return refuse('TSRECORD', 'a name holds something of another layout')
end
if not redis.call('SET', hash_name, value, 'NX', 'PX', ttl_ms) then return 0 end
if name then
  if older and older ~= hash then redis.call('DEL', root .. ':hash:' .. older) end
  redis.call('SET', latest, hash, 'PX', ttl_ms)
end
return 1
