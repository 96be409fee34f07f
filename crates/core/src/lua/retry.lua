-- A person's request to send a job again, or now.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `ready:<priority>`,
--          `lines`, `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `leases`,
--          `expiring`, `failed`, `cancelled`, `unknown`, `wake`, `wake:urgent`, counters, damage
-- ARGV:    version, id
-- Replies: queued | refused <state> <reason> | missing
-- States:  failed, cancelled -> queued (next generation); deferred, scheduled -> queued (now)
-- Includes: prelude job checked
local job = isolated(ARGV[2], load_checked, ARGV[2])
if not job then
  flush_writes()
  local facts = redis.call('HMGET', hash_key(ARGV[2]), 'state', 'reason')
  if not facts[1] then return { 'missing' } end
  return { 'refused', facts[1], facts[2] == 'unreadable' and 'its record is damaged' or 'not kept' }
end
if batch_cancelled(job.batch) then return { 'refused', job.state, 'its batch was cancelled' } end
local expired = job.expires_ms > 0 and now >= job.expires_ms
if expired then return { 'refused', job.state, 'it has expired' } end
if job.sensitive and FINISHED[job.state] then
  return { 'refused', job.state, 'its sensitive variables were dropped' }
end
if job.state == 'deferred' or job.state == 'scheduled' then
  to_queued(job, false)
elseif job.state == 'failed' or job.state == 'cancelled' then
  redis.call('ZREM', key(job.state), job.id)
  redis.call('PERSIST', payload_key(job.id))
  redis.call('PERSIST', hash_key(job.id))
  unset(job, 'finished_ms', 'reason', 'error_code', 'error_message', 'worker', 'begun_ms', 'due_ms', 'resends',
    'stalls', 'stalls_in_crowd')
  redis.call('HINCRBY', hash_key(job.id), 'generation', 1)
  -- Recipients who were refused are tried again; those who accepted the mail are not.
  local recipients = job.hash.recipients
  if recipients then set(job, 'recipients', (string.gsub(recipients, '"result":"refused"', '"result":"open"'))) end
  set(job, 'state', 'queued', 'attempt', '0', 'retried_ms', int(now))
  if job.files then add_references(job.files, now + job.max_age_ms + job.retention_ms) end
  index_expiry(job)
  make_ready(job, false, job.id)
  move(job.batch, job.state, 'queued')
  wake(job.priority)
else
  return { 'refused', job.state, '' }
end
flush_writes()
return { 'queued' }
