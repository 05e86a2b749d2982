--[[
  list -- the live tokens of an owner, all of them or a page, in the order in which they expire.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  owner_id        1 byte or more
  Option   AFTER cursor    go on behind this place, from an earlier reply
  Option   COUNT n         1..1000, look at this many members; all of them when absent

  Writes   <root>:tokens:<owner_id>    ids without an own record dropped; TTL of its last to expire
  Returns  cursor                      empty at the end; then for each token
           key, record, expires_at     expires_at in Unix ms, 0 for never
  Errors   TSBADARG                    an argument is missing or malformed; nothing written

  A use can only move a token on: whoever walks from cursor to cursor misses none that lives through
  the walk, but one whose end change brings forward, and may meet one used meanwhile again.
]]
local root, owner_id = KEYS[1], ARGV[1] or ''
local function bad(text) return redis.error_reply('TSBADARG list: ' .. text) end
if #KEYS ~= 1 or owner_id == '' then return bad('expected root owner_id') end
local option = { AFTER = false, COUNT = false }
for i = 2, #ARGV, 2 do -- at most two options
  local word, value = ARGV[i], ARGV[i + 1]
  if not value or option[word] ~= false then
    return bad('an option is unknown, repeated or without its value')
  end
  option[word] = value
end
local count = option.COUNT and tonumber(option.COUNT:match('^[1-9]%d*$') or 1001)
if count and count > 1000 then return bad('COUNT must be 1 to 1000') end
local score, after = (option.AFTER or ''):match('^([%dinf]+):([%x-]+)$')
if option.AFTER and not tonumber(score) then return bad('AFTER must be a cursor') end
local function precedes(a, b) -- bytewise: < goes by the locale of the server
  local at = 1
  while at <= #a and a:byte(at) == b:byte(at) do at = at + 1 end
  return (a:byte(at) or 0) < (b:byte(at) or 0)
end

-- No names of ours, so that this fails while a cluster moves the slot.
redis.call('EXISTS', root, root .. ':')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local owner_set = root .. ':tokens:' .. owner_id
local first, bound = redis.call('ZCOUNT', owner_set, '-inf', '(' .. now), 0
if after then -- behind (score, after), which may have left the set
  first = math.max(first, redis.call('ZCOUNT', owner_set, '-inf', '(' .. score))
  bound = redis.call('ZCOUNT', owner_set, '-inf', score)
end
while first < bound do -- halves the ids of that score
  local middle = math.floor((first + bound) / 2)
  local id = redis.call('ZRANGE', owner_set, middle, middle)[1]
  local behind = precedes(after, id)
  bound = behind and middle or bound
  first = behind and first or middle + 1
end

local size = redis.call('ZCARD', owner_set)
local stop = math.min(size, first + (count or size))
local owner = '","owner_id":' .. cjson.encode(owner_id) .. ','
local reply, n, dropped = { '' }, 1, {}
for from = first, stop - 1, 1000 do -- unpack has room for 8,000
  local to = math.min(from + 1000, stop)
  local members = redis.call('ZRANGE', owner_set, from, to - 1, 'WITHSCORES')
  local names = {}
  for i = 1, to - from do names[i] = root .. ':id:' .. members[2 * i - 1] end
  local keys = redis.call('MGET', unpack(names))
  for i, key in ipairs(keys) do names[i] = root .. ':key:' .. (key or '') end
  for i, record in ipairs(redis.call('MGET', unpack(names))) do
    local id, expires_at = members[2 * i - 1], members[2 * i]
    if record and record:sub(1, 43 + #owner) == '{"id":"' .. id .. owner then
      reply[n + 1], reply[n + 2] = keys[i], record
      reply[n + 3] = expires_at:find('%D') and 0 or tonumber(expires_at)
      n = n + 3
    else
      dropped[#dropped + 1] = id
    end
  end
  local id, expires_at = unpack(members, #members - 1)
  local place = id:match('^[%x-]+$') or '0' -- of a foreign member none
  if stop < size then reply[1] = ('%.0f:%s'):format(math.ceil(expires_at), place) end
end

local removed
for _, id in ipairs(dropped) do removed = redis.pcall('ZREM', owner_set, id) end
if removed == 1 then -- else there was none, or Redis refuses writes
  local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2] or 'inf'
  if last:find('%D') then redis.call('PERSIST', owner_set) end -- no time
  if not last:find('%D') then redis.call('PEXPIREAT', owner_set, last) end
end
return reply
