-- A job is not to be sent, on purpose.
--
-- Keys:    job `<id>` and `h:<id>`, its index, counters
-- ARGV:    version, id, reason
-- Replies: cancelled | already | begun | in_doubt | finished <state> | missing
-- States:  scheduled, queued, deferred, sending (not begun) -> cancelled
-- Includes: prelude job
local job, why = harmless(ARGV[2], load, ARGV[2])
if why == 'newer' then
  local place = is_kept(redis.call('GETRANGE', payload_key(ARGV[2]), 0, 255)) and 'sent' or indexed_as(ARGV[2])
  if FINISHED[place] then return { 'finished', place } end
  if place == 'sending' then return { 'begun' } end
  if place == 'unknown' then return { 'in_doubt' } end
  -- Whoever can't read it can still keep it from being sent.
  set_aside(ARGV[2], 'a newer version wrote it, and no worker has read it', 'cancelled')
  for _, state in ipairs({ 'queued', 'scheduled', 'deferred' }) do redis.call('ZREM', key('newer'), state .. ' ' .. ARGV[2]) end
  settle()
  return { 'cancelled' }
end
if not job then
  settle()
  local state = redis.call('HGET', hash_key(ARGV[2]), 'state')
  return state and { 'finished', state } or { 'missing' }
end
if job.state == 'cancelled' or job.swept then return { 'already' } end
if FINISHED[job.state] then return { 'finished', job.state } end
if job.state == 'sending' and job.begun_ms then return { 'begun' } end
-- Whether it went out can't be known: a person says so by resolve.
if job.state == 'unknown' then return { 'in_doubt' } end
to_finished(job, 'cancelled', ARGV[3])
settle()
return { 'cancelled' }
