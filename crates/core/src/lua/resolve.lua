-- Records a person's decision on a job in doubt.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `ready:<priority>`,
--          `lines`, `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `leases`,
--          `expiring`, `sent`, `sent:<hour>`, `failed`, `cancelled`, `unknown`, `n`, `wake`,
--          `wake:urgent`, counters, damage
-- ARGV:    version, id, verdict (sent | resend | failed)
-- Replies: resolved | refused <state, or another reason> | missing
-- States:  unknown -> sent | queued | failed
-- Includes: prelude job
local job = isolated(ARGV[2], load, ARGV[2])
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
