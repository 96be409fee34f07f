-- What somebody has to do from time to time, whoever it is: promote what is due, rescue jobs whose lease ran out, cancel what expired.
-- One script for the three, so that an idle worker needs one command a queue.
--
-- Keys:    `scheduled:<class>`, `deferred:<class>`, `leases`, `expiring`, `ready:<priority>`, job `j:` and `h:`, counters, `wake`
-- ARGV:    version, budget (jobs of each kind)
-- Replies: swept <rescued> <in_doubt> <expired> <ready 0|1> <next_due_ms> <leases> <lease_ms, the length of the latest> <now_ms>
-- States:  scheduled, deferred (due) -> queued; sending (lease ran out) -> queued | unknown | failed | cancelled;
--          scheduled, queued, deferred (expired) -> cancelled
-- Includes: prelude job time promote
local budget = tonumber(ARGV[2])
local no_rescue_before = watch_time()
promote(budget)

local rescued, in_doubt, expired = 0, 0, 0

local function rescue(id)
  local job = load(id)
  if not job or job.state ~= 'sending' then
    redis.call('ZREM', key('leases'), id)
    return
  end
  if job.begun_ms then
    in_doubt = in_doubt + 1
    record_attempt(job, cjson.encode({
      n = (tonumber(job.tries) or 0) + 1, counted = false, at_ms = now, transport = '', phase = 'lease', verdict = 'unknown',
      reply = 'the worker ' .. job.worker .. ' was lost after it had begun to send',
    }))
    return to_unknown(job)
  end
  rescued = rescued + 1
  if not end_if_overdue(job) then to_queued(job, true) end
end

if now >= no_rescue_before then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('leases'), '-inf', int(now), 'LIMIT', 0, budget)) do rescue(id) end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('expiring'), '-inf', int(now), 'LIMIT', 0, budget)) do
  redis.call('ZREM', key('expiring'), id)
  local job = load(id)
  -- One that is being sent is judged by its begin or its next claim.
  if job and (job.state == 'scheduled' or job.state == 'queued' or job.state == 'deferred') and not job.swept then
    to_finished(job, 'cancelled', 'expired')
    expired = expired + 1
  end
end
settle_counters()

local ready = ready_left()
if ready then wake() end
return { 'swept', rescued, in_doubt, expired, ready and 1 or 0, int(next_due_ms()), redis.call('ZCARD', key('leases')),
  redis.call('HGET', key('n'), 'lease_ms') or '0', int(now) }
