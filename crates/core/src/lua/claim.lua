-- Hands a worker up to `want` jobs, the most urgent first, each under a lease and a fence higher than ever before.
-- The same claim id asked again returns the same jobs, so a lost reply leaves nothing leased to nobody.
--
-- Keys:    `ready:<priority>`, `lines`, `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `newer`, `leases`, `claim:<worker>`, job `<id>`, `h:<id>` and `f:<id>`, batch `t:<ref>`, `b:<id>`, `n`, `run`, `workers`, `wake`
-- ARGV:    version, worker, claim_id, want, ordinary (how many of these may be less urgent than priority 2), budget (jobs looked at in
--          this call), limited (how many names follow), the limits on domains and templates that are in force, then for each
--          line that the worker asked leave for: name, mails (that may go), again_ms (until it is worth asking again)
-- Replies: claimed <priority of the most urgent that is left, or -1> <next_due_ms> <now_ms> <job>... | paused | wait <ms> | newer <version> <id> (of its first job)
--          job: id, fence, payload; and where there is any more to it: attempt, tries, date_ms, message_id, recipients, generation, line
--          (whose leave it uses)
-- States:  scheduled, deferred (due) -> queued; queued -> sending | cancelled | failed
-- Includes: prelude job time promote claim_limits
local worker, claim_id, want, ordinary, budget = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local _, known_lease, paused, newer_before = watch_time()

local function told(job, payload, line)
  local hash = job.hash
  if not line and next(hash) == nil then return { job.id, job.fence, whole(payload) } end
  return {
    job.id, job.fence, whole(payload), hash.attempt or '0', hash.tries or '0', hash.date_ms or '', hash.message_id or '', hash.recipients or '',
    hash.generation or '0', line or '',
  }
end

local claim_key = key('claim:' .. worker)
local function asked_before()
  local last_id, last_jobs = string.match(redis.call('GET', claim_key) or '', '^(%S+) (.*)$')
  if last_id ~= claim_id then return nil end
  local reply = { 'claimed', 9, '0', int(now) }
  for id in string.gmatch(last_jobs, '%S+') do
    reply[#reply + 1] = harmless(id, function()
      local job = load(id)
      if job and job.state == 'sending' and job.worker == worker and not job.begun_ms then
        return told(job, redis.call('GET', payload_key(id)))
      end
    end)
  end
  settle()
  return reply
end

local again = asked_before()
if again then return again end
if paused then return { 'paused' } end
local wait = claims_wait_ms()
if wait > 0 then return { 'wait', int(wait) } end

local share = math.floor(budget / 2)
budget = budget - share + promote(share)

local reply, ids, lease, leases = { 'claimed', -1, '0', int(now) }, {}, nil, {}

-- A job of a newer version waits apart. After several in a row, as in a rolling deploy, the queue is left to newer workers.
local NEWER_MOST = 3
local newer, newer_id, newer_in_a_row = nil, nil, newer_before
-- Those that it met were taken or cancelled.
if newer_before > 0 and redis.call('EXISTS', key('newer')) == 0 then newer_in_a_row = 0 end
local function meet_newer(id, version)
  newer_in_a_row = newer_in_a_row + 1
  if newer_in_a_row <= NEWER_MOST then return set_apart(id, 'queued', version) end
  newer, newer_id, newer_in_a_row = version, id, NEWER_MOST
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

local function until_ms(job)
  local dies = dies_ms(job)
  return job.expires_ms > 0 and math.min(dies, job.expires_ms) or dies
end

local function flight_of(job)
  return table.concat({ job.fence, worker, now_text, job.lease_ms, int(until_ms(job)), job.batch }, ' ')
end

-- Where the job has to stand instead, if it may not be taken from here: in its batch's line, or in that of its limits.
local function step_aside(job, from)
  if from ~= job.batch and has_line(job) and not (from and line_due_ms(job.batch) <= now) then
    make_ready(job, false, job.id)
    return true
  end
  if from and not is_of_batch(from) then return false end
  local line = limits_on(job)
  if not line or has_turn(line) then return false, line end
  park(job, line)
  return true
end

-- What a list names that is not queued has moved on. Where the index of its state does not have it, nobody would ever look at it again.
local INDEXED = { sending = 'leases', unknown = 'unknown' }
local function check_place(job)
  local index = INDEXED[job.state]
  if job.state == 'scheduled' or job.state == 'deferred' then index = job.state .. ':' .. class_of(job.priority) end
  if index and not redis.call('ZSCORE', key(index), job.id) then broken('its state is ' .. job.state .. ', but no index has it') end
end

local taken = {}
local function hand_out(id, is_urgent, over_ms, words)
  taken[id] = true
  newer_in_a_row = 0
  leases[#leases + 1] = over_ms
  leases[#leases + 1] = id
  if not is_urgent then ordinary = ordinary - 1 end
  ids[#ids + 1] = id
  reply[#reply + 1] = words
end


-- Whether the id was handed out. `from` is the line that it stood in, if any; its payload, and that nothing else is known of it, may
-- be at hand.
local function take(id, from, payload, facts)
  if taken[id] then return false end
  payload = payload or redis.call('GET', payload_key(id)) or ''
  local job, why, version = load(id, payload, facts)
  if why == 'newer' and not FINISHED[redis.call('HGET', hash_key(id), 'state') or ''] then meet_newer(id, version) end
  if why == 'missing' then check_missing(id) end
  if not job then return false end
  if job.state ~= 'queued' then check_place(job); return false end
  if end_if_overdue(job) then return false end
  local aside, line = step_aside(job, from)
  if aside then return false end
  line = line or (from and not is_of_batch(from) and from) or nil
  if line then use_turn(line) end
  if has_line(job) then note_taken(job.batch) end
  local is_first = next(job.hash) == nil
  job.fence = job.fence + 1
  local words = told(job, payload, line)
  if is_first then
    write_later('MSET', nil, flight_key(id), flight_of(job))
  else
    set(job, 'state', 'sending', 'fence', job.fence, 'worker', worker, 'claimed_ms', now_text)
  end
  move(job.batch, 'queued', 'sending')
  lease = math.max(lease or 0, job.lease_ms)
  hand_out(id, class_of(job.priority) == 'urgent', int(now + job.lease_ms), words)
  return true
end

-- What the rows under one header share when nothing stands against their going; false where something may.
local ROW = VERSION .. ' @'
local rows, plain_rows = {}, {}
local function plain_row(header)
  local row = plain_rows[header]
  if row ~= nil then return row end
  row = not any_limited and string.sub(header, 1, #ROW) == ROW and parse_header(header)
  if row and not has_line(row) and not batch_cancelled(row.batch) and now < until_ms(row) then
    row.fence, row.taken = 1, 0
    row.flight, row.header, row.over_ms = flight_of(row), whole_header(header), int(now + row.lease_ms)
    row.is_urgent = class_of(row.priority) == 'urgent'
    lease = math.max(lease or 0, row.lease_ms)
    rows[#rows + 1] = row
  else
    row = false
  end
  plain_rows[header] = row
  return row
end

-- The short way to the same end for what nearly all of a batch are: rows that nothing else is known of. Answers whether it was one.
local function take_row(id, payload, its_flight_key)
  local header_end = payload and string.find(payload, '\n', 1, true)
  local row = header_end and not taken[id] and plain_row(string.sub(payload, 1, header_end))
  if not row then return false end
  write_later('MSET', nil, its_flight_key, row.flight)
  row.taken = row.taken + 1
  hand_out(id, row.is_urgent, row.over_ms, { id, 1, row.header .. string.sub(payload, header_end + 1) })
  return true
end

local function room(priority)
  local left = want - #ids
  return class_of(priority) == 'urgent' and left or math.min(left, ordinary)
end

-- The payloads of these, and where nothing else is known of any of them the keys of their flights.
local function at_hand(ids)
  local payloads, others, flights = {}, {}, {}
  for index, id in ipairs(ids) do
    payloads[index], others[index], flights[index] = payload_key(id), hash_key(id), flight_key(id)
  end
  local none = redis.call('EXISTS', unpack(others)) == 0 and redis.call('EXISTS', unpack(flights)) == 0
  return redis.call('MGET', unpack(payloads)), none and flights
end

-- What was taken from a list and not looked at yet: it goes back when the script can't go on.
local pending
local function put_back()
  for index = #pending.ids, pending.from, -1 do redis.call('LPUSH', pending.list, pending.ids[index]) end
  pending = nil
end

-- The priority of the first ready list that something may have been left in.
local left_from
-- Whether there were any.
local function take_from_ready(priority)
  local ready, found = key('ready:' .. priority), false
  while true do
    local most = math.min(room(priority), budget)
    if most <= 0 then
      left_from = left_from or priority
      return found
    end
    local popped = redis.call('LPOP', ready, most)
    if not popped or #popped == 0 then return found end
    found, pending = true, { list = ready, ids = popped, from = 1 }
    local payloads, fresh = at_hand(popped)
    for index, id in ipairs(popped) do
      budget, pending.from = budget - 1, index
      local payload, its_flight_key = payloads[index], fresh and fresh[index]
      if not is_job_id(id) then
        note_damage('entry of ready:' .. priority, string.sub(id, 1, 100))
      elseif not (fresh and take_row(id, payload, its_flight_key)) then
        -- Each has facts of its own: what becomes of one is noted there.
        harmless(id, take, id, nil, payload, fresh and {} or nil)
      end
      if newer then
        put_back()
        budget, left_from = 0, left_from or priority
        return found
      end
    end
    pending = nil
    if #popped < most then return found end
  end
end

-- Whether the next of the line may be taken.
local function is_open_line(line)
  if is_of_batch(line) then return line_due_ms(line) <= now end
  return has_turn(line)
end

local function take_from_line(name, priority)
  local line = line_key(name, priority)
  while room(priority) > 0 and budget > 0 and is_open_line(name) do
    local id = redis.call('LPOP', line)
    if not id then return end
    budget, pending = budget - 1, { list = line, ids = { id }, from = 1 }
    if is_job_id(id) then
      harmless(id, take, id, name)
    else
      note_damage('entry of line:' .. name, string.sub(id, 1, 100))
    end
    if newer then
      put_back()
      budget = 0
      return
    end
    pending = nil
  end
end

-- When the line is to be looked at again, if anybody stands in it.
local function settle_line(name)
  if #looked_at({ name }) == 0 then return redis.call('ZREM', key('lines'), name) end
  puts_off = true
  local due = is_of_batch(name) and line_due_ms(name) or now + again_ms(name)
  redis.call('ZADD', key('lines'), due == math.huge and PAUSED or int(math.max(due, 0)), name)
end

-- What was handed out has its lease, whatever goes wrong after it: it is never left with nobody.
local function keep_leases()
  if #ids == 0 then return end
  redis.call('ZADD', key('leases'), unpack(leases))
  if lease ~= known_lease then redis.call('HSET', key('n'), 'lease_ms', int(lease)) end
  -- Redis may be away for long before the worker can ask again; whose its jobs are by then, they tell themselves.
  redis.call('SET', claim_key, claim_id .. ' ' .. table.concat(ids, ' '), 'PX', 3600000)
end

local lines, lists = due_lines(), ready_lists(0, 9)
local first = lists > 0 and ready_lists(0, USUAL - 1) == 0 and USUAL or 0
local fine, why = pcall(function()
  for priority = 0, 9 do
    for _, line in ipairs(lines) do take_from_line(line, priority) end
    if lists > 0 and priority >= first and take_from_ready(priority) then lists = lists - 1 end
  end
  for _, line in ipairs(lines) do settle_line(line) end
end)
if pending then put_back() end
for _, row in ipairs(rows) do move(row.batch, 'queued', 'sending', row.taken) end
keep_leases()
settle()
if not fine then error(why, 0) end
if newer_in_a_row ~= newer_before then redis.call('HSET', key('n'), 'newer_in_a_row', newer_in_a_row) end
if newer and #ids == 0 then return { 'newer', newer, newer_id } end

local left = most_urgent(looked_at(due_lines()), left_from and first_ready(left_from))
if left then wake(left) end
reply[2] = left or -1
reply[3] = int(next_due_ms())
return reply
