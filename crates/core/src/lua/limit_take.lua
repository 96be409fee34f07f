-- Leave to send, from a limit that all workers share: so many mails, the first after a moment, the others at the limit's spacing. What is
-- more urgent goes first: while it waits, the rest is refused.
--
-- Keys:    `state` of the limit
-- ARGV:    version, class (0 is the most urgent, up to 9), want, spacing (microseconds between two mails)
-- Replies: granted <number> <microseconds until the first> <when the next might go, microseconds> | wait <ms until it is worth asking again>
-- States:  none
-- Includes: prelude
local class, want, spacing = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
-- Leave is given so much ahead, so that no turn is missed for a moment's delay; and not more, so that what is urgent need not wait for it.
local AHEAD_US = 50000
-- So long the most urgent that was refused keeps the others back, unless it comes again.
local MARK_MS = 2000
local LONGEST_WAIT_MS = 1000

local facts = redis.call('HMGET', key('state'), 'next_us', 'waits_class', 'waits_until_ms')
local next_us = math.max(tonumber(facts[1]) or 0, now_us)
-- Written by a clock that was far ahead.
if next_us > now_us + 100 * spacing + 1000000 then next_us = now_us + spacing end
local waiting = tonumber(facts[3] or 0) > now and tonumber(facts[3]) <= now + MARK_MS and tonumber(facts[2]) or nil

local function wait(us)
  local ms = math.max(math.ceil(us / 1000), 1)
  return { 'wait', math.min(ms, LONGEST_WAIT_MS) }
end

if waiting and waiting < class then return wait(math.max(spacing, 10000)) end
local ahead = next_us - now_us
if ahead > AHEAD_US then
  redis.call('HSET', key('state'), 'waits_class', class, 'waits_until_ms', int(now + MARK_MS))
  redis.call('PEXPIRE', key('state'), 86400000)
  return wait(ahead - AHEAD_US)
end
local granted = math.min(want, math.floor((AHEAD_US - ahead) / spacing) + 1)
redis.call('HSET', key('state'), 'next_us', int(next_us + granted * spacing))
redis.call('PEXPIRE', key('state'), 86400000)
if waiting == class then redis.call('HDEL', key('state'), 'waits_class', 'waits_until_ms') end
return { 'granted', granted, int(ahead), int(next_us + granted * spacing) }
