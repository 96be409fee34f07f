-- Cancels a job that has not begun.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `scheduled:<class>`,
--          `deferred:<class>`, `newer`, `leases`, `expiring`, `sent`, `sent:<hour>`, `failed`,
--          `cancelled`, `unknown`, `n`, counters, damage
-- ARGV:    version, id, reason
-- Replies: cancelled | already | begun | in_doubt | finished <state> | missing
-- States:  scheduled, queued, deferred, sending (not begun) -> cancelled
-- Includes: prelude job checked
local job, why = isolated(ARGV[2], load_checked, ARGV[2])
if why == 'newer' then
  local first_line = redis.call('GETRANGE', payload_key(ARGV[2]), 0, 255)
  local place = is_sent_record(first_line) and 'sent' or state_by_index(ARGV[2])
  if FINISHED[place] then return { 'finished', place } end
  if place == 'sending' then return { 'begun' } end
  if place == 'unknown' then return { 'in_doubt' } end
  -- A job of a newer version can't be read here, but it can be cancelled.
  damage.set_aside(ARGV[2], 'written by a newer version, and read by no worker', 'cancelled')
  for _, state in ipairs({ 'queued', 'scheduled', 'deferred' }) do
    redis.call('ZREM', key('newer'), state .. ' ' .. ARGV[2])
  end
  flush_writes()
  return { 'cancelled' }
end
if not job then
  flush_writes()
  local state = redis.call('HGET', hash_key(ARGV[2]), 'state')
  return state and { 'finished', state } or { 'missing' }
end
if job.state == 'cancelled' or job.cancelled_with_batch then return { 'already' } end
if FINISHED[job.state] then return { 'finished', job.state } end
if job.state == 'sending' and job.begun_ms then return { 'begun' } end
-- The outcome of this mail is unknown: a person decides with `resolve`.
if job.state == 'unknown' then return { 'in_doubt' } end
to_finished(job, 'cancelled', ARGV[3])
flush_writes()
return { 'cancelled' }
