-- Reads schedules that are due, and firings that are decided but not enqueued yet.
--
-- Keys:    `schedule:<name>`, `schedule_due`, `outbox`
-- ARGV:    version, limit (of schedules, and of firings)
-- Replies: <now_ms> <later_ms (the next due time, or 0)> <schedules: hash (field, value, …)>
--          <firings: id, fields>
-- States:  none
-- Includes: prelude
local due = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', key('schedule_due'), '-inf', int(now), 'LIMIT', 0, ARGV[2])) do
  due[#due + 1] = redis.call('HGETALL', key('schedule:' .. name))
end
local later = redis.call('ZRANGEBYSCORE', key('schedule_due'), '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local later_ms = later[2] and int(tonumber(later[2])) or '0'
return { int(now), later_ms, due, redis.call('XRANGE', key('outbox'), '-', '+', 'COUNT', ARGV[2]) }
