-- Checks Redis's clock. After a stall or a jump, no lease counts as expired for a full lease, so
-- that workers that could not renew have time to do so.
-- Returns the time before which nothing is rescued, the length of the latest lease, whether the
-- queue is paused, and the number of jobs of a newer version met in a row.
local DEFAULT_LEASE_MS = 15000
local function check_clock()
  local facts = redis.call('HMGET', key('n'), 'last_ms', 'lease_ms', 'no_rescue_before_ms', 'paused_ms',
    'newer_in_a_row')
  local last, lease = tonumber(facts[1]), tonumber(facts[2]) or DEFAULT_LEASE_MS
  redis.call('HSET', key('n'), 'last_ms', int(now))
  local grace = tonumber(facts[3]) or 0
  if last and (now < last or now - last > lease / 3) and redis.call('EXISTS', key('leases')) == 1 then
    grace = now + lease
    redis.call('HSET', key('n'), 'no_rescue_before_ms', int(grace))
  elseif grace > now + 10 * lease then
    -- Written by a clock that was far ahead.
    grace = now + lease
    redis.call('HSET', key('n'), 'no_rescue_before_ms', int(grace))
  end
  return grace, tonumber(facts[2]), facts[4] and true or false, tonumber(facts[5]) or 0
end

-- Workers of the queue, each with the time of its last call and the server run at that call.
local function record_alive(worker)
  redis.call('HSET', key('workers'), worker, int(now) .. ' ' .. (redis.call('HGET', key('run'), 'id') or '-'))
end

local function all_workers()
  local all, flat = {}, redis.call('HGETALL', key('workers'))
  for index = 1, #flat, 2 do
    local at, run = string.match(flat[index + 1], '^(%d+) (%S+)$')
    all[flat[index]] = { at = tonumber(at) or 0, run = run }
  end
  return all
end

-- Returns how long claims must wait after a restart: until every worker that was alive before it
-- has resynchronised, or the time for that is over.
local function claims_wait_ms()
  local facts = redis.call('HMGET', key('run'), 'claims_from_ms', 'awaited_since_ms', 'id')
  local from, since = tonumber(facts[1]), tonumber(facts[2])
  if not from then return 0 end
  if now < from and now >= from - 10000 then
    for _, entry in pairs(all_workers()) do
      if entry.run ~= facts[3] and entry.at >= since then return from - now end
    end
  end
  redis.call('HDEL', key('run'), 'claims_from_ms', 'awaited_since_ms')
  return 0
end
