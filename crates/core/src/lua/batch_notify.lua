-- Requests one notification when a batch is done.
--
-- Keys:    `b:<batch>`, `notices`
-- ARGV:    version, id, recipient (an address or a URL)
-- Replies: noted | missing
-- States:  none
-- Includes: prelude
local record = batch_key(ARGV[2])
if redis.call('HEXISTS', record, 'id') == 0 then return 'missing' end
redis.call('HSET', record, 'notify', ARGV[3])
if redis.call('HEXISTS', record, 'done_ms') == 1 then add_notice(record, ARGV[2]) end
return 'noted'
