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
if #KEYS ~= 1 or (use ~= 'TOUCH' and use ~= 'PEEK') or #ARGV < 2 or #ARGV > 1001 then
  return redis.error_reply('TSBADARG getkey: expected root, TOUCH or PEEK, 1 to 1000 keys')
end
local function stray() return redis.error_reply('TSRECORD getkey: a name holds something of another layout') end

local function attrs_at(record) -- where attrs, which are never parsed, begin; nil for another layout
  local ours = record:sub(1, 7) == '{"id":"' and record:sub(44, 57) == '","owner_id":"' and record:sub(-2) == '}}'
  return ours and record:find(',"attrs":{', 57, true)
end

local names, misses, idlers, reply = {}, {}, {}, {}
for i = 2, #ARGV do names[i - 1] = root .. ':key:' .. ARGV[i] end
names[#names + 1] = root -- no name of ours: with it MGET fails while a cluster moves the slot
local values = redis.call('MGET', unpack(names))
names[#names] = nil
for i, name in ipairs(names) do
  local record, expires_at = values[i], 0
  if not record then
    misses[#misses + 1] = name
  elseif record:sub(45, 53) == ',"grace":' then -- rotated out: opens the token whose record still lists it
    name = root .. ':key:' .. (redis.call('MGET', root .. ':id:' .. record:sub(8, 43))[1] or '')
    record = redis.call('MGET', name)[1]
    local at = record and attrs_at(record)
    local graced = at and cjson.decode(record:sub(1, at - 1) .. '}').graced
    if not graced or not graced[ARGV[i + 1]] then record = false end
  end
  if record then
    local at = attrs_at(record)
    if not at then return stray() end
    if record:byte(at - 1) ~= 34 then -- a head that ends with the owner's quote has no lifetime
      local head = record:sub(1, at - 1)
      expires_at = tonumber(head:match(',"expires_at":(%d+)')) or 0
      if use == 'TOUCH' and head:find(',"idle":', 57, true) then idlers[#idlers + 1] = { i, name, head } end
    end
  end
  reply[2 * i - 1], reply[2 * i] = record, expires_at
end
if misses[1] and redis.call('EXISTS', unpack(misses)) > 0 then return stray() end

local time = idlers[1] and redis.call('TIME')
local now = time and time[1] * 1000 + math.floor(time[2] / 1000)
for _, idler in ipairs(idlers) do -- at most one a key
  local i, name, head = unpack(idler)
  local function number(field) return tonumber(head:match(',"' .. field .. '":(%d+)')) end
  local ends = math.min(now + number('idle'), number('ends_at') or math.huge)
  local token = ends - reply[2 * i] >= number('every') and cjson.decode(head .. '}')
  local id_name = token and root .. ':id:' .. token.id
  if token and name ~= root .. ':key:' .. (redis.call('MGET', id_name)[1] or '') then token = nil end -- id evicted
  local owner_set = token and root .. ':tokens:' .. token.owner_id
  -- A use that Redis refuses to note, at maxmemory or on a replica, is answered all the same.
  if token and type(redis.pcall('ZADD', owner_set, 'XX', ends, token.id)) == 'number' then
    local record = reply[2 * i - 1]:gsub(',"expires_at":%d+', (',"expires_at":%.0f'):format(ends), 1)
    redis.call('SET', name, record, 'PXAT', ends)
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
