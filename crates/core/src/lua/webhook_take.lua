-- Leases due webhook calls to the caller. No other caller gets them before the lease expires.
--
-- Keys:    `b:<batch>`, `webhooks`
-- ARGV:    version, number (at most 200), lease_ms, life_ms (minimum remaining lifetime of the
--          batch's record)
-- Replies: <now_ms>, then for each: id, URL (`notify`), its try (counts from 1), when the batch was
--          done (ms)
-- States:  none
-- Includes: prelude
local reply = { int(now) }
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('webhooks'), '-inf', int(now), 'LIMIT', 0, ARGV[2])) do
  local record = batch_key(id)
  local facts = redis.call('HMGET', record, 'id', 'notify', 'noticed_ms')
  if facts[1] and facts[2] then
    redis.call('ZADD', key('webhooks'), int(now + ARGV[3]), id)
    local try = redis.call('HINCRBY', record, 'notice_tries', 1)
    local left = redis.call('PTTL', record)
    if left >= 0 and left < tonumber(ARGV[4]) then redis.call('PEXPIRE', record, ARGV[4]) end
    for _, word in ipairs({ id, facts[2], try, facts[3] or now_text }) do reply[#reply + 1] = word end
  else
    redis.call('ZREM', key('webhooks'), id)
  end
end
return reply
