--[[
  count -- how many live tokens an owner has.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  owner_id        1 byte or more

  Writes   nothing
  Returns  integer                     the live ids of the owner set
  Errors   TSBADARG                    an argument is missing, empty or too many; nothing written
]]
local root, owner_id = KEYS[1], ARGV[1]
if #KEYS ~= 1 or #ARGV ~= 1 or owner_id == '' then
  return redis.error_reply('TSBADARG count: expected root owner_id')
end

-- No names of ours, so that this fails while a cluster moves the slot.
redis.call('EXISTS', root, root .. ':')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZCOUNT', root .. ':tokens:' .. owner_id, now, '+inf')
