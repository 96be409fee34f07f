-- Moves at most `budget` jobs whose time has come to their ready lists, the urgent class first.
-- Returns what is left of the budget.
local function promote(budget)
  for _, class in ipairs(CLASSES) do
    for _, state in ipairs({ 'deferred', 'scheduled' }) do
      if budget <= 0 then return 0 end
      local waiting = key(state .. ':' .. class)
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', int(now), 'LIMIT', 0, budget)) do
        budget = budget - 1
        local job, why = load(id)
        -- What a newer version wrote stays where it is.
        if why ~= 'newer' then redis.call('ZREM', waiting, id) end
        if why == 'unreadable' then set_aside(id, state) end
        if job and job.swept then
          to_finished(job, 'cancelled', 'batch')
        elseif job then
          if state == 'deferred' then set(job, 'state', 'queued') end
          make_ready(job, false, id)
          move(job.batch, state, 'queued')
        end
      end
    end
  end
  return budget
end

-- When the next waiting job is due, or 0.
local function next_due_ms()
  local earliest = 0
  for _, class in ipairs(CLASSES) do
    for _, state in ipairs({ 'scheduled', 'deferred' }) do
      local first = redis.call('ZRANGE', key(state .. ':' .. class), 0, 0, 'WITHSCORES')
      local due = tonumber(first[2] or 0)
      if due > 0 and (earliest == 0 or due < earliest) then earliest = due end
    end
  end
  local line = tonumber(redis.call('ZRANGE', key('lines'), 0, 0, 'WITHSCORES')[2])
  if line and line < math.huge and (earliest == 0 or line < earliest) then earliest = math.max(line, 1) end
  return earliest
end

local function ready_left()
  for priority = 0, 9 do
    if redis.call('EXISTS', key('ready:' .. priority)) == 1 then return true end
  end
  return redis.call('ZCOUNT', key('lines'), '-inf', int(now)) > 0
end
