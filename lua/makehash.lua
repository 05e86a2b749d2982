--[[
  makehash -- keep a value under a hash that is not in use, for a limited time.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  hash            1..256 bytes
  ARGV[2]  value           JSON text, kept as it is
  ARGV[3]  ttl_ms          1..9999999999999
  Option   REPLACES name   delete the hash that was made last under this name
  Option   OWNER owner_id  delowner owner_id HASHES deletes it

  Writes   <root>:hash:<hash>          the value, with its TTL
           <root>:latest:<name>        with REPLACES: the hash, with the same TTL
           <root>:hash:<older>         with REPLACES: deleted
           <root>:hashes:<owner_id>    with OWNER: the hash by its end, expired ones dropped; the
                                       TTL of its last to expire
  Returns  1                           kept
           0                           the hash is taken; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
]]
local root, hash, value, ttl_ms = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local function bad(text) return redis.error_reply('TSBADARG makehash: ' .. text) end
if #KEYS ~= 1 or not ttl_ms then return bad('expected root hash value ttl_ms') end
if hash == '' or #hash > 256 then return bad('hash must be 1 to 256 bytes') end
if value == '' then return bad('value must be JSON text') end
if not ttl_ms:find('^[1-9]%d*$') or #ttl_ms > 13 then
  return bad('ttl_ms must be a whole number, 1 to 9999999999999')
end
local option = { REPLACES = false, OWNER = false }
for i = 4, #ARGV, 2 do -- at most two options
  local word, text = ARGV[i], ARGV[i + 1]
  if not text or text == '' or option[word] ~= false then
    return bad('an option is unknown, repeated or without its value')
  end
  option[word] = text
end
local name, owner_id = option.REPLACES, option.OWNER

-- No names of ours, so that this fails while a cluster moves the slot.
redis.call('EXISTS', root, root .. ':')
local hash_name = root .. ':hash:' .. hash
local latest = root .. ':latest:' .. (name or '')
local older = name and redis.call('GET', latest)
local owner_set = root .. ':hashes:' .. (owner_id or '')
if owner_id then redis.call('ZCARD', owner_set) end -- another type fails before the first write
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local till = ('%.0f'):format(now + ttl_ms)

if not redis.call('SET', hash_name, value, 'NX', 'PXAT', till) then return 0 end
if older and older ~= hash then redis.call('DEL', root .. ':hash:' .. older) end
if name then redis.call('SET', latest, hash, 'PXAT', till) end
if owner_id then
  redis.call('ZREMRANGEBYSCORE', owner_set, '-inf', '(' .. now)
  if older then redis.call('ZREM', owner_set, older) end
  redis.call('ZADD', owner_set, till, hash)
  local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2] or 'inf'
  if last:find('%D') then redis.call('PERSIST', owner_set) end -- no time
  if not last:find('%D') then redis.call('PEXPIREAT', owner_set, last) end
end
return 1
