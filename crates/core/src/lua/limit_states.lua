-- Reads the state of a limit for display.
--
-- Keys:    `state`, `used:<start>`, `held`
-- ARGV:    version, starts of the quota's windows by the caller's clock (ms): the last, this, the
--          next, the one after; or none
-- Replies: limit <learned spacing, microseconds, 0: none> <announced spacing, 0: none> <remaining
--          pause, ms, 0: none> <why> <used of the quota> <ms until its next window> <connections
--          held> <connections that the server accepts, 0: not known>
-- States:  none
-- Includes: prelude learned_rate
local state = limit_state()
local pause, why = pause_us(state)
local used, restarts_in = 0, 0
for index = 2, 4 do
  local from, to = tonumber(ARGV[index]), tonumber(ARGV[index + 1])
  if to and from <= now and now < to then
    used, restarts_in = tonumber(redis.call('GET', key('used:' .. ARGV[index]))) or 0, to - now
  end
end
local held = 0
for _, counts in ipairs(redis.call('HVALS', key('held'))) do
  held = held + (tonumber(string.match(counts, '^%d+')) or 0)
end
local server_limit = tonumber(redis.call('HGET', key('state'), 'learned')) or 0
return {
  'limit', int(learned_us(state) or 0), int(server_spacing_us(state) or 0), int((pause or 0) / 1000), why or '',
  int(used), int(restarts_in), int(held), int(server_limit),
}
