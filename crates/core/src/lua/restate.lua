-- Resync after Redis was restarted or replaced: each worker sends what it knows before it claims
-- again, since the last second of writes may be lost. Jobs that it holds are leased to it once
-- more. Jobs that are gone are put back, so that the `finish` or `defer` that follows finds them.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `ready:<priority>`,
--          `lines`, `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `leases`,
--          `expiring`, `failed`, `cancelled`, `unknown`, `n`, `run`, `workers`, counters, damage
-- ARGV:    version, worker, run_id (of the server), spoken (1: this worker has sent everything),
--          then for each job: id, fence, known (held | settled | sent), message_id, date_ms (both
--          empty unless it has begun), payload (empty: requested if the job is gone)
-- Replies: <ms to wait for other workers>, then for each job: held | known | restored | gone (send
--          its payload) | lost
-- States:  none -> queued | unknown (sent, until `finish` follows); scheduled, queued, deferred,
--          sending -> sending (again)
-- Includes: prelude job time
local worker, run, spoken = ARGV[2], ARGV[3], ARGV[4]
local WAIT_FOR_WORKERS_MS, DEAD_WORKER_MS, ORPHAN_BATCH_MS = 3000, 16000, 604800000

-- The first call on a new run: claims wait for the workers that were alive, and nothing is rescued
-- for one lease.
local function open_run()
  local last = redis.call('HGET', key('run'), 'id')
  if last == run then return end
  redis.call('HSET', key('run'), 'id', run, 'since_ms', int(now))
  if not last then return end
  local facts = redis.call('HMGET', key('n'), 'last_ms', 'lease_ms')
  local since = (tonumber(facts[1]) or now) - DEAD_WORKER_MS
  redis.call('HSET', key('run'), 'claims_from_ms', int(now + WAIT_FOR_WORKERS_MS), 'awaited_since_ms', int(since))
  redis.call('HSET', key('n'), 'no_rescue_before_ms', int(now + (tonumber(facts[2]) or DEFAULT_LEASE_MS)))
end

local function restore(id, payload)
  redis.call('SET', payload_key(id), payload)
  local job, why = load(id)
  if not job then
    redis.call('UNLINK', payload_key(id))
    return nil, why
  end
  move(job.batch, nil, 'queued')
  count(key('n'), 'enqueued_total', 1)
  if job.batch ~= '-' then
    local record = batch_key(job.batch)
    count(record, 'total', 1)
    -- If no producer creates the record again, these counters expire.
    if redis.call('HEXISTS', record, 'id') == 0 then
      redis.call('HINCRBY', record, 'total', 0)
      redis.call('PEXPIRE', record, ORPHAN_BATCH_MS)
    end
  end
  index_expiry(job)
  local files = {}
  for hash in string.gmatch(payload, '"content":"sha256:(%x+):') do files[#files + 1] = hash end
  if #files > 0 then
    job.files = table.concat(files, ' ')
    set(job, 'files', job.files)
    add_references(job.files, too_old_at_ms(job) + job.retention_ms)
  end
  return job
end

-- Prepares a restored job for the `finish` or `defer` that follows. If none follows, a settled job
-- is claimed again, and a sent one, of which only the header is left, is in doubt.
local function place_restored(job, known)
  if known == 'settled' then make_ready(job, false, job.id) end
  if known ~= 'sent' then return end
  set(job, 'state', 'unknown', 'reason', 'unknown')
  redis.call('ZADD', key('unknown'), int(now), job.id)
  move(job.batch, 'queued', 'unknown')
end

local function lease_again(job, fence, message_id, date_ms)
  local status = claim_status(job, worker, fence)
  if not is_unfinished(job) or status == 'superseded' or status == 'last_holder' then return 'lost' end
  if job.state ~= 'sending' then
    unindex(job)
    move(job.batch, job.state, 'sending')
  end
  job.state = 'sending'
  set(job, 'state', 'sending', 'fence', fence, 'worker', worker)
  unset(job, 'begun_ms', 'due_ms')
  if message_id ~= '' then set(job, 'begun_ms', int(now), 'message_id', message_id, 'date_ms', date_ms) end
  redis.call('ZADD', key('leases'), int(now + job.lease_ms), job.id)
  return 'held'
end

local function restate(at)
  local id, fence, known = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local word, job = 'known', load(id)
  if not job and redis.call('EXISTS', hash_key(id)) == 0 then
    if ARGV[at + 5] == '' then return 'gone' end
    word, job = 'restored', restore(id, ARGV[at + 5])
    if job then place_restored(job, known) end
  end
  if not job then return 'lost' end
  return known == 'held' and lease_again(job, fence, ARGV[at + 3], ARGV[at + 4]) or word
end

-- Removes workers that were silent for an hour.
local function remove_dead_workers()
  local forgotten = 0
  for name, entry in pairs(all_workers()) do
    if entry.at < now - 3600000 and forgotten < 200 then
      redis.call('HDEL', key('workers'), name)
      forgotten = forgotten + 1
    end
  end
end

open_run()
local replies = { 0 }
for at = 5, #ARGV, 6 do replies[#replies + 1] = isolated(ARGV[at], restate, at) or 'lost' end
flush_writes()
if spoken == '1' then
  record_alive(worker)
  remove_dead_workers()
end
replies[1] = claims_wait_ms()
return replies
