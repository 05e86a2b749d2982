--[[
  delowner -- revoke every token of an owner, or all but one: log out everywhere, but here.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  owner_id        1 byte or more
  Option   EXCEPT id       keep this one; an id that is not a live token of this owner keeps nothing
  Option   COUNT n         1..1000, revoke at most n, those to expire last; all when absent
  Option   HASHES          delete every hash made for the owner as well

  Writes   <root>:tokens:<owner_id>    ids removed; the TTL of its last to expire
           <root>:key:<key>            deleted; keys within a grace lead nowhere from now on
           <root>:id:<id>              deleted
           <root>:hash:<hash>          with HASHES: deleted
           <root>:hashes:<owner_id>    with HASHES: deleted
  Returns  integer                     tokens revoked; fewer than n when none is left
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
]]
local root, owner_id = KEYS[1], ARGV[1] or ''
local function bad(text) return redis.error_reply('TSBADARG delowner: ' .. text) end
if #KEYS ~= 1 or owner_id == '' then return bad('expected root owner_id') end
local option = { EXCEPT = false, COUNT = false, HASHES = false }
local at = 2
while ARGV[at] do -- at most three options
  local word, value = ARGV[at], ARGV[at] == 'HASHES' or ARGV[at + 1]
  if not value or option[word] ~= false then
    return bad('an option is unknown, repeated or without its value')
  end
  option[word], at = value, at + (value == true and 1 or 2)
end
local count = option.COUNT and tonumber(option.COUNT:match('^[1-9]%d*$') or 1001)
if count and count > 1000 then return bad('COUNT must be 1 to 1000') end
local except = option.EXCEPT
if except == '' then return bad('EXCEPT must be an id') end

-- No names of ours, so that this fails while a cluster moves the slot.
redis.call('EXISTS', root, root .. ':')
local owner_set, made_for = root .. ':tokens:' .. owner_id, root .. ':hashes:' .. owner_id
local hashes = option.HASHES and redis.call('ZRANGE', made_for, 0, -1) or {}
local owner = '","owner_id":' .. cjson.encode(owner_id) .. ','
local revoked, kept = 0, 0
while revoked ~= count do -- page by page, for unpack has room for 8,000
  local page = math.min(1000, count and count - revoked or 1000)
  local ids = redis.call('ZRANGE', owner_set, kept, kept + page - 1, 'REV')
  if not ids[1] then break end
  local names, gone, doomed = {}, {}, {}
  for i, id in ipairs(ids) do names[i] = root .. ':id:' .. id end
  local keys = redis.call('MGET', unpack(names))
  for i, key in ipairs(keys) do names[i] = root .. ':key:' .. (key or '') end
  for i, record in ipairs(redis.call('MGET', unpack(names))) do
    local id = ids[i]
    local own = record and record:sub(1, 43 + #owner) == '{"id":"' .. id .. owner
    local stays = own and id == except
    kept = stays and 1 or kept
    if not stays then gone[#gone + 1] = id end
    if own and not stays then
      doomed[#doomed + 1] = root .. ':id:' .. id
      doomed[#doomed + 1] = names[i]
      revoked = revoked + 1
    end
  end
  if gone[1] then redis.call('ZREM', owner_set, unpack(gone)) end
  if doomed[1] then redis.call('DEL', unpack(doomed)) end
end
local last = redis.call('ZRANGE', owner_set, -1, -1, 'WITHSCORES')[2] or 'inf'
if last:find('%D') then redis.call('PERSIST', owner_set) end -- no time
if not last:find('%D') then redis.call('PEXPIREAT', owner_set, last) end
for _, hash in ipairs(hashes) do redis.call('DEL', root .. ':hash:' .. hash) end
if hashes[1] then redis.call('DEL', made_for) end
return revoked
