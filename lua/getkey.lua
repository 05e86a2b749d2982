--[[
  getkey -- the records of the tokens that the given keys open; TOUCH counts as a use of them.

  KEYS[1]   root           e.g. token, or token:{k3F}
  ARGV[1]   TOUCH|PEEK     whether the call is a use, or changes nothing
  ARGV[2..] key [key ...]  1 to 1,000 keys

  Writes   with TOUCH, for a token with IDLE whose end moves by EVERY or more:
           <root>:key:<key>            expires_at and the TTL, never past the token's ends_at
           <root>:id:<id>              the TTL
           <root>:tokens:<owner_id>    score of the id, TTL of its last to end
           keys within their grace     the TTL
  Returns  for each key record         nil when unknown, ended or rotated out; nothing written
                    and expires_at     Unix ms, 0 for never and for nil
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSRECORD                    a name holds something of another layout; nothing written
]]
local root, use = KEYS[1], ARGV[1]
if #KEYS ~= 1 or use ~= 'TOUCH' and use ~= 'PEEK' or #ARGV < 2 or #ARGV > 1001 then
  return redis.error_reply('TSBADARG getkey: expected root, TOUCH or PEEK, 1 to 1000 keys')
end
local function stray() return redis.error_reply('TSRECORD getkey: a name holds something of another layout') end

local function attrs_at(record) -- where attrs, which are never parsed, begin; nil for another layout
  local ours = record:find('{"id":"', 1, true) == 1 and record:find('","owner_id":"', 44, true) == 44
  return ours and record:sub(-2) == '}}' and record:find(',"attrs":{', 57, true)
end

local names = {}
for i = 2, #ARGV do names[i - 1] = root .. ':key:' .. ARGV[i] end
names[#ARGV] = root -- no name of ours: with it MGET fails while a cluster moves the slot
local reply, misses, idlers, records = {}, {}, {}, redis.call('MGET', unpack(names))
for i = 1, #ARGV - 1 do
  local record, expires_at = records[i], 0
  local at = record and attrs_at(record)
  if not record then
    misses[#misses + 1] = names[i]
  elseif not at and record:find('^{"id":"[%x-]+","grace":%d+}$') then -- opens the token whose record still lists it
    local current = redis.call('MGET', root .. ':id:' .. record:sub(8, 43))[1]
    names[i] = root .. ':key:' .. (current or '')
    record = current and redis.call('MGET', names[i])[1]
    at = record and attrs_at(record)
    local graced = at and cjson.decode(record:sub(1, at - 1) .. '}').graced
    if record and not at then return stray() end
    if not graced or not graced[ARGV[i + 1]] then record = false end
  elseif not at then
    return stray()
  end
  if record and record:byte(at - 1) ~= 34 then -- a head that ends with the owner's quote has no lifetime
    local head = record:sub(1, at - 1)
    local lifetime = head:sub(1, (head:find(',"graced":{', 57, true) or at) - 1) -- keys in graced may be called idle
    expires_at = tonumber(lifetime:match(',"expires_at":(%d+)')) or 0
    local idle, every = lifetime:match(',"idle":(%d+),"every":(%d+)')
    if idle and use == 'TOUCH' then
      idlers[#idlers + 1] = { i, head, tonumber(idle), tonumber(every), tonumber(lifetime:match(',"ends_at":(%d+)')) }
    end
  end
  reply[2 * i - 1], reply[2 * i] = record, expires_at
end
if misses[1] and redis.call('EXISTS', unpack(misses)) > 0 then return stray() end

local time = idlers[1] and redis.call('TIME')
local now = time and time[1] * 1000 + math.floor(time[2] / 1000)
for _, idler in ipairs(idlers) do -- at most one a key
  local i, head, idle, every, ends_at = unpack(idler, 1, 5)
  local ends = math.min(now + idle, ends_at or math.huge)
  local token = ends - reply[2 * i] >= every and cjson.decode(head .. '}')
  local id_name, owner_set = token and root .. ':id:' .. token.id, token and root .. ':tokens:' .. token.owner_id
  local own = token and names[i] == root .. ':key:' .. (redis.call('MGET', id_name)[1] or '') -- else its id was evicted
  local listed = own and type(redis.pcall('ZSCORE', owner_set, token.id)) == 'string' -- else it would live on unlisted
  -- A use that Redis refuses to note, at maxmemory or on a replica, is answered all the same.
  if listed and type(redis.pcall('ZADD', owner_set, 'XX', ends, token.id)) == 'number' then
    local record = reply[2 * i - 1]:gsub(',"expires_at":%d+', (',"expires_at":%.0f'):format(ends), 1)
    redis.call('SET', names[i], record, 'PXAT', ends)
    redis.call('PEXPIREAT', id_name, ends)
    for old, grace in pairs(token.graced or {}) do -- a name whose grace is over may be another token's by now
      local old_name, alias = root .. ':key:' .. old, '{"id":"' .. token.id .. '","grace":'
      if (redis.call('MGET', old_name)[1] or ''):sub(1, #alias) == alias then
        redis.call('PEXPIREAT', old_name, math.min(grace, ends))
      end
    end
    local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2]
    if last and last ~= 'inf' then redis.call('PEXPIREAT', owner_set, last) end
    reply[2 * i - 1], reply[2 * i] = record, ends
  end
end
return reply
