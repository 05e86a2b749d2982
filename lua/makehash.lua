--[[
  makehash -- keep a value under a hash that is not in use, for a limited time.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  hash            1..256 bytes
  ARGV[2]  value           JSON text, kept as it is
  ARGV[3]  ttl_ms          1..9999999999999
  Option   REPLACES name   delete the hash that was made last under this name

  Writes   <root>:hash:<hash>          the value, with its TTL
           <root>:latest:<name>        with REPLACES: the hash, with the same TTL
           <root>:hash:<older>         with REPLACES: deleted
  Returns  1                           kept
           0                           the hash is taken; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
]]
local root, hash, value, ttl_ms = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local word, name = ARGV[4], ARGV[5]
local function bad(text) return redis.error_reply('TSBADARG makehash: ' .. text) end
if #KEYS ~= 1 or not ttl_ms then return bad('expected root hash value ttl_ms') end
if hash == '' or #hash > 256 then return bad('hash must be 1 to 256 bytes') end
if value == '' then return bad('value must be JSON text') end
if not ttl_ms:find('^[1-9]%d*$') or #ttl_ms > 13 then
  return bad('ttl_ms must be a whole number, 1 to 9999999999999')
end
if #ARGV ~= 3 and (#ARGV ~= 5 or word ~= 'REPLACES' or name == '') then
  return bad('only REPLACES name may follow ttl_ms')
end

-- No names of ours, so that this fails while a cluster moves the slot.
redis.call('EXISTS', root, root .. ':')
local hash_name = root .. ':hash:' .. hash
local latest = root .. ':latest:' .. (name or '')
local older = name and redis.call('GET', latest)

if not redis.call('SET', hash_name, value, 'NX', 'PX', ttl_ms) then return 0 end
if older and older ~= hash then redis.call('DEL', root .. ':hash:' .. older) end
if name then redis.call('SET', latest, hash, 'PX', ttl_ms) end
return 1
