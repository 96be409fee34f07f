-- Creates the record of a batch: the content that its jobs share, and a counter for each state. A
-- repeated call changes nothing.
--
-- Keys:    `b:<batch>`, `c:<batch>`, `batches`
-- ARGV:    version, id, name, retention_ms, template, shared content (JSON), microseconds between
--          two mails (0: no pace), one_at_a_time (1: the delay counts from the begin of the mail
--          before)
-- Replies: created | known
-- States:  none
-- Includes: prelude
local record = batch_key(ARGV[2])
-- A record without an id has only the counters from a resync after Redis lost the batch.
if redis.call('HEXISTS', record, 'id') == 1 then return 'known' end
redis.call('SET', base .. ':c:' .. ARGV[2], ARGV[6])
redis.call('HSET', record, 'id', ARGV[2], 'name', ARGV[3], 'created_ms', int(now), 'retention_ms', ARGV[4],
  'template', ARGV[5])
redis.call('HINCRBY', record, 'total', 0)
if ARGV[7] ~= '0' then redis.call('HSET', record, 'pace_us', ARGV[7], 'one_at_a_time', ARGV[8]) end
redis.call('PERSIST', record)
redis.call('ZADD', key('batches'), int(now), ARGV[2])
return 'created'
