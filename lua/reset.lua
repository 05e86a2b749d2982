--[[
  reset -- end the tokens and hashes that the given names belong to, each token whole.

  KEYS[1]   root             e.g. token, or token:{k3F}
  ARGV[1..] name [name ...]  1 to 1,000 names without the root, as SCAN MATCH <root>:* finds them, e.g. id:<id>

  Writes   all names of those tokens   deleted
           <root>:tokens:<owner_id>    their ids removed; the TTL of its last to end
           <root>:hash:<hash>          deleted
           <root>:latest:<name>        deleted
  Returns  tokens                      how many ended
           hashes                      how many deleted
           left                        members left in the owner sets named: give the same names again
  Errors   TSBADARG                    an argument is missing; nothing written

  What is not of this layout stays where it is. At most 300 members of owner sets go in a call, so none takes long.
]]
local root = KEYS[1]
if #KEYS ~= 1 or #ARGV < 1 or #ARGV > 1000 then
  return redis.error_reply('TSBADARG reset: expected root and 1 to 1000 names')
end
local function string_at(name) return redis.call('MGET', name)[1] end -- unlike GET no error on another type

redis.call('EXISTS', root, root .. ':') -- neither is a name of ours: fails while a cluster moves the slot
local function attrs_at(text) -- where attrs begin in a record; nil for another layout
  local token = text and text:sub(1, 7) == '{"id":"' and text:sub(44, 57) == '","owner_id":"' and text:sub(-2) == '}}'
  return token and text:find(',"attrs":{', 57, true)
end
local function is_alias(text) -- what rotate leaves for a grace
  return text and text:find('^{"id":"[%x-]+","grace":%d+}$')
end

local tokens, hashes, left, budget = 0, 0, 0, 300 -- the last: of members
local end_ = {} -- how a name of each family ends
function end_.key(key, record)
  record = record or string_at(root .. ':key:' .. key)
  local id = record and record:sub(8, 43)
  if is_alias(record) then -- its token ends as well
    end_.id(id)
    redis.call('DEL', root .. ':key:' .. key)
  elseif attrs_at(record) then
    local head = cjson.decode(record:sub(1, attrs_at(record) - 1) .. '}')
    local owner_set = root .. ':tokens:' .. head.owner_id
    local leads_to = string_at(root .. ':id:' .. id)
    local own = not leads_to or leads_to == key -- else the id was evicted, and restored under another key since
    if own and redis.call('TYPE', owner_set).ok == 'zset' then
      redis.call('ZREM', owner_set, id)
      local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2]
      if last and last ~= 'inf' then redis.call('PEXPIREAT', owner_set, last) end
    end
    redis.call('DEL', root .. ':key:' .. key)
    if leads_to == key then redis.call('DEL', root .. ':id:' .. id) end
    for old in pairs(head.graced or {}) do -- a name whose grace is over may be another token's by now
      local name, alias = root .. ':key:' .. old, '{"id":"' .. id .. '","grace":'
      if (string_at(name) or ''):sub(1, #alias) == alias then redis.call('DEL', name) end
    end
    tokens = tokens + 1
  end
end
function end_.id(id)
  local key = string_at(root .. ':id:' .. id)
  local record = key and string_at(root .. ':key:' .. key)
  if record and record:sub(8, 43) == id then
    end_.key(key, record)
  elseif key and (attrs_at(record) or is_alias(record) or redis.call('EXISTS', root .. ':key:' .. key) == 0) then
    redis.call('DEL', root .. ':id:' .. id) -- led nowhere: its record was evicted, its key perhaps issued again
  end
end
function end_.tokens(owner_id) -- many tokens at once, those with a grace one by one
  local owner_set = root .. ':tokens:' .. owner_id
  if redis.call('TYPE', owner_set).ok ~= 'zset' then return end
  local ids = budget > 0 and redis.call('ZRANGE', owner_set, 0, budget - 1) or {}
  local more = redis.call('ZCARD', owner_set) - #ids
  budget, left = budget - #ids, left + more
  if not ids[1] then return end
  local id_names, key_names, ended = {}, {}, {}
  for i, id in ipairs(ids) do id_names[i] = root .. ':id:' .. id end
  local keys = redis.call('MGET', unpack(id_names))
  for i in ipairs(ids) do key_names[i] = root .. ':key:' .. (keys[i] or '') end
  local records = redis.call('MGET', unpack(key_names))
  local owner = '","owner_id":' .. cjson.encode(owner_id) .. ','
  for i, id in ipairs(ids) do
    local record = keys[i] and attrs_at(records[i]) and records[i]
    local own = record and record:find(id, 8, true) == 8 and record:find(owner, 44, true) == 44
    if own and not record:find(',"graced":{', 57, true) then
      ended[#ended + 1], ended[#ended + 2] = key_names[i], id_names[i]
      tokens = tokens + 1
    elseif own or not record or record:sub(8, 43) ~= id then -- another owner's by now is not named here
      end_.id(id)
    end
  end
  if ended[1] then redis.call('DEL', unpack(ended)) end
  if more == 0 then redis.call('DEL', owner_set) else redis.call('ZREM', owner_set, unpack(ids)) end
end
function end_.hash(hash)
  local value = string_at(root .. ':hash:' .. hash) or ''
  local word_or_number = value == 'true' or value == 'false' or value == 'null' or value:find('^%-?%d[%d.eE+-]*$')
  if word_or_number or value:find('^["%[{].*["%]}]$') then -- every hash holds JSON text
    hashes = hashes + redis.call('DEL', root .. ':hash:' .. hash)
  end
end
function end_.latest(name)
  if string_at(root .. ':latest:' .. name) then redis.call('DEL', root .. ':latest:' .. name) end
end

for _, name in ipairs(ARGV) do -- at most 1,000
  local family, rest = name:match('^(%l+):(.+)$')
  if end_[family] then end_[family](rest) end
end
return { tokens, hashes, left }
