-- Learned rate of a limit (CUBIC, RFC 9438): found from the server's refusals. The state also holds
-- pauses and rates that the server announced.

local FORGET_US = 3600000000
-- Shortest time between two cuts, and time to recover from one, unless the mails are far apart.
local WINDOW_US = 1000000
local RECOVERY_US = 6000000
local function window_us(spacing) return math.max(WINDOW_US, 10 * spacing) end

local LEARNED = {
  'good_us', 'depth', 'grown_us', 'cut_us', 'probing', 'told_us', 'told_at_us', 'shut_until_us', 'shut_why',
}
local function limit_state()
  local state = {}
  local facts = redis.call('HMGET', key('state'), unpack(LEARNED))
  local function is_lost(names)
    for _, name in ipairs(names) do
      if not state[name] then return true end
    end
    return false
  end
  for index, name in ipairs(LEARNED) do state[name] = name == 'shut_why' and facts[index] or tonumber(facts[index]) end
  -- Damaged state is learned again.
  if state.good_us and (state.good_us <= 0 or is_lost({ 'depth', 'grown_us', 'cut_us', 'probing' })) then
    state.good_us = nil
  end
  if state.told_us and not state.told_at_us then state.told_us = nil end
  return state
end

-- Returns the current rate as a multiple of the last good rate. Before the first cut the rate
-- doubles every 3 s (`probing`). After a cut it follows a cubic curve: fast up to the last good
-- rate, flat near it, then faster again. Time counts only while the rate is in use.
local function growth(state)
  if state.probing == 1 then return math.pow(2, math.min(state.grown_us / 3000000, 20)) end
  local period = math.max(RECOVERY_US, 20 * state.good_us)
  return 1 + state.depth * math.pow(state.grown_us / period - 1, 3)
end

-- Returns the learned spacing as of now, or nil: nothing is learned, or it is an hour old, or the
-- rate has grown eightfold.
local function learned_us(state)
  if not state.good_us or now_us - state.cut_us > FORGET_US or now_us < state.cut_us - FORGET_US then return nil end
  local times = growth(state)
  if times >= 8 then return nil end
  return state.good_us / times
end

-- Returns the spacing that the server announced, for an hour.
local function server_spacing_us(state)
  if not state.told_us or now_us - state.told_at_us > FORGET_US then return nil end
  return state.told_us
end

-- Returns how long the server accepts nothing, and why.
local function pause_us(state)
  if not state.shut_until_us or state.shut_until_us <= now_us then return nil end
  return state.shut_until_us - now_us, state.shut_why
end

local function save_state(...)
  redis.call('HSET', key('state'), ...)
  redis.call('PEXPIRE', key('state'), 40 * 86400000)
end
