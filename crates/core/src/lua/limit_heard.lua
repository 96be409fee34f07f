-- Records a server's feedback on its limits for all workers. A refusal for rate cuts the learned
-- rate, at most once in a window, to slightly less than the server accepts. A pause, rate or quota
-- that the server announced applies as announced.
--
-- Keys:    `state`
-- ARGV:    version, worker, refused (1: too fast, 0: no), mails that this worker saw accepted in
--          the last second or the mean of the last ten, configured spacing (microseconds, 0: none),
--          pause (microseconds, 0: none), why (quota's name, `pace`), spacing that the server
--          announced (microseconds, 0: none)
-- Replies: heard <spacing in force, microseconds, 0: none>
-- States:  none
-- Includes: prelude learned_rate
local worker, refused, recent, set_spacing, pause, why, server_spacing =
  ARGV[2], ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local state = limit_state()
local learned = learned_us(state)

-- Starts from the rate of recently accepted mails. The server accepts nothing more for a second.
local function start_learning()
  state = {
    good_us = 1000000 / math.max(recent, 1), depth = 0.05, grown_us = 0, cut_us = now_us + WINDOW_US, probing = 1,
  }
  save_state('given', 0, 'refused', 0, 'first', worker, 'next_us', int(now_us + WINDOW_US))
end

-- Adds the recent rate of another worker that met the same limit.
local function add_rate()
  local first = redis.call('HGET', key('state'), 'first') or ''
  if string.find(first, worker, 1, true) or #first > 4000 then return end
  save_state('first', first .. ' ' .. worker)
  state.good_us = 1000000 / (1000000 / state.good_us + recent)
end

-- Soon after a cut, the mails accepted since show what the server accepts. They also include mails
-- that were under way when the limit was found, so the estimate has a floor. Later the rate has
-- been rising, and the server accepts nearly the current rate.
local function cut_rate()
  local counts = redis.call('HMGET', key('state'), 'given', 'refused')
  local old, since = 1000000 / math.max(learned, set_spacing), now_us - state.cut_us
  local accepted = old
  if since < 1.25 * window_us(learned) then
    accepted = math.max(((tonumber(counts[1]) or 0) - (tonumber(counts[2]) or 0)) * 1000000 / since, 0.75 * old)
  end
  local rate = math.max(math.min(0.95 * accepted, 0.95 * old), old / 2)
  local good = math.min(math.max(accepted, rate / 0.95), old)
  local depth = math.max(1 - rate / good, 0.02)
  state = { good_us = 1000000 / good, depth = depth, grown_us = 0, cut_us = now_us, probing = 0 }
  save_state('given', 0, 'refused', 0)
end

if refused then
  if not learned then start_learning()
  elseif now_us < state.cut_us then add_rate()
  else
    redis.call('HINCRBY', key('state'), 'refused', 1)
    if now_us - state.cut_us >= window_us(learned) then cut_rate() end
  end
  save_state('good_us', string.format('%.3f', state.good_us), 'depth', string.format('%.4f', state.depth),
    'grown_us', int(state.grown_us), 'cut_us', int(state.cut_us), 'probing', state.probing)
end
if server_spacing > 0 then save_state('told_us', int(server_spacing), 'told_at_us', int(now_us)) end
if pause > 0 and now_us + pause > (state.shut_until_us or 0) then
  save_state('shut_until_us', int(now_us + pause), 'shut_why', why)
end
state = limit_state()
return { 'heard', int(math.max(learned_us(state) or 0, server_spacing_us(state) or 0)) }
