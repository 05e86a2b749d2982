--[[
  delowner -- end every token of an owner, or all but one: log out everywhere, but here.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  owner_id        1 byte or more
  Option   EXCEPT id       keep this one; an id that is not a live token of this owner keeps nothing

  Writes   <root>:tokens:<owner_id>    emptied, or only the kept id left; the TTL of that
           <root>:key:<key>            deleted, as are keys within their grace
           <root>:id:<id>              deleted
  Returns  integer                     live tokens ended
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSRECORD                    a name holds something of another layout; nothing written
]]
local root, owner_id, word, except = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local function refuse(code, text) return redis.error_reply(code .. ' delowner: ' .. text) end
local function stray() return refuse('TSRECORD', 'a name holds something of another layout') end
if #KEYS ~= 1 or not owner_id or owner_id == '' then return refuse('TSBADARG', 'expected root owner_id') end
if #ARGV ~= 1 and (#ARGV ~= 3 or word ~= 'EXCEPT' or except == '') then
  return refuse('TSBADARG', 'only EXCEPT id may follow owner_id')
end

local owner_set = root .. ':tokens:' .. owner_id
if redis.call('EXISTS', owner_set, root) == 0 then return 0 end -- with root: fails while a cluster moves the slot
local kind = redis.call('TYPE', owner_set).ok
if kind ~= 'none' and kind ~= 'zset' then return stray() end
local ids = redis.call('ZRANGE', owner_set, 0, -1)

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
local records, kept, ended, names = mget(root .. ':key:', keys), false, 0, {}
local owner = '","owner_id":' .. cjson.encode(owner_id) .. ','
for i, id in ipairs(ids) do
  local record = keys[i] and records[i]
  local own = record and record:find(id, 8, true) == 8 and record:find(owner, 44, true) == 44
  local key_name, id_name = root .. ':key:' .. (keys[i] or ''), root .. ':id:' .. id
  if record and not is_ours(record) then return stray() end
  if not record and redis.call('EXISTS', keys[i] and key_name or id_name) > 0 then return stray() end
  if own and id == except then
    kept = record:match('^"expires_at":(%d+)', 44 + #owner) or '+inf'
  elseif own then
    ended = ended + 1
    names[#names + 1], names[#names + 2] = key_name, id_name
    local head = record:sub(1, record:find(',"attrs":{', 57, true) - 1)
    local graced = head:find(',"graced":{', 57, true) and cjson.decode(head .. '}').graced
    for old in pairs(graced or {}) do -- a name whose grace is over may be another token's by now
      local name, alias = root .. ':key:' .. old, '{"id":"' .. id .. '","grace":'
      if (redis.call('MGET', name)[1] or ''):sub(1, #alias) == alias then names[#names + 1] = name end
    end
  elseif keys[i] and (not record or record:sub(8, 43) ~= id) then -- the id led nowhere: its record was evicted
    names[#names + 1] = id_name
  end
end

redis.call('DEL', owner_set)
if kept then
  redis.call('ZADD', owner_set, kept, except)
  if kept ~= '+inf' then redis.call('PEXPIREAT', owner_set, kept) end
end
for first = 1, #names, 1000 do
  redis.call('DEL', unpack(names, first, math.min(first + 999, #names)))
end
return ended
