-- Of a batch that is done a URL is to be told: from now on it is tried until that hears it.
--
-- Keys:    `notices`, `webhooks`
-- ARGV:    version, id
-- Replies: added | known
-- States:  none
-- Includes: prelude
if redis.call('ZREM', key('notices'), ARGV[2]) == 0 then return 'known' end
redis.call('ZADD', key('webhooks'), int(now), ARGV[2])
return 'added'
