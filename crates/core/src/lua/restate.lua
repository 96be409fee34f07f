-- After Redis was restarted, or another server took its place, a worker says what it knows before it claims again: the last
-- second may be forgotten. What it holds is leased to it once more, and a job that is gone is put back, so that what else the
-- worker knows of it (`finish`, `defer`, said again after this) finds it.
--
-- Keys:    job `<id>` and `h:<id>`, `leases`, `ready:<priority>`, `expiring`, `workers`, `run`, counters
-- ARGV:    version, worker, run_id (of the server), spoken (1: this worker has said all), then for each job:
--          id, fence, known (held | settled | sent), message_id, date_ms (both empty unless it is begun), payload (empty: asked for if it is gone)
-- Replies: <ms to wait for other workers>, then for each job: held | known | restored | gone (say its payload) | lost
-- States:  none -> queued | unknown (sent: until that is said); scheduled, queued, deferred, sending -> sending (again)
-- Includes: prelude job time
local worker, run, spoken = ARGV[2], ARGV[3], ARGV[4]
local PATIENCE_MS, DEAD_MS, STRAY_MS = 3000, 16000, 604800000

-- The first to speak on this run: claims wait for those that were alive, and nothing is rescued for one lease.
local function open_run()
  local last = redis.call('HGET', key('run'), 'id')
  if last == run then return end
  redis.call('HSET', key('run'), 'id', run, 'since_ms', int(now))
  if not last then return end
  local facts = redis.call('HMGET', key('n'), 'last_ms', 'lease_ms')
  local since = (tonumber(facts[1]) or now) - DEAD_MS
  redis.call('HSET', key('run'), 'claims_from_ms', int(now + PATIENCE_MS), 'awaited_since_ms', int(since))
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
    -- Unless its record is put in again by whoever put it in, nobody will ask for these numbers.
    if redis.call('HEXISTS', record, 'id') == 0 then
      redis.call('HINCRBY', record, 'total', 0)
      redis.call('PEXPIRE', record, STRAY_MS)
    end
  end
  watch_expiry(job)
  local files = {}
  for hash in string.gmatch(payload, '"content":"sha256:(%x+):') do files[#files + 1] = hash end
  if #files > 0 then
    job.files = table.concat(files, ' ')
    set(job, 'files', job.files)
    refer(job.files, dies_ms(job) + job.retention_ms)
  end
  return job
end

-- What follows (`finish`, `defer`) takes a restored job from here. If nothing does, it is claimed; of what was sent only the header
-- is left, so that it is in doubt.
local function leave(job, known)
  if known == 'settled' then make_ready(job, false, job.id) end
  if known ~= 'sent' then return end
  set(job, 'state', 'unknown', 'reason', 'unknown')
  redis.call('ZADD', key('unknown'), int(now), job.id)
  move(job.batch, 'queued', 'unknown')
end

local function hold(job, fence, message_id, date_ms)
  local stands = standing(job, worker, fence)
  if not is_open(job) or stands == 'past' or stands == 'last' then return 'lost' end
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
    if job then leave(job, known) end
  end
  if not job then return 'lost' end
  return known == 'held' and hold(job, fence, ARGV[at + 3], ARGV[at + 4]) or word
end

-- Those long gone are forgotten in passing.
local function forget_the_dead()
  local forgotten = 0
  for name, told in pairs(all_workers()) do
    if told.at < now - 3600000 and forgotten < 200 then
      redis.call('HDEL', key('workers'), name)
      forgotten = forgotten + 1
    end
  end
end

open_run()
local replies = { 0 }
for at = 5, #ARGV, 6 do replies[#replies + 1] = harmless(ARGV[at], restate, at) or 'lost' end
settle()
if spoken == '1' then
  heard(worker)
  forget_the_dead()
end
replies[1] = claims_wait_ms()
return replies
