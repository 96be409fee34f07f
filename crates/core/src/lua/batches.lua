-- Reads batches, the latest first.
--
-- Keys:    `b:<batch>`, `batches`
-- ARGV:    version, offset, number (at most 200), or version, '', '', id
-- Replies: <now_ms>, then for each batch: hash (field, value, …)
-- States:  none
-- Includes: prelude
local ids = ARGV[4] and { ARGV[4] } or redis.call('ZREVRANGE', key('batches'), ARGV[2], ARGV[2] + ARGV[3] - 1)
local reply = { int(now) }
for _, id in ipairs(ids) do
  local record = batch_key(id)
  -- A record without an id comes from a resync after Redis lost the batch.
  if redis.call('HEXISTS', record, 'id') == 1 then reply[#reply + 1] = redis.call('HGETALL', record) end
end
return reply
