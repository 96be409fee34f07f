-- A process tells that it is alive and what it does; also when Redis is full.
--
-- Keys:    `processes`
-- ARGV:    version, id, what it tells (JSON)
-- Replies: told
-- States:  none
-- Includes: prelude
redis.call('HSET', key('processes'), ARGV[2], int(now) .. ' ' .. ARGV[3])
return 'told'
