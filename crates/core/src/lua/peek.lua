-- Shows what a claim would find, for a worker that must request permits first.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `ready:<priority>`,
--          `lines`, `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `newer`,
--          `leases`, `expiring`, `sent`, `sent:<hour>`, `failed`, `cancelled`, `unknown`, `n`,
--          counters, damage
-- ARGV:    version, budget (jobs promoted in this call)
-- Replies: waiting <priority of the most urgent job that needs no permit of its own, or -1>, then
--          for each due line that needs permits: name, priority of its most urgent job | none
--          <next_due_ms, or 0> <now_ms>
-- States:  scheduled, deferred (due) -> queued
-- Includes: prelude job time promote
if redis.call('HEXISTS', key('n'), 'paused_ms') == 1 then return { 'none', '0', int(now) } end
promote(tonumber(ARGV[2]))
flush_writes()
local unlimited, limited = {}, {}
for _, line in ipairs(nonempty_lines(due_lines())) do
  local among = is_of_batch(line[1]) and unlimited or limited
  among[#among + 1] = line
end
local most = most_urgent(unlimited, first_ready(0))
if not most and #limited == 0 then return { 'none', int(next_due_ms()), int(now) } end
local reply = { 'waiting', most or -1 }
for _, line in ipairs(limited) do
  reply[#reply + 1] = line[1]
  reply[#reply + 1] = line[2]
end
return reply
