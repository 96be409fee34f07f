-- Starts the webhook calls for a batch that is done. They are retried until one succeeds.
--
-- Keys:    `notices`, `webhooks`
-- ARGV:    version, id
-- Replies: added | known
-- States:  none
-- Includes: prelude
if redis.call('ZREM', key('notices'), ARGV[2]) == 0 then return 'known' end
redis.call('ZADD', key('webhooks'), int(now), ARGV[2])
return 'added'
