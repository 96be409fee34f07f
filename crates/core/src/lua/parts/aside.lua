-- Setting a job aside: what a script does with a job whose record it can't work with. Each job is acted on by itself (`harmless`), so that
-- no other one comes to harm.

-- When the id was made, by the clock of whoever made it.
local DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
local function made_ms(id)
  local ms = 0
  for at = 1, 10 do ms = ms * 32 + string.find(DIGITS, string.sub(id, at - 27, at - 27), 1, true) - 1 end
  return ms
end

-- Raises the error for a job without a payload, unless it has come to its end. Lists keep ids of ended jobs, of which nothing is left after
-- a day at the earliest: of an older id without a hash it can't be said that anything is wrong, unless it is `indexed`.
local CLOCK_ERROR_MS = 60000
local function check_missing(id, indexed)
  local state = redis.call('HGET', hash_key(id), 'state')
  if FINISHED[state or ''] then return end
  local age = now - made_ms(id)
  local is_new = age > -CLOCK_ERROR_MS and age < TOMBSTONE_MS
  if indexed or is_new or redis.call('EXISTS', hash_key(id)) == 1 then broken('its payload is gone') end
end

-- Whether the lists of what was sent have the job: those of the hours after its id was made, and the latest two. A script looks into
-- a bounded number of them.
local LISTED_MOST = 200000
local looks_left = 4
local function is_filed_sent(id)
  local first, latest, seen = math.floor(made_ms(id) / HOUR_MS), math.floor(now / HOUR_MS), {}
  for _, hour in ipairs({ first, first + 1, latest - 1, latest }) do
    if not seen[hour] and looks_left > 0 then
      seen[hour], looks_left = true, looks_left - 1
      if redis.call('LPOS', key('sent:' .. int(hour)), short_id(id), 'MAXLEN', LISTED_MOST) then return true end
    end
  end
  return false
end

-- The state that the indexes have the job in.
local function indexed_as(id)
  local function is_in(index) return redis.call('ZSCORE', key(index), id) end
  if is_in('leases') then return 'sending' end
  for _, class in ipairs(CLASSES) do
    if is_in('scheduled:' .. class) then return 'scheduled' end
    if is_in('deferred:' .. class) then return 'deferred' end
  end
  -- Of one that has ended the hash says so too, if it can be read.
  local state = server.pcall('HGET', hash_key(id), 'state')
  for _, index in ipairs({ 'unknown', 'failed', 'cancelled' }) do
    if (state == index or type(state) == 'table') and is_in(index) then return index end
  end
  for _, before in ipairs({ 'scheduled', 'deferred' }) do
    if redis.call('ZSCORE', key('newer'), before .. ' ' .. id) then return before end
  end
  return (state == 'sent' or is_filed_sent(id)) and 'sent' or 'queued'
end

-- The batch of a job whose record may be damaged: as its header says, or its flight, or else one of the latest 1,000 whose id begins as
-- this id does. '-' where there is none.
local latest_batches
local function batch_of(id)
  local header = server.pcall('GETRANGE', payload_key(id), 0, 255)
  local fine, job = pcall(parse_header, type(header) == 'string' and header or '')
  if fine and job then return job.batch end
  local flight = server.pcall('GET', flight_key(id))
  local batch = type(flight) == 'string' and string.match(flight, '^%d+ %S+ %d+ %d+ %d+ (%S+)')
  if batch then return batch end
  latest_batches = latest_batches or redis.call('ZREVRANGE', key('batches'), 0, 999)
  for _, name in ipairs(latest_batches) do
    if string.sub(name, -26, -8) == string.sub(id, -26, -8) then return name end
  end
  return '-'
end

