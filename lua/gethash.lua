--[[
  gethash -- look at a hash's value; changes nothing.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  hash            1 byte or more

  Writes   nothing
  Returns  value                       JSON text
           nil                         unknown, expired or taken
  Errors   TSBADARG                    an argument is missing, empty or too many; nothing written
]]
local root, hash = KEYS[1], ARGV[1]
if #KEYS ~= 1 or #ARGV ~= 1 or hash == '' then
  return redis.error_reply('TSBADARG gethash: expected root hash')
end

-- No names of ours, so that this fails while a cluster moves the slot.
redis.call('EXISTS', root, root .. ':')
return redis.call('GET', root .. ':hash:' .. hash)
