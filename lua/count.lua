--[[
  count -- how many live tokens an owner has.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  owner_id        1 byte or more

  Writes   nothing
  Returns  integer                     an id whose record Redis evicted does not count
  Errors   TSBADARG                    an argument is missing; nothing written
           TSRECORD                    a name holds something of another layout; nothing written
]]
local root, owner_id = KEYS[1], ARGV[1]
if #KEYS ~= 1 or #ARGV ~= 1 or owner_id == '' then
  return redis.error_reply('TSBADARG count: expected root owner_id')
end
local function stray() return redis.error_reply('TSRECORD count: a name holds something of another layout') end

local owner_set = root .. ':tokens:' .. owner_id
if redis.call('EXISTS', owner_set, root) == 0 then return 0 end -- with root: fails while a cluster moves the slot
local kind = redis.call('TYPE', owner_set).ok
if kind ~= 'none' and kind ~= 'zset' then return stray() end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', owner_set, now, '+inf')

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
local records, live = mget(root .. ':key:', keys), 0
local owner = '","owner_id":' .. cjson.encode(owner_id) .. ','
for i, id in ipairs(ids) do
  local record = keys[i] and records[i]
  if record and not is_ours(record) then return stray() end
  if not record and redis.call('EXISTS', keys[i] and root .. ':key:' .. keys[i] or root .. ':id:' .. id) > 0 then
    return stray()
  end
  if record and record:find(id, 8, true) == 8 and record:find(owner, 44, true) == 44 then live = live + 1 end
end
return live