-- Whatever stands in the place of a record is left for a person to look at; a payload is there in any case, so that the job stays listed.
local function make_record(id)
  for where, kind in pairs({ [payload_key(id)] = 'string', [hash_key(id)] = 'hash', [flight_key(id)] = 'string' }) do
    local found = redis.call('TYPE', where).ok
    if found ~= kind and found ~= 'none' then move_aside(where, 'it is a ' .. found .. ' and not a ' .. kind) end
  end
  if redis.call('STRLEN', payload_key(id)) == 0 then redis.call('SET', payload_key(id), VERSION .. ' damaged\n') end
  local flight = redis.call('GET', flight_key(id))
  if flight then
    redis.call('HSET', hash_key(id), 'flight', string.sub(flight, 1, 1000))
    -- A fence never falls, also where a person has the job sent again.
    local fence = string.match(flight, '^(%d+) ')
    if fence and #fence <= 15 then redis.call('HSETNX', hash_key(id), 'fence', fence) end
  end
  redis.call('UNLINK', flight_key(id))
end

-- A job whose record is damaged, with what is left of it, out of everybody's way: failed, unless it is known that it was sent. Nothing of it is
-- sent any more.
local UNREADABLE_MS = 2592000000
local function set_aside(id, why, state)
  state = state or 'failed'
  local from, batch = indexed_as(id), batch_of(id)
  local waits = from == 'queued' or from == 'scheduled' or from == 'deferred'
  if state ~= 'cancelled' then note_damage('job ' .. id, why) end
  if FINISHED[from] then return end
  make_record(id)
  redis.call('HSET', hash_key(id), 'state', state, 'reason', state == 'cancelled' and 'person' or 'unreadable', 'finished_ms', int(now),
    'error_code', 'damaged', 'error_message', why)
  redis.call('HDEL', hash_key(id), 'worker', 'begun_ms', 'due_ms')
  redis.call('PEXPIRE', hash_key(id), UNREADABLE_MS)
  redis.call('PEXPIRE', payload_key(id), UNREADABLE_MS)
  for _, index in ipairs({ 'leases', 'unknown', 'expiring' }) do redis.call('ZREM', key(index), id) end
  for _, class in ipairs(CLASSES) do
    redis.call('ZREM', key('scheduled:' .. class), id)
    redis.call('ZREM', key('deferred:' .. class), id)
  end
  if state == 'sent' then file_sent(id, UNREADABLE_MS) else redis.call('ZADD', key(state), int(now), id) end
  -- A cancelled batch has counted what waited already.
  move(batch, waits and batch_cancelled(batch) and 'cancelled' or from, state)
  count(key('n'), state .. '_total', 1)
  count(minute_key(), state, 1)
end

-- What an error says of a record; nil where it is the server's or the user's (no memory, no rights): such an error ends the script.
local OTHERS = 'NOPERM,ACL failure,t run this command,t access at least one,OOM,READONLY,MISCONF,NOREPLICAS,MASTERDOWN,BUSY,not enough memory,nknown Redis'
local function fault_in(error)
  local text = type(error) == 'table' and error.err or tostring(error)
  for other in string.gmatch(OTHERS, '[^,]+') do
    if string.find(text, other, 1, true) then return nil end
  end
  return (string.gsub(text, '^damaged: ', ''))
end

-- Acts on one job. Where its record can't be worked with, the job is set aside and nobody else is harmed. Answers whether it went well, and
-- what the act answered.
local function guarded(act, ...)
  journal = {}
  local fine, word, more, last = pcall(act, ...)
  local counted = journal
  journal = nil
  if fine then return true, word, more, last end
  local why = fault_in(word)
  if not why then error(word, 0) end
  for at = 1, #counted, 3 do count(counted[at], counted[at + 1], -counted[at + 2]) end
  return false, why
end

-- The same, and what can't be worked with is set aside.
local function harmless(id, act, ...)
  local fine, word, more = guarded(act, ...)
  if fine then return word, more end
  set_aside(id, word)
end

-- What a newer version wrote waits apart, by its version, until a worker comes that can read it. Nobody else waits for it.
local function set_apart(id, state, version) redis.call('ZADD', key('newer'), version, state .. ' ' .. id) end
