-- A worker says how many connections to a server it has and how many it wants, and learns how many it may have: never more over all workers
-- than is set or than the server has let in. Beyond what has stood at once, one more (of many, a
-- sixteenth more) is opened only when none is being opened.
--
-- Keys:    `held` (hash worker -> held and open), `heard` (zset worker -> when it is taken for lost), `state` of the limit
-- ARGV:    version, worker, want, open (connections that stand), cap (0: none is set), refused (1: one more was turned away at the door)
-- Replies: held <number> <cap in force, 0: none>
-- States:  none
-- Includes: prelude learned_rate
local worker, want, open, cap, refused = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
-- Not heard for so long, a worker is lost and its connections with it.
local LOST_MS = 10000
-- Not heard for so long while it opened one, it is not waited for: it may have been killed.
local OPENING_MS = 1000
-- After a silence of everybody, such as an outage of Redis, nobody is lost yet.
local SILENCE_MS = 5000
local MARK_MS = 3000
-- One more than the server let in is tried after a while, which doubles each time that was in vain.
local FIRST_AGAIN_MS = 300000
local LONGEST_AGAIN_MS = 3600000
local SHORTEST_AGAIN_MS = 10000

local NAMES = { 'most', 'learned', 'again_ms', 'again_pause_ms', 'wants_who', 'wants_has', 'wants_until_ms', 'wants_from', 'wants_left', 'spoke_ms', 'lost_from_ms' }
local TEXTS = { wants_who = true, wants_from = true }
local state, facts = {}, redis.call('HMGET', key('state'), unpack(NAMES))
for index, name in ipairs(NAMES) do state[name] = TEXTS[name] and facts[index] or tonumber(facts[index]) end
-- What was damaged is learned again.
if state.learned and not (state.again_ms and state.again_pause_ms) then state.learned = nil end
if state.wants_who and not (state.wants_has and state.wants_until_ms and state.wants_from and state.wants_left) then state.wants_who = nil end

local function forget_the_lost()
  if state.spoke_ms and math.abs(now - state.spoke_ms) > SILENCE_MS then state.lost_from_ms = now + LOST_MS end
  state.spoke_ms = now
  if now < (state.lost_from_ms or 0) then return end
  for _, lost in ipairs(redis.call('ZRANGEBYSCORE', key('heard'), '-inf', int(now), 'LIMIT', 0, 200)) do
    redis.call('ZREM', key('heard'), lost)
    redis.call('HDEL', key('held'), lost)
  end
end

-- What this worker holds, what all others hold, how many of those stand, and how many are being opened. There is an entry
-- for each live worker.
local function holdings()
  local mine, others, stand, opening = 0, 0, 0, 0
  local all = redis.call('HGETALL', key('held'))
  for index = 1, #all, 2 do
    local held, stands = string.match(all[index + 1], '^(%d+) (%d+)$')
    held, stands = tonumber(held) or 0, tonumber(stands) or 0
    if all[index] == worker then
      mine = held
    else
      others, stand = others + held, stand + stands
      local lost_at = tonumber(redis.call('ZSCORE', key('heard'), all[index])) or 0
      if lost_at > now + LOST_MS - OPENING_MS then opening = opening + math.max(held - stands, 0) end
    end
  end
  return mine, others, stand, opening + math.max(mine - open, 0)
end

-- One was turned away while others stood: so many it is. Or more stand than were thought to be let in.
local function learn(standing)
  if refused and standing > 0 then
    state.learned = math.min(standing, state.learned or standing)
    state.most = state.learned
    state.again_pause_ms = math.max(math.min((state.again_pause_ms or 0) * 2, LONGEST_AGAIN_MS), FIRST_AGAIN_MS)
  elseif state.learned and standing > state.learned then
    state.learned, state.again_pause_ms = standing, math.max(state.again_pause_ms / 2, SHORTEST_AGAIN_MS)
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

-- Who waits with fewer gets one from whom has more. The first that is met leaves one, and does not take it back while the other waits.
local function shared(mine, granted, room)
  local marked = state.wants_who and state.wants_until_ms > now and state.wants_until_ms <= now + MARK_MS
  if marked and state.wants_who ~= worker then
    if state.wants_from == '-' and (mine > state.wants_has + 1 or (mine > 0 and state.wants_has == 0)) then
      state.wants_from, state.wants_left = worker, mine - 1
    end
    if state.wants_from == worker then return math.min(granted, state.wants_left) end
  elseif marked and granted > state.wants_has then
    state.wants_until_ms = 0
  end
  if room and granted < want and granted >= room and (not marked or state.wants_who == worker or granted < state.wants_has) then
    if not marked or state.wants_who ~= worker then state.wants_from, state.wants_left = '-', 0 end
    state.wants_who, state.wants_has, state.wants_until_ms = worker, granted, now + MARK_MS
  end
  return granted
end

local function keep(held)
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
  keep_state(unpack(pairs_of))
end

forget_the_lost()
local mine, others, stand, opening = holdings()
local standing = stand + open
state.most = math.max(state.most or 0, standing)
learn(standing)
local limit = limit_in_force()
local room = limit and math.max(limit - others, 0)
local granted = room and math.min(want, room) or want
if granted > mine then
  local step = opening == 0 and math.max(1, math.floor(standing / 16)) or 0
  granted = math.min(granted, math.max(mine + step, state.most - others))
end
granted = shared(mine, granted, room)
keep(math.max(granted, open))
-- Who is turned away while nobody has a connection has met no limit: the server is not there.
if refused and standing == 0 then limit = nil end
return { 'held', int(granted), int(limit or 0) }
