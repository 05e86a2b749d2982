--[[
  getkey -- the records of the tokens that the given keys open; TOUCH counts as a use of them.

  KEYS[1]   root           e.g. token, or token:{k3F}
  ARGV[1]   TOUCH|PEEK     whether the call is a use, or changes nothing
  ARGV[2..] key [key ...]  1 to 1,000 keys

  Writes   with TOUCH, once the expiry of a token with IDLE moves by EVERY, never past ends_at:
           <root>:key:<key>            the TTL
           <root>:id:<id>              the TTL
           <root>:tokens:<owner_id>    score of the id, TTL of its last to expire
  Returns  for each key record         nil when unknown, past its grace, revoked or expired
                    and expires_at     Unix ms, 0 for never and for nil
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSRECORD                    a foreign record; nothing written
]]
local root, use = KEYS[1], ARGV[1]
if #KEYS ~= 1 or use ~= 'TOUCH' and use ~= 'PEEK' or #ARGV < 2 or #ARGV > 1001 then
  return redis.error_reply('TSBADARG getkey: expected root, TOUCH or PEEK, 1 to 1000 keys')
end
-- The token of a record and where its attrs begin; nil for what is no record of that id.
local function token_of(record, of)
  local at = record:find(',"attrs":{', 57, true) or 0
  local owner_id = record:match('^"([^%c"/\\]+)"', 57)
  if not owner_id then -- it has escapes
    local read, head = pcall(cjson.decode, record:sub(1, at - 1) .. '}')
    owner_id = read and type(head.owner_id) == 'string' and head.owner_id or ''
  end
  local token = { id = of or record:sub(8, 43), owner_id = owner_id }
  local begin = '{"id":"' .. token.id .. '","owner_id":' .. cjson.encode(owner_id)
  local from = owner_id ~= '' and record:sub(1, #begin) == begin and #begin + 1
  while from and from < at do
    local name, n, behind = record:match('^,"([%l_]+)":(%d+)()', from)
    from = name and not token[name] and behind
    if from then token[name] = tonumber(n) end
  end
  return from == at and record:sub(-2) == '}}' and token, at
end

local names, now = {}, nil
for i = 2, #ARGV do names[i - 1] = root .. ':key:' .. ARGV[i] end
names[#ARGV] = root -- no name of ours: fails while a cluster moves the slot
local records, reply, lasting, id_names = redis.call('MGET', unpack(names)), {}, {}, {}
for i = 1, #ARGV - 1 do
  local record, key = records[i], ARGV[i + 1]
  local id, till
  if record and #record < 57 then id, till = record:match('^([%x-]+) (%d+)$') end -- rotated out
  if id then
    local time = not now and redis.call('TIME')
    now = now or time[1] * 1000 + math.floor(time[2] / 1000)
    key = now <= tonumber(till) and redis.call('GET', root .. ':id:' .. id)
    names[i] = root .. ':key:' .. (key or '')
    record = key and redis.call('GET', names[i])
  end
  -- As most that never expire: nothing to read of it.
  local plain = record and not id and record:find('^","owner_id":"[^%c"/\\]+","attrs":{', 44)
  plain = plain and record:sub(1, 7) .. record:sub(-2) == '{"id":"}}'
  local token = record and not plain and token_of(record, id)
  if record and not plain and not token then
    return redis.error_reply('TSRECORD getkey: a foreign record')
  end
  reply[2 * i - 1], reply[2 * i] = record, 0
  if token and (token.ends_at or token.idle) then
    lasting[#lasting + 1], id_names[#lasting + 1] = token, root .. ':id:' .. token.id
    token.i, token.key = i, key
  end
end

-- A token that expires is live only while revocation finds it, by its id and by its owner: Redis
-- deletes expired names one by one, and its clock may step back before all of them are gone.
local led, ends_of = id_names[1] and redis.call('MGET', unpack(id_names)), {}
for n, token in ipairs(lasting) do
  local i, owner_set = token.i, root .. ':tokens:' .. token.owner_id
  local name = names[i]
  if ends_of[name] == nil then -- else another key of this token came before
    local listed = led[n] == token.key and tonumber(redis.pcall('ZSCORE', owner_set, token.id))
    ends_of[name] = listed and math.max(0, redis.call('PEXPIRETIME', name)) or false
  end
  if ends_of[name] and token.idle and token.every and use == 'TOUCH' then
    local time = not now and redis.call('TIME')
    now = now or time[1] * 1000 + math.floor(time[2] / 1000)
    local ends = math.min(now + token.idle, token.ends_at or math.huge)
    local due = now < ends and ends < 1e15 and ends - ends_of[name] >= token.every
    -- A use that Redis refuses to write, at maxmemory or on a replica, is answered too.
    if due and redis.pcall('ZADD', owner_set, 'XX', 'CH', ends, token.id) == 1 then
      redis.call('PEXPIREAT', name, ends)
      redis.call('PEXPIREAT', root .. ':id:' .. token.id, ends)
      local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2] or 'inf'
      if last:find('%D') then redis.call('PERSIST', owner_set) end -- no time
      if not last:find('%D') then redis.call('PEXPIREAT', owner_set, last) end
      ends_of[name] = ends
    end
  end
  reply[2 * i - 1], reply[2 * i] = ends_of[name] and reply[2 * i - 1], ends_of[name] or 0
end
return reply
