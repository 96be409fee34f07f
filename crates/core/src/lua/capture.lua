-- Stores a mail of the `capture` transport with a summary for the list. Removes the oldest mails
-- beyond the maximum number or size. The total size is counted again when it exceeds the maximum,
-- because it may include mails that have expired. The latest mail always stays.
--
-- Keys:    `captured`, `captured:<id>`, `captured:<id>:summary`, `captured_bytes`
-- ARGV:    version, id, mail (JSON), summary (JSON), lifetime in seconds, maximum number of mails,
--          maximum number of bytes, maximum number of mails to remove now
-- Replies: kept
-- States:  none
-- Includes: prelude
local list, most = key('captured'), tonumber(ARGV[6])
local function mail_key(id) return key('captured:' .. id) end
local function summary_key(id) return key('captured:' .. id .. ':summary') end

redis.call('SET', mail_key(ARGV[2]), ARGV[3], 'EX', ARGV[5])
redis.call('SET', summary_key(ARGV[2]), ARGV[4], 'EX', ARGV[5])
redis.call('LPUSH', list, ARGV[2])
local keep = most
if redis.call('INCRBY', key('captured_bytes'), #ARGV[3]) > tonumber(ARGV[7]) then
  local bytes
  bytes, keep = 0, 0
  for at, id in ipairs(redis.call('LRANGE', list, 0, most - 1)) do
    local more = redis.call('STRLEN', mail_key(id))
    if at > 1 and bytes + more > tonumber(ARGV[7]) then break end
    bytes, keep = bytes + more, at
  end
  redis.call('SET', key('captured_bytes'), int(bytes))
end
for _, id in ipairs(redis.call('LRANGE', list, keep, keep + tonumber(ARGV[8]) - 1)) do
  redis.call('UNLINK', mail_key(id), summary_key(id))
end
redis.call('LTRIM', list, 0, keep - 1)
return 'kept'
