-- Stops or starts the handing out of a queue's jobs. Those under way are not touched.
--
-- Keys:    `n`, `wake`
-- ARGV:    version, pause | resume
-- Replies: paused | resumed | unchanged
-- States:  none
-- Includes: prelude
if ARGV[2] == 'pause' then
  return redis.call('HSETNX', key('n'), 'paused_ms', int(now)) == 1 and 'paused' or 'unchanged'
end
if redis.call('HDEL', key('n'), 'paused_ms') == 0 then return 'unchanged' end
wake()
return 'resumed'
