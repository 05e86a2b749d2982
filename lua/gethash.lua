--[[
  gethash -- look at a hash's value; changes nothing.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  hash            1 byte or more

  Writes   nothing
  Returns  value                       JSON text
           nil                         unknown, expired or taken; nothing written
  Errors   TSBADARG                    an argument is missing; nothing written
           TSRECORD                    the name holds something of another layout; nothing written
]]
local root, hash = KEYS[1], ARGV[1]
if #KEYS ~= 1 or #ARGV ~= 1 or hash == '' then return redis.error_reply('TSBADARG gethash: expected root hash') end
local function stray() return redis.error_reply('TSRECORD gethash: the name holds something of another layout') end

local hash_name = root .. ':hash:' .. hash
local value = redis.call('MGET', hash_name, root)[1] -- with root: fails while a cluster moves the slot
if not value then
  if redis.call('EXISTS', hash_name) > 0 then return stray() end
  return nil
end
local word_or_number = value == 'true' or value == 'false' or value == 'null' or value:find('^%-?%d[%d.eE+-]*$')
if not word_or_number and not value:find('^["%[{].*["%]}]$') then return stray() end -- every hash holds JSON text
return value
