-- Reads schedules, the oldest first.
--
-- Keys:    `schedules`, `schedule:<name>`
-- ARGV:    version, offset, number (at most 200), or version, '', '', name
-- Replies: <now_ms>, then for each schedule: hash (field, value, …)
-- States:  none
-- Includes: prelude
local names = ARGV[4] and { ARGV[4] } or redis.call('ZRANGE', key('schedules'), ARGV[2], ARGV[2] + ARGV[3] - 1)
local reply = { int(now) }
for _, name in ipairs(names) do
  local hash = redis.call('HGETALL', key('schedule:' .. name))
  if #hash > 0 then reply[#reply + 1] = hash end
end
return reply
