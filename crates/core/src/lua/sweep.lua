-- Recurring maintenance of a queue by any worker: promotes due jobs, rescues jobs whose lease
-- expired, cancels expired jobs. One script, so that an idle worker needs one call per queue.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `ready:<priority>`,
--          `lines`, `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `newer`,
--          `leases`, `expiring`, `sent`, `sent:<hour>`, `failed`, `cancelled`, `unknown`, `n`,
--          `run`, `workers`, `notices`, `webhooks`, `damaged`, `wake`, `wake:urgent`, counters,
--          damage
-- ARGV:    version, worker, budget (jobs of each kind)
-- Replies: swept <rescued> <in_doubt> <expired> <ready 0|1> <next_due_ms> <leases> <lease_ms, the
--          length of the latest> <now_ms> <due notices of batches> <jobs of a newer version> <id of
--          one of them, or ''> <damage found in the last hour> <the latest of it, or ''>
-- States:  scheduled, deferred (due) -> queued; sending (lease expired) -> queued | unknown |
--          failed | cancelled; scheduled, queued, deferred (expired) -> cancelled
-- Includes: prelude job time promote
record_alive(ARGV[2])
local budget = tonumber(ARGV[3])
local no_rescue_before = check_clock()
promote(budget)

local rescued, in_doubt, expired = 0, 0, 0

-- A job of a newer version is left to newer workers and checked again later.
local LATER_MS = 60000
local function readable(index, id)
  local job, why = load(id)
  if why == 'newer' then redis.call('ZADD', key(index), int(now + LATER_MS), id) end
  if why == 'foreign' then damage.note_damage('entry of ' .. index, string.sub(id, 1, 100)) end
  return job, why
end

-- A job may crash its worker. Three losses are enough if the worker held only this job; with other
-- jobs, any of them may be the cause.
local STALLS_ALONE, STALLS_IN_CROWD = 3, 10
local function is_poison(job, crowd)
  local seen = tonumber(string.match(redis.call('HGET', key('workers'), job.worker) or '', '^%d+'))
  if not seen or seen > now - job.lease_ms * 0.8 then return false end
  flight_to_hash(job)
  if crowd > 1 then return redis.call('HINCRBY', hash_key(job.id), 'stalls_in_crowd', 1) >= STALLS_IN_CROWD end
  return redis.call('HINCRBY', hash_key(job.id), 'stalls', 1) >= STALLS_ALONE
end

local function record_loss(job, verdict, when)
  local reply = 'worker ' .. job.worker .. ' was lost ' .. when
  local n = (tonumber(job.tries) or 0) + 1
  record_attempt(job, n .. ' - ' .. int(now) .. ' 0 ' .. verdict .. ' - lease - - ' .. reply)
end

local function rescue(job, crowd)
  if job.begun_ms then
    in_doubt = in_doubt + 1
    record_loss(job, 'unknown', 'after begin')
    return to_unknown(job)
  end
  rescued = rescued + 1
  if end_if_overdue(job) then return end
  if is_poison(job, crowd) then
    record_loss(job, 'poison', 'before begin, as earlier ones were')
    return to_finished(job, 'failed', 'poison')
  end
  to_queued(job, true)
end

-- Returns jobs with an expired lease, else jobs with a lease that no correct clock can have
-- written.
local function expired_leases()
  local ids = redis.call('ZRANGEBYSCORE', key('leases'), '-inf', int(now), 'LIMIT', 0, budget)
  if #ids > 0 then return ids end
  local longest = tonumber(redis.call('HGET', key('n'), 'lease_ms')) or DEFAULT_LEASE_MS
  local beyond = redis.call('ZREVRANGEBYSCORE', key('leases'), '+inf', int(now + 10 * longest), 'LIMIT', 0, budget)
  for _, id in ipairs(beyond) do
    local fine, job, why = try_job(load, id)
    local score = tonumber(redis.call('ZSCORE', key('leases'), id))
    if not fine or (not job and why ~= 'newer') or (job and score > now + 2 * job.lease_ms) then ids[#ids + 1] = id end
  end
  return ids
end

local lost, crowds = {}, {}
local function add_lost(id)
  local job, why = readable('leases', id)
  if why == 'missing' then damage.check_missing(id, true) end
  if job and job.state == 'sending' then
    lost[#lost + 1] = job
    crowds[job.worker] = (crowds[job.worker] or 0) + 1
  elseif why ~= 'newer' then
    redis.call('ZREM', key('leases'), id)
  end
  -- Neither the holder nor the mark is known.
  if job and job.state == 'queued' then
    damage.note_damage('job ' .. id, 'a lease without a flight: in doubt')
    in_doubt = in_doubt + 1
    job.state = 'sending'
    to_unknown(job)
  end
end

local function rescue_all()
  for _, id in ipairs(expired_leases()) do isolated(id, add_lost, id) end
  for _, job in ipairs(lost) do isolated(job.id, rescue, job, crowds[job.worker]) end
end

if now >= no_rescue_before then rescue_all() end

local function expire(id)
  local job, why = readable('expiring', id)
  if why ~= 'newer' then redis.call('ZREM', key('expiring'), id) end
  -- A job that is being sent is checked by its begin or its next claim.
  local waits = job and (job.state == 'scheduled' or job.state == 'queued' or job.state == 'deferred')
  if waits and not job.cancelled_with_batch and job.expires_ms > 0 and now >= job.expires_ms then
    to_finished(job, 'cancelled', 'expired')
    expired = expired + 1
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('expiring'), '-inf', int(now), 'LIMIT', 0, budget)) do
  isolated(id, expire, id)
end

-- Jobs of a newer version that this version can read by now.
local NEWER_CHECKED = 10
local newer = redis.call('ZCARD', key('newer'))
if newer > 0 then requeue_all_newer(redis.call('ZRANDMEMBER', key('newer'), NEWER_CHECKED)) end
flush_writes()

local HOUR_AGO = '(' .. int(now - 3600000)
local damaged = redis.call('ZCOUNT', key('damaged'), HOUR_AGO, '+inf')
local function first_of(command, name) return redis.call(command, key(name), 0, 0)[1] or '' end
local ready = most_urgent(nonempty_lines(due_lines()), first_ready(0))
if ready then wake(ready) end
local notices = redis.call('ZCARD', key('notices')) + redis.call('ZCOUNT', key('webhooks'), '-inf', int(now))
return {
  'swept', rescued, in_doubt, expired, ready and 1 or 0, int(next_due_ms()), redis.call('ZCARD', key('leases')),
  redis.call('HGET', key('n'), 'lease_ms') or '0', int(now), notices, redis.call('ZCARD', key('newer')),
  string.match(first_of('ZRANGE', 'newer'), '%S*$'), damaged, first_of('ZREVRANGE', 'damaged'),
}
