-- Hands a worker up to `want` jobs, the most urgent first, each under a lease and a fence higher than ever before.
-- The same claim id asked again returns the same jobs, so a lost reply leaves nothing leased to nobody.
--
-- Keys:    `ready:<priority>`, `scheduled:<class>`, `deferred:<class>`, `leases`, `claim:<worker>`, job `j:` and `h:`, `n`, `run`, `workers`, `wake`
-- ARGV:    version, worker, claim_id, want, budget (jobs looked at in this call)
-- Replies: claimed <more 0|1> <next_due_ms> <now_ms> <job>... | paused | newer <version>
--          job: id, fence, payload, attempt, tries, date_ms, message_id, recipients, generation
-- States:  scheduled, deferred (due) -> queued; queued -> sending | cancelled | failed
-- Includes: prelude job time promote
local worker, claim_id, want, budget = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
watch_time()

local function told(job)
  local more = redis.call('HMGET', hash_key(job.id), 'attempt', 'tries', 'date_ms', 'message_id', 'recipients', 'generation')
  return { job.id, job.fence, redis.call('GET', payload_key(job.id)), more[1] or '0', more[2] or '0', more[3] or '', more[4] or '', more[5] or '', more[6] or '0' }
end

local claim_key = key('claim:' .. worker)
local function asked_before()
  local last = redis.call('HMGET', claim_key, 'id', 'jobs')
  if last[1] ~= claim_id then return nil end
  local reply = { 'claimed', 1, '0', int(now) }
  for id in string.gmatch(last[2] or '', '%S+') do
    local job = load(id)
    if job and job.state == 'sending' and job.worker == worker and not job.begun_ms then reply[#reply + 1] = told(job) end
  end
  return reply
end

local again = asked_before()
if again then return again end
if redis.call('HEXISTS', key('n'), 'paused_ms') == 1 then return { 'paused' } end
local wait = claims_wait_ms()
if wait > 0 then return { 'wait', int(wait) } end

local share = math.floor(budget / 2)
budget = budget - share + promote(share)

local reply, ids, lease = { 'claimed', 0, '0', int(now) }, {}, nil
local function take(id)
  local job, why, version = load(id)
  if why == 'newer' then return version end
  if why == 'unreadable' and redis.call('HGET', hash_key(id), 'state') ~= 'failed' then return set_aside(id, 'queued') end
  if not job or job.state ~= 'queued' then return end
  if end_if_overdue(job) then return end
  job.fence = job.fence + 1
  set(job, 'state', 'sending', 'fence', job.fence, 'worker', worker, 'claimed_ms', int(now))
  redis.call('ZADD', key('leases'), int(now + job.lease_ms), id)
  move(job.batch, 'queued', 'sending')
  lease = math.max(lease or 0, job.lease_ms)
  ids[#ids + 1] = id
  reply[#reply + 1] = told(job)
end

local newer = nil
for priority = 0, 9 do
  local ready = key('ready:' .. priority)
  while #ids < want and budget > 0 do
    local popped = redis.call('LPOP', ready, math.min(want - #ids, budget))
    if not popped or #popped == 0 then break end
    for index, id in ipairs(popped) do
      budget = budget - 1
      newer = take(id)
      if newer then
        for back = #popped, index, -1 do redis.call('LPUSH', ready, popped[back]) end
        budget = 0
        break
      end
    end
  end
end
settle_counters()
if newer and #ids == 0 then return { 'newer', newer } end

if #ids > 0 then
  redis.call('HSET', key('n'), 'lease_ms', int(lease))
  redis.call('HSET', claim_key, 'id', claim_id, 'jobs', table.concat(ids, ' '))
  redis.call('PEXPIRE', claim_key, int(lease))
end
if ready_left() then
  reply[2] = 1
  wake()
end
reply[3] = int(next_due_ms())
return reply
