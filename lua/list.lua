--[[
  list -- the live tokens of an owner: all in order of issue, or a page of them.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  owner_id        1 byte or more
  Option   AFTER cursor    go on behind this place, from an earlier reply
  Option   COUNT n         1..1000, look at this many members; all of them when absent

  Writes   <root>:tokens:<owner_id>    ended ids and ids without a record dropped; the TTL of its last to end
           <root>:id:<id>              deleted where it led nowhere
  Returns  cursor                      empty at the end; then for each token
           key, record, expires_at     expires_at in Unix ms, 0 for never
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSRECORD                    a name holds something of another layout; nothing written

  With COUNT the order is that of the end: a use can only move a token on, so whoever walks from cursor to
  cursor misses none that lives through the walk, and may meet one that was used meanwhile again.
]]
local root, owner_id = KEYS[1], ARGV[1]
local function refuse(code, text) return redis.error_reply(code .. ' list: ' .. text) end
local function stray() return refuse('TSRECORD', 'a name holds something of another layout') end
if #KEYS ~= 1 or not owner_id or owner_id == '' then return refuse('TSBADARG', 'expected root owner_id') end
local option = { AFTER = false, COUNT = false }
for i = 2, #ARGV, 2 do -- at most two options
  if option[ARGV[i]] ~= false or not ARGV[i + 1] then return refuse('TSBADARG', 'an option is unknown or repeated') end
  option[ARGV[i]] = ARGV[i + 1]
end
local count = option.COUNT and tonumber(option.COUNT:match('^[1-9]%d*$'))
if option.COUNT and (not count or count > 1000) then return refuse('TSBADARG', 'COUNT must be 1 to 1000') end
local score, after = (option.AFTER or ''):match('^(%w+):([%x-]+)$')
if option.AFTER and (not score or score ~= 'inf' and not score:find('^%d+$')) then
  return refuse('TSBADARG', 'AFTER must be a cursor from an earlier reply')
end

local owner_set = root .. ':tokens:' .. owner_id
if redis.call('EXISTS', owner_set, root) == 0 then return { '' } end -- with root: fails while a cluster moves the slot
local kind = redis.call('TYPE', owner_set).ok
if kind ~= 'none' and kind ~= 'zset' then return stray() end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function digits(id) -- sorts as the id does; letters Lua compares by the locale of the server
  return (id:gsub('%x', function(digit) return ('%02d'):format(tonumber(digit, 16)) end))
end

local ended = redis.call('ZCOUNT', owner_set, '-inf', '(' .. now)
local first = ended
if after then -- behind (score, after) in the set, which need not be in it any more
  first = redis.call('ZCOUNT', owner_set, '-inf', '(' .. score)
  local last = redis.call('ZCOUNT', owner_set, '-inf', score)
  while first < last do -- halves the ids of that score
    local middle = math.floor((first + last) / 2)
    local id = redis.call('ZRANGE', owner_set, middle, middle)[1]
    if digits(id) > digits(after) then last = middle else first = middle + 1 end
  end
  first = math.max(first, ended)
end
local ids = redis.call('ZRANGE', owner_set, first, count and first + count - 1 or -1)
local cursor = ''
if count and first + count < redis.call('ZCARD', owner_set) then
  cursor = redis.call('ZSCORE', owner_set, ids[count]) .. ':' .. ids[count]
end
if #ARGV == 1 and redis.call('ZCOUNT', owner_set, '+inf', '+inf') < #ids then -- those that never end are in order
  local order = {}
  for _, id in ipairs(ids) do order[id] = digits(id) end
  table.sort(ids, function(a, b) return order[a] < order[b] end) -- ids sort by time of issue
end

local function mget(prefix, list) -- 1,000 names a call, since unpack has room for 8,000; false where is no string
  local values = {}
  for from = 1, #list, 1000 do
    local names = {}
    for i = from, math.min(from + 999, #list) do names[#names + 1] = prefix .. (list[i] or '') end
    for i, value in ipairs(redis.call('MGET', unpack(names))) do values[from + i - 1] = value end
  end
  return values
end
local function is_ours(text) -- a record, or the alias that rotate leaves for a grace
  local token = text:sub(1, 7) == '{"id":"' and text:sub(44, 57) == '","owner_id":"' and text:sub(-2) == '}}'
  return token and text:find(',"attrs":{', 57, true) or text:find('^{"id":"[%x-]+","grace":%d+}$')
end
local keys = mget(root .. ':id:', ids)
local records, reply, gone = mget(root .. ':key:', keys), { cursor }, {}
local owner, n = '","owner_id":' .. cjson.encode(owner_id) .. ',', 1
local rest = 44 + #owner -- where a record goes on behind id and owner
for i, id in ipairs(ids) do
  local key, record = keys[i], keys[i] and records[i]
  local own = record and record:find(id, 8, true) == 8 and record:find(owner, 44, true) == 44
  if own and record:find('"attrs":{', rest, true) and record:sub(-2) == '}}' then
    local expires_at = record:match('^"expires_at":(%d+)', rest)
    reply[n + 1], reply[n + 2], reply[n + 3] = key, record, expires_at and tonumber(expires_at) or 0
    n = n + 3
  elseif record and not is_ours(record) then
    return stray()
  else
    local id_name = root .. ':id:' .. id
    if not key and redis.call('EXISTS', id_name) > 0 then return stray() end
    if key and not record and redis.call('EXISTS', root .. ':key:' .. key) > 0 then return stray() end
    gone[#gone + 1] = { id, key and (not record or record:sub(8, 43) ~= id) and id_name }
  end
end

for _, member in ipairs(gone) do -- at most the ids looked at
  redis.call('ZREM', owner_set, member[1])
  if member[2] then redis.call('DEL', member[2]) end
end
if ended > 0 then redis.call('ZREMRANGEBYRANK', owner_set, 0, math.min(ended, 1000) - 1) end -- bounded, as a page is
if gone[1] then
  local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2]
  if last and last ~= 'inf' then redis.call('PEXPIREAT', owner_set, last) end
end
return reply
