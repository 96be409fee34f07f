-- Pauses or resumes claims from a queue. Jobs that are being sent finish.
--
-- Keys:    `n`, `wake`, `wake:urgent`
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
