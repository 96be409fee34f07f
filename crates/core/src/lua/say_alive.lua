-- Records that a process is alive, with its report. Also works when Redis is full.
--
-- Keys:    `processes`
-- ARGV:    version, id, report (JSON)
-- Replies: told
-- States:  none
-- Includes: prelude
redis.call('HSET', key('processes'), ARGV[2], int(now) .. ' ' .. ARGV[3])
return 'told'
