-- What a claim would find: for who must ask for leave first.
--
-- Keys:    `ready:<priority>`, `lines`, `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `n`
-- ARGV:    version, budget (jobs promoted in this call)
-- Replies: waiting <priority of the most urgent that needs no leave of its own, or -1>, then for each line that does and may be
--          looked at: name, priority of its most urgent | none <next_due_ms, or 0> <now_ms>
-- States:  scheduled, deferred (due) -> queued
-- Includes: prelude job time promote
if redis.call('HEXISTS', key('n'), 'paused_ms') == 1 then return { 'none', '0', int(now) } end
promote(tonumber(ARGV[2]))
settle()
local free, limited = {}, {}
for _, line in ipairs(looked_at(due_lines())) do
  local among = is_of_batch(line[1]) and free or limited
  among[#among + 1] = line
end
local most = most_urgent(free, first_ready(0))
if not most and #limited == 0 then return { 'none', int(next_due_ms()), int(now) } end
local reply = { 'waiting', most or -1 }
for _, line in ipairs(limited) do
  reply[#reply + 1] = line[1]
  reply[#reply + 1] = line[2]
end
return reply
