-- Removes a schedule that its source no longer has. Firings that are already decided are still
-- enqueued.
--
-- Keys:    `schedules`, `schedule:<name>`, `schedule_due`
-- ARGV:    version, name, source
-- Replies: removed | kept (another source has it) | missing
-- States:  none
-- Includes: prelude
local record = key('schedule:' .. ARGV[2])
local source = redis.call('HGET', record, 'source')
if not source then return 'missing' end
if source ~= ARGV[3] then return 'kept' end
redis.call('UNLINK', record)
redis.call('ZREM', key('schedules'), ARGV[2])
redis.call('ZREM', key('schedule_due'), ARGV[2])
return 'removed'
