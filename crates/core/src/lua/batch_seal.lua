-- Seals a batch after the end of its input: its total is final.
--
-- Keys:    `t:<ref>`, `b:<batch>`, `c:<batch>`, `sweeping`, `notices`
-- ARGV:    version, id, invalid rows, duplicate rows
-- Replies: sealed | missing
-- States:  none
-- Includes: prelude
local record = batch_key(ARGV[2])
if redis.call('HEXISTS', record, 'id') == 0 then return 'missing' end
redis.call('HSET', record, 'sealed', '1', 'invalid', ARGV[3], 'duplicates', ARGV[4])
update_completion(record)
return 'sealed'
