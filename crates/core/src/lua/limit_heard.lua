-- What a server said of how much it takes, for all workers to keep to: a mail that was refused because it came too fast cuts the rate, at most
-- once in a window, to a little less than what the server takes; a pause, a rate or a quota that it told of hold as told.
--
-- Keys:    `state` of the limit
-- ARGV:    version, worker, refused (1: too fast, 0: no), mails that this worker saw accepted in the last second or the mean of the last ten,
--          spacing that is set (microseconds, 0: none), pause (microseconds, 0: none), why (quota's name, `pace`), told spacing (microseconds, 0: none)
-- Replies: heard <spacing in force, microseconds, 0: none>
-- States:  none
-- Includes: prelude learned_rate
local worker, refused, recent, set, pause, why, told =
  ARGV[2], ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local state = limit_state()
local learned = learned_us(state)

-- Nothing was learned yet: what goes through is sought from what went lately; the server has had enough for this second.
local function begin()
  state = { good_us = 1000000 / math.max(recent, 1), depth = 0.05, grown_us = 0, cut_us = now_us + WINDOW_US, probing = 1 }
  keep_state('given', 0, 'refused', 0, 'first', worker, 'next_us', int(now_us + WINDOW_US))
end

-- Another worker that met the same adds what it saw go through.
local function add()
  local first = redis.call('HGET', key('state'), 'first') or ''
  if string.find(first, worker, 1, true) or #first > 4000 then return end
  keep_state('first', first .. ' ' .. worker)
  state.good_us = 1000000 / (1000000 / state.good_us + recent)
end

-- Soon after the last cut, what was accepted since is what the server takes; but mail that left before somebody heard of the limit
-- counts there and not here, so not all is believed. Later the rate has risen all the time: it takes nearly as much as goes out now.
local function cut()
  local counts = redis.call('HMGET', key('state'), 'given', 'refused')
  local old, since = 1000000 / math.max(learned, set), now_us - state.cut_us
  local accepted = old
  if since < 1.25 * window_us(learned) then
    accepted = math.max(((tonumber(counts[1]) or 0) - (tonumber(counts[2]) or 0)) * 1000000 / since, 0.75 * old)
  end
  local rate = math.max(math.min(0.95 * accepted, 0.95 * old), old / 2)
  local good = math.min(math.max(accepted, rate / 0.95), old)
  state = { good_us = 1000000 / good, depth = math.max(1 - rate / good, 0.02), grown_us = 0, cut_us = now_us, probing = 0 }
  keep_state('given', 0, 'refused', 0)
end

if refused then
  if not learned then begin()
  elseif now_us < state.cut_us then add()
  else
    redis.call('HINCRBY', key('state'), 'refused', 1)
    if now_us - state.cut_us >= window_us(learned) then cut() end
  end
  keep_state('good_us', string.format('%.3f', state.good_us), 'depth', string.format('%.4f', state.depth), 'grown_us', int(state.grown_us),
    'cut_us', int(state.cut_us), 'probing', state.probing)
end
if told > 0 then keep_state('told_us', int(told), 'told_at_us', int(now_us)) end
if pause > 0 and now_us + pause > (state.shut_until_us or 0) then
  keep_state('shut_until_us', int(now_us + pause), 'shut_why', why)
end
state = limit_state()
return { 'heard', int(math.max(learned_us(state) or 0, told_us(state) or 0)) }
