-- Schedules the next webhook call after a failed one.
--
-- Keys:    `b:<batch>`, `webhooks`
-- ARGV:    version, id, try (as returned by `webhook_take`), delay_ms
-- Replies: deferred | lost (another caller has tried since, or a call has succeeded)
-- States:  none
-- Includes: prelude
if redis.call('HGET', batch_key(ARGV[2]), 'notice_tries') ~= ARGV[3] then return 'lost' end
if redis.call('ZADD', key('webhooks'), 'XX', 'CH', int(now + ARGV[4]), ARGV[2]) == 0 then return 'lost' end
return 'deferred'
