-- Records a person's decision on a job in doubt.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `ready:<priority>`,
--          `lines`, `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `newer`,
--          `leases`, `expiring`, `sent`, `sent:<hour>`, `failed`, `cancelled`, `unknown`, `n`,
--          `wake`, `wake:urgent`, counters, damage
-- ARGV:    version, id, verdict (sent | resend | failed)
-- Replies: resolved | refused <state, or another reason> | missing
-- States:  unknown -> sent | queued | failed
-- Includes: prelude job checked
-- The decision about a job with a damaged record is kept, but the job can't be sent again.
local function resolve_damaged(why)
  local in_doubt = damage.state_by_index(ARGV[2]) == 'unknown' and ARGV[3] ~= 'resend'
  damage.set_aside(ARGV[2], why, in_doubt and ARGV[3] or nil)
  return in_doubt
end

local fine, job = try_job(load_checked, ARGV[2])
if not fine then
  local is_resolved = resolve_damaged(job)
  job = nil
  if is_resolved then flush_writes(); return { 'resolved' } end
end
if not job then
  flush_writes()
  local state = redis.call('HGET', hash_key(ARGV[2]), 'state')
  return state and { 'refused', state } or { 'missing' }
end
if job.state ~= 'unknown' then return { 'refused', job.state } end
if ARGV[3] == 'resend' and batch_cancelled(job.batch) then return { 'refused', 'of a cancelled batch' } end
if ARGV[3] == 'resend' then
  unset(job, 'reason')
  set(job, 'retried_ms', int(now))
  to_queued(job, false)
else
  to_finished(job, ARGV[3], 'person')
end
flush_writes()
return { 'resolved' }
