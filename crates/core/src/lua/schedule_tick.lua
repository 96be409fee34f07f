-- Moves a schedule's cursor past the times that have come, and writes their firings to the outbox
-- in the same script. Any beat enqueues them from there. If several beats send the same tick, one
-- succeeds.
--
-- Keys:    `schedule:<name>`, `schedule_due`, `outbox`
-- ARGV:    version, name, revision, cursor_ms (as read), cursor_ms (new), next_ms (or 0), then for
--          each firing: fire_ms, id (of its job or batch)
-- Replies: ticked | changed (by another process since it was read) | early (Redis's clock is before
--          the fire time)
-- States:  none
-- Includes: prelude
local name, cursor = ARGV[2], ARGV[5]
local record = key('schedule:' .. name)
local facts = redis.call('HMGET', record, 'revision', 'cursor_ms', 'definition')
if facts[1] ~= ARGV[3] or facts[2] ~= ARGV[4] then return 'changed' end
if cursor ~= ARGV[4] and tonumber(cursor) > now then return 'early' end
for index = 7, #ARGV, 2 do
  if tonumber(ARGV[index]) > now then return 'early' end
end
for index = 7, #ARGV, 2 do
  local fire_ms, id = ARGV[index], ARGV[index + 1]
  redis.call('XADD', key('outbox'), '*', 'name', name, 'fire_ms', fire_ms, 'at_ms', int(now), 'id', id,
    'definition', facts[3])
  redis.call('HSET', record, 'last_ms', fire_ms, 'last_id', id)
end
redis.call('HSET', record, 'cursor_ms', cursor)
if ARGV[6] == '0' then
  redis.call('ZREM', key('schedule_due'), name)
else
  redis.call('ZADD', key('schedule_due'), ARGV[6], name)
end
return 'ticked'
