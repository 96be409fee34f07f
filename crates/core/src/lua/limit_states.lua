-- How a limit stands: for people to read.
--
-- Keys:    `state` of the limit, `used:<start>` of a quota's window, `held`
-- ARGV:    version, when the quota's windows begin by the caller's clock (ms): the last, this, the next, the one after; or none
-- Replies: limit <learned spacing, microseconds, 0: none> <told spacing, 0: none> <nothing for so long, ms, 0: no pause> <why>
--          <used of the quota> <its window begins anew in, ms> <connections held> <connections that the server lets in, 0: not known>
-- States:  none
-- Includes: prelude learned_rate
local state = limit_state()
local shut, why = shut_us(state)
local used, anew = 0, 0
for index = 2, 4 do
  local from, to = tonumber(ARGV[index]), tonumber(ARGV[index + 1])
  if to and from <= now and now < to then
    used, anew = tonumber(redis.call('GET', key('used:' .. ARGV[index]))) or 0, to - now
  end
end
local held = 0
for _, counts in ipairs(redis.call('HVALS', key('held'))) do held = held + (tonumber(string.match(counts, '^%d+')) or 0) end
local let_in = tonumber(redis.call('HGET', key('state'), 'learned')) or 0
return { 'limit', int(learned_us(state) or 0), int(told_us(state) or 0), int((shut or 0) / 1000), why or '', int(used), int(anew), int(held), int(let_in) }
