--[[
  makecode -- keep a value under a short code for a name; its tries are those of the whole window.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  name            1 byte or more
  ARGV[2]  digest          1..256 bytes, of name and code
  ARGV[3]  value           JSON text, kept as it is
  ARGV[4]  ttl_ms          1..9999999999999, the window, which begins anew with each code
  ARGV[5]  tries           1..1000, how many wrong codes end it; fewer when some were wrong before
  Option   EVERY ms        1..ttl_ms, not sooner than so long after the last code

  Writes   <root>:code:<name>          digest, value, tries left and when made, with its TTL
  Returns  1                           kept, in place of the code before it
           0                           too soon, or the tries are spent; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
]]
local root, name, digest, value = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local ttl_ms, tries, word, every = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local function bad(text) return redis.error_reply('TSBADARG makecode: ' .. text) end
if #KEYS ~= 1 or not tries or name == '' then
  return bad('expected root name digest value ttl_ms tries')
end
if digest == '' or #digest > 256 then return bad('digest must be 1 to 256 bytes') end
if value == '' then return bad('value must be JSON text') end
if not ttl_ms:find('^[1-9]%d*$') or #ttl_ms > 13 then
  return bad('ttl_ms must be a whole number, 1 to 9999999999999')
end
if not tries:find('^[1-9]%d*$') or #tries > 4 or tonumber(tries) > 1000 then
  return bad('tries must be 1 to 1000')
end
if #ARGV ~= 5 and (#ARGV ~= 7 or word ~= 'EVERY') then
  return bad('only EVERY ms may follow tries')
end
if every and (not every:find('^[1-9]%d*$') or tonumber(every) > tonumber(ttl_ms)) then
  return bad('EVERY must be 1 to ttl_ms')
end

-- No names of ours, so that this fails while a cluster moves the slot.
redis.call('EXISTS', root, root .. ':')
local code_name = root .. ':code:' .. name
local left, made = unpack(redis.call('HMGET', code_name, 'left', 'made'))
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
left = math.min(tonumber(tries), tonumber(left or tries) or 0)
if left < 1 or every and made and now < (tonumber(made) or 0) + every then return 0 end

redis.call('HSET', code_name, 'digest', digest, 'value', value, 'left', left, 'made', now)
redis.call('PEXPIREAT', code_name, now + ttl_ms)
return 1
