-- Pauses, resumes or paces a batch at once, at any size. Jobs that are being sent finish.
--
-- Keys:    `b:<batch>`, `lines`, `wake`, `wake:urgent`
-- ARGV:    version, id, act (pause | resume | pace), for pace: microseconds between two mails (0:
--          no pace), one_at_a_time (1: one mail at a time, the delay counts from its begin)
-- Replies: done | unchanged | cancelled | missing
-- States:  none
-- Includes: prelude
local record = batch_key(ARGV[2])
local facts = redis.call('HMGET', record, 'id', 'cancelled_ms', 'next_us')
if not facts[1] then return 'missing' end
if facts[2] then return 'cancelled' end

-- Makes the line, if it holds any job, due at the time of its next mail.
local function reschedule_line()
  redis.call('ZADD', key('lines'), 'XX', int(math.ceil((tonumber(facts[3]) or 0) / 1000)), ARGV[2])
  wake()
end

if ARGV[3] == 'pause' then
  if redis.call('HSETNX', record, 'paused_ms', int(now)) == 0 then return 'unchanged' end
  redis.call('ZADD', key('lines'), 'XX', '+inf', ARGV[2])
elseif ARGV[3] == 'resume' then
  if redis.call('HDEL', record, 'paused_ms') == 0 then return 'unchanged' end
  reschedule_line()
else
  if ARGV[4] == '0' then
    redis.call('HDEL', record, 'pace_us', 'one_at_a_time', 'next_us')
    facts[3] = nil
  else
    redis.call('HSET', record, 'pace_us', ARGV[4], 'one_at_a_time', ARGV[5])
  end
  if redis.call('HEXISTS', record, 'paused_ms') == 0 then reschedule_line() end
end
return 'done'
