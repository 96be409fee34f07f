-- Of a limit: what was learned from its server's refusals, and for how long it takes nothing.

-- A learned rate begins where mail was refused, and is cut and recovers from there.
local FORGET_US = 3600000000
-- Cut at most once in so long, and recovering in about so long, unless its mails lie far apart.
local WINDOW_US = 1000000
local RECOVERY_US = 6000000
local function window_us(spacing) return math.max(WINDOW_US, 10 * spacing) end

local LEARNED = { 'good_us', 'depth', 'grown_us', 'cut_us', 'probing', 'told_us', 'told_at_us', 'shut_until_us', 'shut_why' }
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
  -- What was damaged is learned again.
  if state.good_us and (is_lost({ 'depth', 'grown_us', 'cut_us', 'probing' }) or state.good_us <= 0) then state.good_us = nil end
  if state.told_us and not state.told_at_us then state.told_us = nil end
  return state
end

-- How many times the good rate goes by now. First it is sought, doubling every 3 s; once cut it comes back to the last good rate,
-- stays near it and goes beyond it slowly, then faster. Time counts only while the rate is used.
local function growth(state)
  if state.probing == 1 then return math.pow(2, math.min(state.grown_us / 3000000, 20)) end
  local period = math.max(RECOVERY_US, 20 * state.good_us)
  return 1 + state.depth * math.pow(state.grown_us / period - 1, 3)
end

-- The learned spacing as of now; nil where nothing is learned, or it is so old or so fast by now that it may be forgotten.
local function learned_us(state)
  if not state.good_us or now_us - state.cut_us > FORGET_US or now_us < state.cut_us - FORGET_US then return nil end
  local times = growth(state)
  if times >= 8 then return nil end
  return state.good_us / times
end

-- The spacing that the server itself has told, for as long as it may hold.
local function told_us(state)
  if not state.told_us or now_us - state.told_at_us > FORGET_US then return nil end
  return state.told_us
end

-- How long nothing is taken, and why.
local function shut_us(state)
  if not state.shut_until_us or state.shut_until_us <= now_us then return nil end
  return state.shut_until_us - now_us, state.shut_why
end

local function keep_state(...)
  redis.call('HSET', key('state'), ...)
  redis.call('PEXPIRE', key('state'), 40 * 86400000)
end
