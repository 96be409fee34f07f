-- Cancels all waiting jobs of a batch at once, at any size: only counters change. From then on its
-- waiting jobs read as cancelled; `prune` frees them. Jobs that are being sent finish.
--
-- Keys:    `b:<batch>`, `lines`, `line:<name>:<priority>`, `n`, `sweeping`, counters
-- ARGV:    version, id
-- Replies: cancelled <jobs> | already | missing
-- States:  scheduled, queued, deferred -> cancelled
-- Includes: prelude
local record = batch_key(ARGV[2])
local facts = redis.call('HMGET', record, 'id', 'cancelled_ms', 'scheduled', 'queued', 'deferred')
if not facts[1] then return { 'missing' } end
if facts[2] then return { 'already' } end
local moved = 0
for index, state in ipairs({ 'scheduled', 'queued', 'deferred' }) do
  local number = tonumber(facts[index + 2]) or 0
  moved = moved + number
  count(record, state, -number)
  count(key('n'), state, -number)
end
count(record, 'cancelled', moved)
count(key('n'), 'cancelled_total', moved)
count(minute_key(), 'cancelled', moved)
redis.call('HSET', record, 'cancelled_ms', int(now), 'sealed', '1')
redis.call('ZADD', key('sweeping'), 0, ARGV[2])
redis.call('ZREM', key('lines'), ARGV[2])
for priority = 0, 9 do redis.call('UNLINK', key('line:' .. ARGV[2] .. ':' .. priority)) end
flush_writes()
return { 'cancelled', moved }
