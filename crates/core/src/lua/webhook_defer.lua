-- A URL did not hear of a batch: it is to be told again later.
--
-- Keys:    `webhooks`, batch `b:<id>`
-- ARGV:    version, id, try (as it was told), delay_ms
-- Replies: deferred | lost (somebody else has tried since, or it was told)
-- States:  none
-- Includes: prelude
if redis.call('HGET', batch_key(ARGV[2]), 'notice_tries') ~= ARGV[3] then return 'lost' end
if redis.call('ZADD', key('webhooks'), 'XX', 'CH', int(now + ARGV[4]), ARGV[2]) == 0 then return 'lost' end
return 'deferred'
