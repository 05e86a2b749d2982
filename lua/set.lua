--[[
  set -- replace a token's attrs; never creates one, changes nothing else of it.

  KEYS[1]  root            e.g. token, or token:{k3F}
  ARGV[1]  id              1 byte or more
  ARGV[2]  attrs           JSON object, kept as it is
  Option   IF attrs        only if the stored text is this, byte for byte

  Writes   <root>:key:<key>            the record; its TTL stays
  Returns  key, record, expires_at     after the write; expires_at in Unix ms, 0 for never
           nil                         unknown or ended; nothing written
  Errors   TSBADARG                    an argument is missing or malformed; nothing written
           TSCONFLICT                  the stored attrs are not those of IF; nothing written
           TSRECORD                    a name holds something of another layout; nothing written
]]
local root, id, attrs, word, expected = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local function refuse(code, text) return redis.error_reply(code .. ' set: ' .. text) end
local function stray() return refuse('TSRECORD', 'a name holds something of another layout') end
if #KEYS ~= 1 or not attrs or id == '' then return refuse('TSBADARG', 'expected root id attrs') end
if not attrs:find('^{.*}$') then return refuse('TSBADARG', 'attrs must be a JSON object') end
if #ARGV ~= 2 and (#ARGV ~= 4 or word ~= 'IF') then return refuse('TSBADARG', 'only IF attrs may follow attrs') end

local id_name = root .. ':id:' .. id
local key = redis.call('MGET', id_name, root)[1] -- with root: fails while a cluster moves the slot
local key_name = root .. ':key:' .. (key or '')
local record = key and redis.call('MGET', key_name)[1]
if not record then
  if redis.call('EXISTS', key and key_name or id_name) > 0 then return stray() end
  return nil
end
local ours = record:sub(1, 7) == '{"id":"' and record:sub(44, 57) == '","owner_id":"' and record:sub(-2) == '}}'
local attrs_at = ours and record:find(',"attrs":{', 57, true)
if record:sub(8, 43) ~= id and (attrs_at or record:find('^{"id":"[%x-]+","grace":%d+}$')) then
  return nil -- the id's own record was evicted, and its key issued again
end
if not attrs_at then return stray() end
local head = record:sub(1, attrs_at - 1) .. ',"attrs":'
if expected and record:sub(#head + 1, -2) ~= expected then
  return refuse('TSCONFLICT', 'the stored attrs are not those of IF')
end
record = head .. attrs .. '}'
redis.call('SET', key_name, record, 'KEEPTTL')
return { key, record, tonumber(head:match('","expires_at":(%d+)')) or 0 }
