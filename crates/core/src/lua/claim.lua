-- Claims up to `want` jobs for a worker, the most urgent first. Each gets a lease and a fence that
-- is higher than any before. A repeated claim id returns the same jobs, so a lost reply leaves no
-- job leased without a holder.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `ready:<priority>`,
--          `lines`, `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `newer`,
--          `leases`, `expiring`, `sent`, `sent:<hour>`, `failed`, `cancelled`, `unknown`, `n`,
--          `run`, `workers`, `claim:<worker>`, `wake`, `wake:urgent`, counters, damage
-- ARGV:    version, worker, claim_id, want, ordinary (how many of these may have a priority after
--          2), budget (maximum number of jobs examined), limited (how many names follow), the
--          limits on domains and templates in force, then for each line that the worker requested
--          permits for: name, mails (permits), again_ms (time until the next request is useful)
-- Replies: claimed <priority of the most urgent job left, or -1> <next_due_ms> <now_ms> <job>... |
--          paused | wait <ms> | newer <version> <id> (of the first such job)
--          job: id, fence, payload; optionally: attempt, tries, date_ms, message_id, recipients,
--          generation, line (whose permit it uses)
-- States:  scheduled, deferred (due) -> queued; queued -> sending | cancelled | failed
-- Includes: prelude job time promote claim_limits
local worker, claim_id = ARGV[2], ARGV[3]
local want, ordinary, budget = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local _, known_lease, paused, newer_in_a_row_before = check_clock()

local function job_reply(job, payload, line)
  local hash = job.hash
  if not line and next(hash) == nil then return { job.id, job.fence, general.expand_payload(payload) } end
  return {
    job.id, job.fence, general.expand_payload(payload), hash.attempt or '0', hash.tries or '0', hash.date_ms or '',
    hash.message_id or '', hash.recipients or '', hash.generation or '0', line or '',
  }
end

local claim_key = key('claim:' .. worker)
local function repeat_last_claim()
  local last_id, last_jobs = string.match(redis.call('GET', claim_key) or '', '^(%S+) (.*)$')
  if last_id ~= claim_id then return nil end
  local reply = { 'claimed', 9, '0', int(now) }
  for id in string.gmatch(last_jobs, '%S+') do
    reply[#reply + 1] = isolated(id, function()
      local job = general.load(id)
      if job and job.state == 'sending' and job.worker == worker and not job.begun_ms then
        return job_reply(job, redis.call('GET', payload_key(id)))
      end
    end)
  end
  flush_writes()
  return reply
end

local repeated = repeat_last_claim()
if repeated then return repeated end
if paused then return { 'paused' } end
local wait = claims_wait_ms()
if wait > 0 then return { 'wait', int(wait) } end

local share = math.floor(budget / 2)
budget = budget - share + promote(share)

local reply, ids, lease, leases = { 'claimed', -1, '0', int(now) }, {}, nil, {}

-- A job of a newer version is moved to `newer`. After several in a row, as in a rolling deploy, the
-- rest of the queue is left to newer workers.
local NEWER_MOST = 3
local newer, newer_id, newer_in_a_row = nil, nil, newer_in_a_row_before
-- The jobs in `newer` were claimed or cancelled since.
if newer_in_a_row_before > 0 and redis.call('EXISTS', key('newer')) == 0 then newer_in_a_row = 0 end
local function note_newer(id, version)
  newer_in_a_row = newer_in_a_row + 1
  if newer_in_a_row <= NEWER_MOST then return rare.park_newer(id, 'queued', version) end
  newer, newer_id, newer_in_a_row = version, id, NEWER_MOST
end

-- How far a paced batch catches up when no worker claimed its mails in time.
local SLACK_US = 50000
local function sending_count(batch)
  local pending = deltas[batch_key(batch)]
  return (tonumber(redis.call('HGET', batch_key(batch), 'sending')) or 0) + (pending and pending.sending or 0)
end

-- Returns when the next mail of the batch's line may be claimed, in ms.
local function line_due_ms(batch)
  local facts = batch_facts(batch)
  if facts.paused then return math.huge end
  if not facts.pace_us then return 0 end
  local due = math.ceil(facts.next_us / 1000)
  -- No event follows the end of the mail under way: check again soon.
  if facts.one_at_a_time and sending_count(batch) > 0 then return math.max(due, now + 200) end
  return due
end

local function advance_pace(batch)
  local facts = batch_facts(batch)
  if not facts.pace_us then return end
  local slack = facts.one_at_a_time and 0 or math.min(SLACK_US, facts.pace_us)
  facts.next_us = math.max(facts.next_us, now_us - slack) + facts.pace_us
  redis.call('HSET', batch_key(batch), 'next_us', int(facts.next_us))
end

local function until_ms(job)
  local too_old_at = too_old_at_ms(job)
  return job.expires_ms > 0 and math.min(too_old_at, job.expires_ms) or too_old_at
end

local function flight_of(job)
  return new_flight(job.fence, worker, job.lease_ms, until_ms(job), job.batch)
end

-- Moves the job to the line of its batch or of its limits if it may not be claimed from here.
-- Returns whether it was moved, and the line whose permit it uses.
local function move_to_line(job, from)
  if from ~= job.batch and has_line(job) and not (from and line_due_ms(job.batch) <= now) then
    general.make_ready(job, false, job.id)
    return true
  end
  if from and not is_of_batch(from) then return false end
  local line = limit_line_of(job)
  if not line or has_permit(line) then return false, line end
  rare.move_to_limit_line(job, line)
  return true
end

-- A listed job in another state was handled elsewhere. But a job that is missing from the index of
-- its state would never be handled again.
local INDEXED = { sending = 'leases', unknown = 'unknown' }
local function check_index(job)
  local index = INDEXED[job.state]
  if job.state == 'scheduled' or job.state == 'deferred' then index = job.state .. ':' .. class_of(job.priority) end
  if index and not redis.call('ZSCORE', key(index), job.id) then
    damage.raise_damage('state ' .. job.state .. ', but not in its index')
  end
end

local taken = {}
local function add_to_reply(id, is_urgent, lease_until_ms, entry)
  taken[id] = true
  newer_in_a_row = 0
  leases[#leases + 1] = lease_until_ms
  leases[#leases + 1] = id
  if not is_urgent then ordinary = ordinary - 1 end
  ids[#ids + 1] = id
  reply[#reply + 1] = entry
end

-- General path: claims one job. Returns whether it was claimed. `from` is the line that held it, if
-- any. `payload` is given if it was read already, `facts` if nothing else is stored for the job.
local function claim_job(id, from, payload, facts)
  if taken[id] then return false end
  payload = payload or redis.call('GET', payload_key(id)) or ''
  local job, why, version = general.load(id, payload, facts)
  if why == 'newer' and not FINISHED[redis.call('HGET', hash_key(id), 'state') or ''] then note_newer(id, version) end
  if why == 'missing' then damage.check_missing(id) end
  if not job then return false end
  if job.state ~= 'queued' then check_index(job); return false end
  if general.end_if_overdue(job) then return false end
  local aside, line = move_to_line(job, from)
  if aside then return false end
  line = line or (from and not is_of_batch(from) and from) or nil
  if line then use_permit(line) end
  if has_line(job) then advance_pace(job.batch) end
  local is_first = next(job.hash) == nil
  job.fence = job.fence + 1
  local entry = job_reply(job, payload, line)
  if is_first then
    write_later('MSET', nil, flight_key(id), flight_of(job))
  else
    general.set(job, 'state', 'sending', 'fence', job.fence, 'worker', worker, 'claimed_ms', now_text)
  end
  move(job.batch, 'queued', 'sending')
  lease = math.max(lease or 0, job.lease_ms)
  add_to_reply(id, class_of(job.priority) == 'urgent', int(now + job.lease_ms), entry)
  return true
end

-- Returns the values that all rows with this header share, or false if something may prevent their
-- claim.
local rows, plain_rows = {}, {}
local function shared_row(header)
  local row = plain_rows[header]
  if row ~= nil then return row end
  row = not has_limits and is_row(header) and parse_header(header)
  if row and not has_line(row) and not batch_cancelled(row.batch) and now < until_ms(row) then
    row.fence, row.taken = 1, 0
    row.flight, row.header, row.lease_until_ms = flight_of(row), expand_header(header), int(now + row.lease_ms)
    row.is_urgent = class_of(row.priority) == 'urgent'
    lease = math.max(lease or 0, row.lease_ms)
    rows[#rows + 1] = row
  else
    row = false
  end
  plain_rows[header] = row
  return row
end

-- Fast path: claims a row of a batch for which only the payload is stored. Returns false if the job
-- needs the general path.
local function claim_row(id, payload, its_flight_key)
  local header_end = payload and string.find(payload, '\n', 1, true)
  local row = header_end and not taken[id] and shared_row(string.sub(payload, 1, header_end))
  if not row then return false end
  write_later('MSET', nil, its_flight_key, row.flight)
  row.taken = row.taken + 1
  add_to_reply(id, row.is_urgent, row.lease_until_ms, { id, 1, row.header .. string.sub(payload, header_end + 1) })
  return true
end

local function availability(priority)
  local left = want - #ids
  return class_of(priority) == 'urgent' and left or math.min(left, ordinary)
end

-- Returns the payloads of these jobs. If no job has a hash or a flight, also returns the keys of
-- their flights.
local function read_payloads(ids)
  local payloads, others, flights = {}, {}, {}
  for index, id in ipairs(ids) do
    payloads[index], others[index], flights[index] = payload_key(id), hash_key(id), flight_key(id)
  end
  local none = redis.call('EXISTS', unpack(others)) == 0 and redis.call('EXISTS', unpack(flights)) == 0
  return redis.call('MGET', unpack(payloads)), none and flights
end

-- Jobs that were taken from a list and not examined yet: they go back if the script can't continue.
local pending
local function put_back()
  for index = #pending.ids, pending.from, -1 do redis.call('LPUSH', pending.list, pending.ids[index]) end
  pending = nil
end

-- First priority whose ready list may still hold jobs.
local next_priority
-- Claims from one ready list. Returns whether it held any job.
local function claim_from_ready(priority)
  local ready, found = key('ready:' .. priority), false
  while true do
    local most = math.min(availability(priority), budget)
    if most <= 0 then
      next_priority = next_priority or priority
      return found
    end
    local popped = redis.call('LPOP', ready, most)
    if not popped or #popped == 0 then return found end
    found, pending = true, { list = ready, ids = popped, from = 1 }
    local payloads, fresh = read_payloads(popped)
    for index, id in ipairs(popped) do
      budget, pending.from = budget - 1, index
      local payload, its_flight_key = payloads[index], fresh and fresh[index]
      if not is_job_id(id) then
        damage.note_damage('entry of ready:' .. priority, string.sub(id, 1, 100))
      elseif not (fresh and claim_row(id, payload, its_flight_key)) then
        -- Each call gets a table of its own, since the job's changes are noted there.
        isolated(id, claim_job, id, nil, payload, fresh and {} or nil)
      end
      if newer or undetermined then
        put_back()
        budget, next_priority = 0, next_priority or priority
        return found
      end
    end
    pending = nil
    if #popped < most then return found end
  end
end

-- Returns whether the next job of the line may be claimed.
local function is_open_line(line)
  if is_of_batch(line) then return line_due_ms(line) <= now end
  return has_permit(line)
end

local function claim_from_line(name, priority)
  local line = line_key(name, priority)
  while availability(priority) > 0 and budget > 0 and is_open_line(name) do
    local id = redis.call('LPOP', line)
    if not id then return end
    budget, pending = budget - 1, { list = line, ids = { id }, from = 1 }
    if is_job_id(id) then
      isolated(id, claim_job, id, name)
    else
      damage.note_damage('entry of line:' .. name, string.sub(id, 1, 100))
    end
    if newer or undetermined then
      put_back()
      budget = 0
      return
    end
    pending = nil
  end
end

-- Sets when the line is due again, or removes it if it is empty.
local function reschedule_line(name)
  if #nonempty_lines({ name }) == 0 then return redis.call('ZREM', key('lines'), name) end
  added_waiting = true
  local due = is_of_batch(name) and line_due_ms(name) or now + retry_in_ms(name)
  redis.call('ZADD', key('lines'), due == math.huge and PAUSED or int(math.max(due, 0)), name)
end

-- Writes the leases of the claimed jobs even if a later step fails, so that each has a holder.
local function write_leases()
  if #ids == 0 then return end
  redis.call('ZADD', key('leases'), unpack(leases))
  if lease ~= known_lease then redis.call('HSET', key('n'), 'lease_ms', int(lease)) end
  -- The reply is kept for an hour, since Redis may be unreachable for long. Jobs that have another
  -- holder by then are left out of a repeated reply.
  redis.call('SET', claim_key, claim_id .. ' ' .. table.concat(ids, ' '), 'PX', 3600000)
end

local lines, lists = due_lines(), ready_lists(0, 9)
local first = lists > 0 and ready_lists(0, USUAL - 1) == 0 and USUAL or 0
local fine, why = pcall(function()
  for priority = 0, 9 do
    for _, line in ipairs(lines) do claim_from_line(line, priority) end
    if lists > 0 and priority >= first and claim_from_ready(priority) then lists = lists - 1 end
  end
  for _, line in ipairs(lines) do reschedule_line(line) end
end)
if pending then put_back() end
for _, row in ipairs(rows) do move(row.batch, 'queued', 'sending', row.taken) end
write_leases()
flush_writes()
if not fine then error(why, 0) end
if newer_in_a_row ~= newer_in_a_row_before then redis.call('HSET', key('n'), 'newer_in_a_row', newer_in_a_row) end
if newer and #ids == 0 then return { 'newer', newer, newer_id } end

local left = most_urgent(nonempty_lines(due_lines()), next_priority and first_ready(next_priority))
if left then wake(left) end
reply[2] = left or -1
reply[3] = int(next_due_ms())
return reply
