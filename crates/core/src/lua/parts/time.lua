-- Redis's own time, watched: after a stall or a jump of the clock no lease is believed to have run out
-- before a whole lease has passed, so that those who were kept from renewing can.
local function watch_time()
  local facts = redis.call('HMGET', key('n'), 'last_ms', 'lease_ms', 'no_rescue_before_ms')
  local last, lease = tonumber(facts[1]), tonumber(facts[2]) or 15000
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
  return grace
end
