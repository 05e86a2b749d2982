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
local function attrs_at(record, of) -- nil or false in what is not of that id
  local whole = record:find('{"id":"', 1, true) == 1 and record:sub(-2) == '}}'
  local owned = record:find('","owner_id":"', 44, true) == 44
  local wanted = not of or record:sub(8, 43) == of
  return whole and owned and wanted and record:find(',"attrs":{', 57, true)
end

local names = {}
for i = 2, #ARGV do names[i - 1] = root .. ':key:' .. ARGV[i] end
names[#ARGV] = root -- no name of ours: fails while a cluster moves the slot
local records, reply, idlers, ends_of = redis.call('MGET', unpack(names)), {}, {}, {}
for i = 1, #ARGV - 1 do
  local record = records[i]
  local id = record and #record < 57 and record:match('^([%x-]+) %d+$') -- rotated out
  if id then
    local key = redis.call('GET', root .. ':id:' .. id)
    names[i] = root .. ':key:' .. (key or '')
    record = key and redis.call('GET', names[i])
  end
  local at = record and attrs_at(record, id)
  if record and not at then return redis.error_reply('TSRECORD getkey: a foreign record') end
  reply[2 * i - 1], reply[2 * i] = record, 0
  if record and record:byte(at - 1) ~= 34 then -- else the owner's quote ends it
    local token = cjson.decode(record:sub(1, at - 1) .. '}')
    ends_of[names[i]] = math.max(0, redis.call('PEXPIRETIME', names[i]))
    reply[2 * i] = ends_of[names[i]]
    if token.idle and use == 'TOUCH' then idlers[i] = token end
  end
end

local now
for i, token in pairs(idlers) do -- in any order: two keys of one token share ends_of
  local name, time = names[i], not now and redis.call('TIME')
  now = now or time[1] * 1000 + math.floor(time[2] / 1000)
  local ends = math.min(now + token.idle, token.ends_at or math.huge)
  local due = ends > now and ends - ends_of[name] >= token.every
  local id_name, owner_set = root .. ':id:' .. token.id, root .. ':tokens:' .. token.owner_id
  local own = due and name == root .. ':key:' .. (redis.call('MGET', id_name)[1] or '')
  -- Only while it is indexed: else it would live on where no revocation finds it.
  -- A use that Redis refuses to write, at maxmemory or on a replica, is answered too.
  if own and redis.pcall('ZADD', owner_set, 'XX', 'CH', ends, token.id) == 1 then
    redis.call('PEXPIREAT', name, ends)
    redis.call('PEXPIREAT', id_name, ends)
    local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2]
    if last and last ~= 'inf' then redis.call('PEXPIREAT', owner_set, last) end
    ends_of[name] = ends
  end
  reply[2 * i] = ends_of[name]
end
return reply
