-- Creates or changes a schedule to match its source. Nothing changes if the source is the same as
-- before, so that a live edit stays. The next beat calculates when it fires.
--
-- Keys:    `schedules`, `schedule:<name>`, `schedule_due`
-- ARGV:    version, name, source, hash (of the source's definition), timing, enabled (1 | 0),
--          definition (JSON), id (for a new schedule)
-- Replies: created | changed | unchanged
-- States:  none
-- Includes: prelude
local name, timing, enabled = ARGV[2], ARGV[5], ARGV[6]
local record = key('schedule:' .. name)
local facts = redis.call('HMGET', record, 'id', 'hash', 'timing', 'enabled')
if facts[2] == ARGV[4] then return 'unchanged' end
redis.call('HSET', record, 'name', name, 'source', ARGV[3], 'hash', ARGV[4], 'timing', timing, 'enabled', enabled,
  'definition', ARGV[7])
redis.call('HINCRBY', record, 'revision', 1)
-- Times before the schedule was created, enabled or given this timing do not fire.
if facts[3] ~= timing or (facts[4] ~= '1' and enabled == '1') then redis.call('HSET', record, 'cursor_ms', int(now)) end
if enabled == '1' then
  redis.call('ZADD', key('schedule_due'), 0, name)
else
  redis.call('ZREM', key('schedule_due'), name)
end
if facts[1] then return 'changed' end
redis.call('HSET', record, 'id', ARGV[8], 'created_ms', int(now))
redis.call('ZADD', key('schedules'), int(now), name)
return 'created'
