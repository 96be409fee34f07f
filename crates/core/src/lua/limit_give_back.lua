-- Returns unused permits to a limit. A quota always gets them back. A rate gets them back only if
-- no permit was taken since; otherwise their time is lost.
--
-- Keys:    `state`, `used:<start>`
-- ARGV:    version, number of permits, when the next mail after the granted ones may go (0: no
--          rate), spacing (microseconds), start of the quota's window (0: none)
-- Replies: given | late
-- States:  none
-- Includes: prelude
local number, used = tonumber(ARGV[2]), key('used:' .. ARGV[5])
if ARGV[5] ~= '0' and redis.call('EXISTS', used) == 1 then
  redis.call('DECRBY', used, math.min(number, tonumber(redis.call('GET', used)) or 0))
end
local facts = redis.call('HMGET', key('state'), 'next_us', 'given')
if ARGV[3] == '0' then return { 'given' } end
if facts[2] then redis.call('HINCRBY', key('state'), 'given', -number) end
if int(tonumber(facts[1]) or 0) ~= ARGV[3] then return { 'late' } end
redis.call('HSET', key('state'), 'next_us', int(tonumber(facts[1]) - number * tonumber(ARGV[4])))
return { 'given' }
