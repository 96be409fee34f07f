-- Whether anything waits for its time. Mostly nothing does, and that is told in one question, once.
local nothing_waits = false
local function anything_waits()
  if nothing_waits and not puts_off then return false end
  local waiting = { key('lines'), key('newer') }
  for _, class in ipairs(CLASSES) do
    waiting[#waiting + 1] = key('scheduled:' .. class)
    waiting[#waiting + 1] = key('deferred:' .. class)
  end
  nothing_waits, puts_off = redis.call('EXISTS', unpack(waiting)) == 0, false
  return not nothing_waits
end

-- A job whose time has come goes to its list. An entry for one that is in another state is wrong, and goes.
local function promote_job(id, state, waiting)
  local job, why, version = load(id)
  if why == 'missing' then broken('its payload is gone') end
  redis.call('ZREM', waiting, id)
  if why == 'newer' then return set_apart(id, state, version) end
  if why == 'stranger' then return note_damage('entry of ' .. state, string.sub(id, 1, 100)) end
  if not job or job.state ~= state then return end
  if job.swept then return to_finished(job, 'cancelled', 'batch') end
  if state == 'deferred' then set(job, 'state', 'queued') end
  make_ready(job, false, id)
  move(job.batch, state, 'queued')
end

-- What waited apart for a version that can read it.
local function take_in(entry)
  local state, id = string.match(entry, '^(%l+) (.*)$')
  local job, why = load(id or '')
  if why == 'newer' then return end
  redis.call('ZREM', key('newer'), entry)
  if not job or (job.state ~= state and job.state ~= 'queued') then return end
  if job.swept then return to_finished(job, 'cancelled', 'batch') end
  if state == 'deferred' then set(job, 'state', 'queued') end
  make_ready(job, false, id)
  if state ~= 'queued' then move(job.batch, state, 'queued') end
end

local function take_in_all(entries)
  for _, entry in ipairs(entries) do
    local id = string.match(entry, '%S*$')
    local fine, why = guarded(take_in, entry)
    if not fine and is_job_id(id) then set_aside(id, why) end
    if not fine then redis.call('ZREM', key('newer'), entry) end
  end
end

-- Moves at most `budget` jobs whose time has come to their ready lists, the urgent class first.
-- Returns what is left of the budget.
local function promote(budget)
  if not anything_waits() then return budget end
  take_in_all(redis.call('ZRANGEBYSCORE', key('newer'), '-inf', VERSION, 'LIMIT', 0, budget))
  for _, class in ipairs(CLASSES) do
    for _, state in ipairs({ 'deferred', 'scheduled' }) do
      if budget <= 0 then return 0 end
      local waiting = key(state .. ':' .. class)
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', int(now), 'LIMIT', 0, budget)) do
        budget = budget - 1
        harmless(id, promote_job, id, state, waiting)
      end
    end
  end
  return budget
end

-- When the next waiting job is due, or 0.
local function next_due_ms()
  local earliest = 0
  if not anything_waits() then return earliest end
  for _, class in ipairs(CLASSES) do
    for _, state in ipairs({ 'scheduled', 'deferred' }) do
      local first = redis.call('ZRANGE', key(state .. ':' .. class), 0, 0, 'WITHSCORES')
      local due = tonumber(first[2] or 0)
      if due > 0 and (earliest == 0 or due < earliest) then earliest = due end
    end
  end
  -- A line that may be looked at already is no time to wait for.
  local line = tonumber(redis.call('ZRANGEBYSCORE', key('lines'), '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2])
  if line and line < math.huge and (earliest == 0 or line < earliest) then earliest = line end
  return earliest
end

-- The lines that may be looked at now, a bounded number of them.
local LINES = 20
local function due_lines()
  return anything_waits() and redis.call('ZRANGEBYSCORE', key('lines'), '-inf', int(now), 'LIMIT', 0, LINES) or {}
end

-- Each of these lines with the priority of the most urgent that stands in it, where anybody does.
local function looked_at(lines)
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

-- How many of the ready lists of these priorities hold anything.
local function ready_lists(first, last)
  local lists = {}
  for priority = first, last do lists[#lists + 1] = key('ready:' .. priority) end
  return redis.call('EXISTS', unpack(lists))
end

-- The first priority from `from` on whose ready list holds anything, or nil.
local USUAL = 5
local function first_ready(from)
  if ready_lists(from, 9) == 0 then return nil end
  if from < USUAL and ready_lists(from, USUAL - 1) == 0 then from = USUAL end
  while ready_lists(from, from) == 0 do from = from + 1 end
  return from
end

-- The priority of the most urgent job that may be taken from these lines or, where that is told, from the ready lists; or nil.
local function most_urgent(lines, ready)
  local most = ready
  for _, line in ipairs(lines) do
    if not most or line[2] < most then most = line[2] end
  end
  return most
end
