--[[
  trycode -- return the value of a name's code, which is gone then; a wrong code costs a try.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  name            1 byte or more
  ARGV[2]  digest          1 byte or more, of name and code

  Writes   <root>:code:<name>          wrong: a try less; right, or the last one wrong: without
                                       digest and value; the rest stays for the window
  Returns  1, value                    right
           0, left                     wrong, and how many tries are left
           nil                         no code, or no try left; nothing written
  Errors   TSBADARG                    an argument is missing, empty or too many; nothing written
]]
local root, name, digest = KEYS[1], ARGV[1], ARGV[2]
if #KEYS ~= 1 or #ARGV ~= 2 or name == '' or digest == '' then
  return redis.error_reply('TSBADARG trycode: expected root name digest')
end

-- No names of ours, so that this fails while a cluster moves the slot.
redis.call('EXISTS', root, root .. ':')
local code_name = root .. ':code:' .. name
local right, value, left = unpack(redis.call('HMGET', code_name, 'digest', 'value', 'left'))
left = (tonumber(left) or 0) - 1
if not right or not value or left < 0 then return nil end

-- Before the codes are compared: when Redis refuses writes, nobody learns which one is right.
redis.call('HSET', code_name, 'left', left)
if digest ~= right and left > 0 then return { 0, left } end
redis.call('HDEL', code_name, 'digest', 'value')
if digest ~= right then return { 0, 0 } end
redis.call('HSET', code_name, 'left', left + 1) -- wrong ones stay spent, whoever finds one right
return { 1, value }
