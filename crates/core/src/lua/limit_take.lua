-- Takes permits to send from a limit that all workers share: a number of mails, the first after a
-- delay, the others at the limit's spacing (GCRA). While a more urgent caller waits, others are
-- refused.
--
-- Keys:    `state`, `used:<start>`
-- ARGV:    version, class (0 is the most urgent, up to 9), want, spacing (microseconds between two
--          mails; 0: no rate), quota (0: none), starts of its windows by the caller's clock (ms):
--          the last, this, the next, the one after
-- Replies: granted <number> <microseconds until the first> <when the next may go, microseconds>
--          <spacing> <start of the quota's window, or 0> | wait <ms until the next request is
--          useful> | shut <ms> <quota, or why the server accepts nothing> | free (there is no
--          limit)
-- States:  none
-- Includes: prelude learned_rate
local class, want, spacing, quota = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- Permits are granted this far ahead, so that a short delay misses no slot. It is short, so that
-- urgent mail does not wait long.
local AHEAD_US = 50000
-- How long the most urgent refused caller keeps others back, unless it calls again.
local MARK_MS = 2000
local LONGEST_WAIT_MS = 1000

local function wait(us)
  local ms = math.max(math.ceil(us / 1000), 1)
  return { 'wait', math.min(ms, LONGEST_WAIT_MS) }
end

local state = limit_state()
local learned = learned_us(state)
spacing = math.max(spacing, learned or 0, server_spacing_us(state) or 0)
local pause, why = pause_us(state)
if pause then
  if pause > 2 * LONGEST_WAIT_MS * 1000 then return { 'shut', math.ceil(pause / 1000), why } end
  return wait(pause)
end
if spacing == 0 and quota == 0 then
  redis.call('HDEL', key('state'), 'good_us', 'told_us', 'shut_until_us')
  return { 'free' }
end

local start = 0
if quota > 0 then
  for index = 6, 8 do
    if tonumber(ARGV[index]) <= now and now < tonumber(ARGV[index + 1]) then
      start = ARGV[index]
      local left = quota - (tonumber(redis.call('GET', key('used:' .. start))) or 0)
      if left <= 0 then return { 'shut', int(tonumber(ARGV[index + 1]) - now), 'quota' } end
      want = math.min(want, left)
    end
  end
  -- The caller's clock is off by more than a window.
  if start == 0 then return { 'wait', LONGEST_WAIT_MS } end
end
local function use(granted)
  if start ~= 0 then
    redis.call('INCRBY', key('used:' .. start), granted)
    redis.call('PEXPIRE', key('used:' .. start), 40 * 86400000)
  end
end

if spacing == 0 then
  use(want)
  return { 'granted', want, 0, 0, 0, start }
end

local facts = redis.call('HMGET', key('state'), 'next_us', 'waits_class', 'waits_until_ms', 'taken_us')
local next_us = math.max(tonumber(facts[1]) or 0, now_us)
-- Written by a clock that was far ahead.
if next_us > now_us + 100 * spacing + 1000000 then next_us = now_us + spacing end
local waiting_until = tonumber(facts[3]) or 0
local waiting = waiting_until > now and waiting_until <= now + MARK_MS and tonumber(facts[2]) or nil
local ahead = next_us - now_us

-- A learned rate recovers only while it is what limits sending.
if learned and learned == spacing then
  local since_last = math.max(now_us - (tonumber(facts[4]) or now_us), 0)
  local grown_us = ahead > 0 and now_us > state.cut_us and math.min(since_last, 1000000) or 0
  save_state('grown_us', int(state.grown_us + grown_us), 'taken_us', int(now_us))
end

if waiting and waiting < class then return wait(math.max(spacing, 10000)) end
if ahead > AHEAD_US then
  save_state('waits_class', class, 'waits_until_ms', int(now + MARK_MS))
  return wait(ahead - AHEAD_US)
end
local granted = math.min(want, math.floor((AHEAD_US - ahead) / spacing) + 1)
save_state('next_us', int(next_us + granted * spacing))
if learned then redis.call('HINCRBY', key('state'), 'given', granted) end
if waiting == class then redis.call('HDEL', key('state'), 'waits_class', 'waits_until_ms') end
use(granted)
return { 'granted', granted, int(ahead), int(next_us + granted * spacing), int(spacing), start }
