-- Leave that was not used goes back, unless somebody has taken more since: then its time is lost.
--
-- Keys:    `state` of the limit
-- ARGV:    version, when the next mail after those that were granted might go, how much is given back (both microseconds)
-- Replies: given | late
-- States:  none
-- Includes: prelude
local next_us = tonumber(redis.call('HGET', key('state'), 'next_us') or 0)
if int(next_us) ~= ARGV[2] then return { 'late' } end
redis.call('HSET', key('state'), 'next_us', int(next_us - tonumber(ARGV[3])))
return { 'given' }
