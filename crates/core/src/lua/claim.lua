-- Hands a worker up to `want` jobs, the most urgent first, each under a lease and a fence higher than ever before.
-- The same claim id asked again returns the same jobs, so a lost reply leaves nothing leased to nobody.
--
-- Keys:    `ready:<priority>`, `lines`, `line:<batch>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `leases`, `claim:<worker>`, job `j:` and `h:`, `n`, `run`, `workers`, `wake`
-- ARGV:    version, worker, claim_id, want, budget (jobs looked at in this call)
-- Replies: claimed <more 0|1> <next_due_ms> <now_ms> <job>... | paused | newer <version>
--          job: id, fence, payload, attempt, tries, date_ms, message_id, recipients, generation
-- States:  scheduled, deferred (due) -> queued; queued -> sending | cancelled | failed
-- Includes: prelude job time promote
local worker, claim_id, want, budget = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
watch_time()

-- One that nobody has had yet: nothing but its payload is known of it.
local function is_fresh(job) return job.fence == 0 and not (job.tries or job.attempt or job.retried_ms or job.resends) end

local function told(job)
  local more = job.fresh and {} or redis.call('HMGET', hash_key(job.id), 'attempt', 'tries', 'date_ms', 'message_id', 'recipients', 'generation')
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

local reply, ids, lease, leases = { 'claimed', 0, '0', int(now) }, {}, nil, {}
local newer = nil

-- Whether the id was handed out.
local function take(id, from_line)
  local job, why, version = load(id)
  if why == 'newer' then newer = version; return false end
  if why == 'unreadable' and redis.call('HGET', hash_key(id), 'state') ~= 'failed' then set_aside(id, 'queued') end
  if not job or job.state ~= 'queued' or end_if_overdue(job) then return false end
  if not from_line and has_line(job) then make_ready(job, false, id); return false end
  job.fresh = is_fresh(job)
  job.fence = job.fence + 1
  set(job, 'state', 'sending', 'fence', job.fence, 'worker', worker, 'claimed_ms', int(now))
  leases[#leases + 1] = int(now + job.lease_ms)
  leases[#leases + 1] = id
  move(job.batch, 'queued', 'sending')
  lease = math.max(lease or 0, job.lease_ms)
  ids[#ids + 1] = id
  reply[#reply + 1] = told(job)
  return true
end

local function take_from_ready(priority)
  local ready = key('ready:' .. priority)
  while #ids < want and budget > 0 do
    local popped = redis.call('LPOP', ready, math.min(want - #ids, budget))
    if not popped or #popped == 0 then return end
    for index, id in ipairs(popped) do
      budget = budget - 1
      take(id, false)
      if newer then
        for back = #popped, index, -1 do redis.call('LPUSH', ready, popped[back]) end
        budget = 0
        return
      end
    end
  end
end

-- Sent at a pace, a batch catches up by no more than this when nobody was there to take its mail in time.
local SLACK_US = 50000
local function on_its_way(batch)
  local pending = deltas[batch_key(batch)]
  return (tonumber(redis.call('HGET', batch_key(batch), 'sending')) or 0) + (pending and pending.sending or 0)
end

-- When the next mail of the line may be taken, in ms; at once when that is over.
local function line_due_ms(batch)
  local facts = batch_facts(batch)
  if facts.paused then return math.huge end
  if not facts.pace_us then return 0 end
  local due = math.ceil(facts.next_us / 1000)
  -- Who has it says nothing when it is done: looked at again soon.
  if facts.one_at_a_time and on_its_way(batch) > 0 then return math.max(due, now + 200) end
  return due
end

local function note_taken(batch)
  local facts = batch_facts(batch)
  if not facts.pace_us then return end
  local slack = facts.one_at_a_time and 0 or math.min(SLACK_US, facts.pace_us)
  facts.next_us = math.max(facts.next_us, now_us - slack) + facts.pace_us
  redis.call('HSET', batch_key(batch), 'next_us', int(facts.next_us))
end

local function take_from_line(batch, priority)
  local line = line_key(batch, priority)
  while #ids < want and budget > 0 and line_due_ms(batch) <= now do
    local id = redis.call('LPOP', line)
    if not id then return end
    budget = budget - 1
    if take(id, true) then note_taken(batch) end
    if newer then
      redis.call('LPUSH', line, id)
      budget = 0
      return
    end
  end
end

-- When the line is to be looked at again, if anybody stands in it.
local function settle_line(batch)
  for priority = 0, 9 do
    if redis.call('EXISTS', line_key(batch, priority)) == 1 then
      local due = line_due_ms(batch)
      return redis.call('ZADD', key('lines'), due == math.huge and PAUSED or int(math.max(due, 0)), batch)
    end
  end
  redis.call('ZREM', key('lines'), batch)
end

local LINES = 20
local due_lines = redis.call('ZRANGEBYSCORE', key('lines'), '-inf', int(now), 'LIMIT', 0, LINES)
for priority = 0, 9 do
  for _, batch in ipairs(due_lines) do take_from_line(batch, priority) end
  take_from_ready(priority)
end
for _, batch in ipairs(due_lines) do settle_line(batch) end
settle_counters()
if newer and #ids == 0 then return { 'newer', newer } end

if #ids > 0 then
  redis.call('ZADD', key('leases'), unpack(leases))
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
