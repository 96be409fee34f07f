-- Returns whether any job or line waits for a time. Usually there is none, which one command shows.
local no_waiting = false
local function has_waiting()
  if no_waiting and not added_waiting then return false end
  local waiting = { key('lines'), key('newer') }
  for _, class in ipairs(CLASSES) do
    waiting[#waiting + 1] = key('scheduled:' .. class)
    waiting[#waiting + 1] = key('deferred:' .. class)
  end
  no_waiting, added_waiting = redis.call('EXISTS', unpack(waiting)) == 0, false
  return not no_waiting
end

-- Returns whether the hash of a deferred job has lost its state. A queued job may have no state
-- either, but it is in its ready list.
local function lost_its_state(job)
  if job.state ~= 'queued' or job.hash.state then return false end
  return not redis.call('LPOS', key('ready:' .. job.priority), job.id, 'MAXLEN', 200000)
end

-- Moves a due job to its ready list. Removes the entry of a job in another state.
local function promote_job(id, state, waiting)
  local job, why, version = load(id)
  if why == 'missing' then raise_damage('the payload is missing') end
  if job and state == 'deferred' and lost_its_state(job) then raise_damage('deferred without a state') end
  redis.call('ZREM', waiting, id)
  if why == 'newer' then return park_newer(id, state, version) end
  if why == 'foreign' then return damage.note_damage('entry of ' .. state, string.sub(id, 1, 100)) end
  if not job or job.state ~= state then return end
  if job.cancelled_with_batch then return to_finished(job, 'cancelled', 'batch') end
  if state == 'deferred' then set(job, 'state', 'queued') end
  make_ready(job, false, id)
  move(job.batch, state, 'queued')
end

-- Queues a job that waited in `newer`, if this version can read it.
local function requeue_newer(entry)
  local state, id = string.match(entry, '^(%l+) (.*)$')
  local job, why = load(id or '')
  if why == 'newer' then return end
  redis.call('ZREM', key('newer'), entry)
  if not job or (job.state ~= state and job.state ~= 'queued') then return end
  if job.cancelled_with_batch then return to_finished(job, 'cancelled', 'batch') end
  if state == 'deferred' then set(job, 'state', 'queued') end
  make_ready(job, false, id)
  if state ~= 'queued' then move(job.batch, state, 'queued') end
end

local function requeue_all_newer(entries)
  for _, entry in ipairs(entries) do
    local id = string.match(entry, '%S*$')
    local fine, why = try_job(requeue_newer, entry)
    if not fine and is_job_id(id) then damage.set_aside(id, why) end
    if not fine and not undetermined then redis.call('ZREM', key('newer'), entry) end
  end
end

-- Moves at most `budget` due jobs to their ready lists, the urgent class first. Returns the
-- remaining budget.
local function promote_waiting(budget)
  requeue_all_newer(redis.call('ZRANGEBYSCORE', key('newer'), '-inf', VERSION, 'LIMIT', 0, budget))
  for _, class in ipairs(CLASSES) do
    for _, state in ipairs({ 'deferred', 'scheduled' }) do
      if budget <= 0 then return 0 end
      local waiting = key(state .. ':' .. class)
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', int(now), 'LIMIT', 0, budget)) do
        budget = budget - 1
        isolated(id, promote_job, id, state, waiting)
      end
    end
  end
  return budget
end
local function promote(budget) return has_waiting() and rare.promote_waiting(budget) or budget end

-- Returns when the next waiting job is due, or 0.
local function earliest_due_ms()
  local earliest = 0
  for _, class in ipairs(CLASSES) do
    for _, state in ipairs({ 'scheduled', 'deferred' }) do
      local first = redis.call('ZRANGE', key(state .. ':' .. class), 0, 0, 'WITHSCORES')
      local due = tonumber(first[2] or 0)
      if due > 0 and (earliest == 0 or due < earliest) then earliest = due end
    end
  end
  -- Only a line that is not due yet sets a time to wait for.
  local next_line = redis.call('ZRANGEBYSCORE', key('lines'), '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local due = tonumber(next_line[2])
  if due and due < math.huge and (earliest == 0 or due < earliest) then earliest = due end
  return earliest
end
local function next_due_ms() return has_waiting() and rare.earliest_due_ms() or 0 end

-- Returns the lines that are due, at most `LINES` of them.
local LINES = 20
local function due_lines()
  return has_waiting() and redis.call('ZRANGEBYSCORE', key('lines'), '-inf', int(now), 'LIMIT', 0, LINES) or {}
end

-- Returns the lines that hold a job, each with the priority of its most urgent one.
local function nonempty_lines(lines)
  local found = {}
  for _, line in ipairs(lines) do
    for priority = 0, 9 do
      if redis.call('EXISTS', line_key(line, priority)) == 1 then
        found[#found + 1] = { line, priority }
        break
      end
    end
  end
  return found
end

-- Returns how many ready lists of these priorities hold a job.
local function ready_lists(first, last)
  local lists = {}
  for priority = first, last do lists[#lists + 1] = key('ready:' .. priority) end
  return redis.call('EXISTS', unpack(lists))
end

-- Returns the first priority from `from` on whose ready list holds a job, or nil.
local USUAL = 5
local function first_ready(from)
  if ready_lists(from, from) == 1 then return from end
  if ready_lists(from, 9) == 0 then return nil end
  if from < USUAL and ready_lists(from, USUAL - 1) == 0 then from = USUAL end
  while ready_lists(from, from) == 0 do from = from + 1 end
  return from
end

-- Returns the priority of the most urgent job in these lines and, if given, the ready lists; or
-- nil.
local function most_urgent(lines, ready)
  local most = ready
  for _, line in ipairs(lines) do
    if not most or line[2] < most then most = line[2] end
  end
  return most
end
