-- What a claim would find: for who must ask for leave first.
--
-- Keys:    `ready:<priority>`, `lines`, `line:<batch>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `n`
-- ARGV:    version, budget (jobs promoted in this call)
-- Replies: waiting <priority of the most urgent> | none <next_due_ms, or 0> <now_ms>
-- States:  scheduled, deferred (due) -> queued
-- Includes: prelude job time promote
if redis.call('HEXISTS', key('n'), 'paused_ms') == 1 then return { 'none', '0', int(now) } end
promote(tonumber(ARGV[2]))
settle_counters()
local due = redis.call('ZRANGEBYSCORE', key('lines'), '-inf', int(now), 'LIMIT', 0, 20)
for priority = 0, 9 do
  if redis.call('EXISTS', key('ready:' .. priority)) == 1 then return { 'waiting', priority } end
  for _, batch in ipairs(due) do
    if redis.call('EXISTS', line_key(batch, priority)) == 1 then return { 'waiting', priority } end
  end
end
return { 'none', int(next_due_ms()), int(now) }
