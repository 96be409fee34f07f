-- Requests connections to a server for a worker, and records those that it has open. The number
-- over all workers never exceeds the configured cap or what the server accepts. Beyond the highest
-- number that was open at once, one more (or a sixteenth more) is opened at a time.
--
-- Keys:    `state`, `held`, `heard`
-- ARGV:    version, worker, want, open, cap (0: none), refused (1: the server refused a connection)
-- Replies: held <number> <cap in force, 0: none>
-- States:  none
-- Includes: prelude learned_rate
local worker, want, open = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local cap, refused = tonumber(ARGV[5]), ARGV[6] == '1'
-- A worker that is silent for this long is lost, with its connections.
local LOST_MS = 10000
-- A worker that is silent for this long while it opens a connection does not block others: it may
-- have been killed.
local OPENING_MS = 1000
-- After a silence of all workers, such as an outage of Redis, none counts as lost yet.
local SILENCE_MS = 5000
local MARK_MS = 3000
-- One connection more than the server accepted is tried after a pause that doubles with each
-- refusal.
local FIRST_AGAIN_MS = 300000
local LONGEST_AGAIN_MS = 3600000
local SHORTEST_AGAIN_MS = 10000

local NAMES = {
  'most', 'learned', 'again_ms', 'again_pause_ms', 'wants_who', 'wants_has', 'wants_until_ms', 'wants_from',
  'wants_left', 'spoke_ms', 'lost_from_ms',
}
local TEXTS = { wants_who = true, wants_from = true }
local state, facts = {}, redis.call('HMGET', key('state'), unpack(NAMES))
for index, name in ipairs(NAMES) do state[name] = TEXTS[name] and facts[index] or tonumber(facts[index]) end
-- Damaged state is learned again.
if state.learned and not (state.again_ms and state.again_pause_ms) then state.learned = nil end
local is_request_valid = state.wants_has and state.wants_until_ms and state.wants_from and state.wants_left
if state.wants_who and not is_request_valid then state.wants_who = nil end

local function remove_lost_workers()
  if state.spoke_ms and math.abs(now - state.spoke_ms) > SILENCE_MS then state.lost_from_ms = now + LOST_MS end
  state.spoke_ms = now
  if now < (state.lost_from_ms or 0) then return end
  for _, lost in ipairs(redis.call('ZRANGEBYSCORE', key('heard'), '-inf', int(now), 'LIMIT', 0, 200)) do
    redis.call('ZREM', key('heard'), lost)
    redis.call('HDEL', key('held'), lost)
  end
end

-- Returns the connections held by this worker, held by all others, open at others, and being
-- opened. There is one entry for each live worker.
local function holdings()
  local own, others, others_open, opening = 0, 0, 0, 0
  local all = redis.call('HGETALL', key('held'))
  for index = 1, #all, 2 do
    local held, open_count = string.match(all[index + 1], '^(%d+) (%d+)$')
    held, open_count = tonumber(held) or 0, tonumber(open_count) or 0
    if all[index] == worker then
      own = held
    else
      others, others_open = others + held, others_open + open_count
      local lost_at = tonumber(redis.call('ZSCORE', key('heard'), all[index])) or 0
      if lost_at > now + LOST_MS - OPENING_MS then opening = opening + math.max(held - open_count, 0) end
    end
  end
  return own, others, others_open, opening + math.max(own - open, 0)
end

-- A refusal while others are open sets the server's limit to the open number. A higher open number
-- raises it.
local function learn_server_limit(open_total)
  if refused and open_total > 0 then
    state.learned = math.min(open_total, state.learned or open_total)
    state.most = state.learned
    state.again_pause_ms = math.max(math.min((state.again_pause_ms or 0) * 2, LONGEST_AGAIN_MS), FIRST_AGAIN_MS)
  elseif state.learned and open_total > state.learned then
    state.learned, state.again_pause_ms = open_total, math.max(state.again_pause_ms / 2, SHORTEST_AGAIN_MS)
  else
    return
  end
  state.again_ms = now + state.again_pause_ms
end

local function limit_in_force()
  local learned = state.learned and state.learned + (now >= state.again_ms and 1 or 0)
  local set = cap > 0 and cap or nil
  return learned and set and math.min(learned, set) or learned or set
end

-- Shares connections fairly. A worker that waits with few gets one from a worker with more: the
-- first to call gives one up, and does not take it back while the other waits.
local function share_out(own, granted, room)
  local marked = state.wants_who and state.wants_until_ms > now and state.wants_until_ms <= now + MARK_MS
  if marked and state.wants_who ~= worker then
    if state.wants_from == '-' and (own > state.wants_has + 1 or (own > 0 and state.wants_has == 0)) then
      state.wants_from, state.wants_left = worker, own - 1
    end
    if state.wants_from == worker then return math.min(granted, state.wants_left) end
  elseif marked and granted > state.wants_has then
    state.wants_until_ms = 0
  end
  local may_mark = not marked or state.wants_who == worker or granted < state.wants_has
  if room and granted < want and granted >= room and may_mark then
    if not marked or state.wants_who ~= worker then state.wants_from, state.wants_left = '-', 0 end
    state.wants_who, state.wants_has, state.wants_until_ms = worker, granted, now + MARK_MS
  end
  return granted
end

local function save(held)
  if held == 0 then
    redis.call('HDEL', key('held'), worker)
    redis.call('ZREM', key('heard'), worker)
  else
    redis.call('HSET', key('held'), worker, int(held) .. ' ' .. int(open))
    redis.call('ZADD', key('heard'), int(now + LOST_MS), worker)
    redis.call('PEXPIRE', key('held'), 86400000)
    redis.call('PEXPIRE', key('heard'), 86400000)
  end
  local pairs_of = {}
  for _, name in ipairs(NAMES) do
    if state[name] then
      pairs_of[#pairs_of + 1] = name
      pairs_of[#pairs_of + 1] = TEXTS[name] and state[name] or int(state[name])
    end
  end
  save_state(unpack(pairs_of))
end

remove_lost_workers()
local own, others, others_open, opening = holdings()
local open_total = others_open + open
state.most = math.max(state.most or 0, open_total)
learn_server_limit(open_total)
local limit = limit_in_force()
local room = limit and math.max(limit - others, 0)
local granted = room and math.min(want, room) or want
if granted > own then
  local step = opening == 0 and math.max(1, math.floor(open_total / 16)) or 0
  granted = math.min(granted, math.max(own + step, state.most - others))
end
granted = share_out(own, granted, room)
save(math.max(granted, open))
-- A refusal while none is open shows no limit: the server is down.
if refused and open_total == 0 then limit = nil end
return { 'held', int(granted), int(limit or 0) }
