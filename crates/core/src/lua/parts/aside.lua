-- Handling of jobs with damaged records. A script acts on each job separately (`isolated`); a job
-- with an unusable record is marked as failed (`set_aside`), and the other jobs of the call are
-- processed as usual.
--
-- Keys of damage: `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `scheduled:<class>`,
--          `deferred:<class>`, `newer`, `leases`, `expiring`, `sent`, `sent:<hour>`, `failed`,
--          `cancelled`, `unknown`, `n`, `batches`, counters

-- The creation time in the job's ULID, by the producer's clock.
local function created_ms_of(id)
  local digits, ms = '0123456789ABCDEFGHJKMNPQRSTVWXYZ', 0
  for at = 1, 10 do ms = ms * 32 + string.find(digits, string.sub(id, at - 27, at - 27), 1, true) - 1 end
  return ms
end

-- Raises an error if a job without a payload has not finished. Lists keep ids of finished jobs, and
-- nothing is left of such a job after a day at the earliest. So an older id without a hash is an
-- error only if an index names it (`indexed`). The producer's clock may be a minute ahead.
local function check_missing(id, indexed)
  local state = redis.call('HGET', hash_key(id), 'state')
  if FINISHED[state or ''] then return end
  local age = now - created_ms_of(id)
  local is_new = age > -60000 and age < TOMBSTONE_MS
  if indexed or is_new or redis.call('EXISTS', hash_key(id)) == 1 then raise_damage('the payload is missing') end
end

-- Returns whether the hourly lists of sent jobs name the job, or nil if this script has searched
-- too much already. Searches the two hours after the id was created and the two latest hours.
local elements_left, SEARCHED_MOST = 1000000, 200000
local function is_indexed_sent(id)
  local first, latest, seen = math.floor(created_ms_of(id) / HOUR_MS), math.floor(now / HOUR_MS), {}
  for _, hour in ipairs({ first, first + 1, latest - 1, latest }) do
    if not seen[hour] then
      local list = key('sent:' .. int(hour))
      seen[hour], elements_left = true, elements_left - math.min(redis.call('LLEN', list), SEARCHED_MOST)
      if elements_left < 0 then return nil end
      if redis.call('LPOS', list, short_id(id), 'MAXLEN', SEARCHED_MOST) then return true end
    end
  end
  return false
end

-- Returns the job's state according to the indexes, or nil if this script has searched too much.
local function state_by_index(id)
  local function is_in(index) return redis.call('ZSCORE', key(index), id) end
  if is_in('leases') then return 'sending' end
  for _, class in ipairs(CLASSES) do
    if is_in('scheduled:' .. class) then return 'scheduled' end
    if is_in('deferred:' .. class) then return 'deferred' end
  end
  -- The state in the hash must agree with the index. Without a state, the expiry of the payload
  -- shows whether the job has finished.
  local state = server.pcall('HGET', hash_key(id), 'state')
  local is_lost, expires = type(state) ~= 'string', redis.call('PTTL', payload_key(id)) > 0
  for _, index in ipairs({ 'unknown', 'failed', 'cancelled' }) do
    if (state == index or is_lost and (index == 'unknown' or expires)) and is_in(index) then return index end
  end
  for _, before in ipairs({ 'scheduled', 'deferred' }) do
    if redis.call('ZSCORE', key('newer'), before .. ' ' .. id) then return before end
  end
  if state == 'sent' then return 'sent' end
  local is_sent = is_indexed_sent(id)
  if is_sent == nil then return nil end
  return is_sent and 'sent' or 'queued'
end

-- Returns the batch of a job whose record may be damaged, or '-': from the header, else from the
-- flight, else one of the latest 1,000 batches whose id has the same leading characters.
local latest_batches
local function batch_of(id)
  local header = server.pcall('GETRANGE', payload_key(id), 0, 255)
  local fine, job = pcall(parse_header, type(header) == 'string' and header or '')
  if fine and job then return job.batch end
  local flight = server.pcall('GET', flight_key(id))
  local _, batch = readable_fields(type(flight) == 'string' and flight or '')
  if batch then return batch end
  latest_batches = latest_batches or redis.call('ZREVRANGE', key('batches'), 0, 999)
  for _, name in ipairs(latest_batches) do
    if string.sub(name, -26, -8) == string.sub(id, -26, -8) then return name end
  end
  return '-'
end

-- Moves keys of the wrong type aside for inspection, and makes sure that a payload and a hash
-- exist, so that the job stays listed.
local function reset_record(id)
  for where, kind in pairs({ [payload_key(id)] = 'string', [hash_key(id)] = 'hash', [flight_key(id)] = 'string' }) do
    local found = redis.call('TYPE', where).ok
    if found ~= kind and found ~= 'none' then move_aside(where, 'its type is ' .. found .. ', not ' .. kind) end
  end
  if redis.call('STRLEN', payload_key(id)) == 0 then redis.call('SET', payload_key(id), VERSION .. ' damaged\n') end
  local flight = redis.call('GET', flight_key(id))
  if flight then
    redis.call('HSET', hash_key(id), 'flight', string.sub(flight, 1, 1000))
    -- The fence never falls, even if a person sends the job again.
    local fence = readable_fields(flight)
    if fence and #fence <= 15 then redis.call('HSETNX', hash_key(id), 'fence', fence) end
  end
  redis.call('UNLINK', flight_key(id))
end

-- Marks a job with a damaged record as failed, or as `state` if it is known. Removes it from every
-- index of unfinished jobs, so that it is never sent again. If this script has searched too much to
-- find out whether the job was sent, it leaves the job as it is and sets `undetermined`.
local undetermined = false
local function set_aside(id, why, state)
  state = state or 'failed'
  local from, batch = state_by_index(id), batch_of(id)
  if not from then undetermined = true; return end
  local waits = from == 'queued' or from == 'scheduled' or from == 'deferred'
  if state ~= 'cancelled' then note_damage('job ' .. id, why) end
  if FINISHED[from] then
    if server.pcall('HEXISTS', hash_key(id), 'state') == 1 then return end
    state = from
  end
  reset_record(id)
  redis.call('HSET', hash_key(id), 'state', state, 'reason', state == 'cancelled' and 'person' or 'unreadable',
    'finished_ms', int(now), 'error_code', 'damaged', 'error_message', why)
  redis.call('HDEL', hash_key(id), 'worker', 'begun_ms', 'due_ms')
  redis.call('PEXPIRE', hash_key(id), DAMAGED_MS)
  redis.call('PEXPIRE', payload_key(id), DAMAGED_MS)
  if FINISHED[from] then return end
  for _, index in ipairs({ 'leases', 'unknown', 'expiring' }) do redis.call('ZREM', key(index), id) end
  for _, class in ipairs(CLASSES) do
    redis.call('ZREM', key('scheduled:' .. class), id)
    redis.call('ZREM', key('deferred:' .. class), id)
  end
  if state == 'sent' then index_sent(id, DAMAGED_MS) else redis.call('ZADD', key(state), int(now), id) end
  -- Cancelling a batch has already counted its waiting jobs as cancelled.
  move(batch, waits and batch_cancelled(batch) and 'cancelled' or from, state)
  count(key('n'), state .. '_total', 1)
  count(minute_key(), state, 1)
end

-- Returns what an error says about a record. Returns nil for an error of the server or the user,
-- such as missing memory or rights; such an error must end the script.
local function cause_of(error)
  local others = 'NOPERM,ACL failure,t run this command,t access at least one,OOM,READONLY,MISCONF,NOREPLICAS,'
    .. 'MASTERDOWN,BUSY,not enough memory,nknown Redis'
  local text = type(error) == 'table' and error.err or tostring(error)
  for other in string.gmatch(others, '[^,]+') do
    if string.find(text, other, 1, true) then return nil end
  end
  return (string.gsub(text, '^damaged: ', ''))
end

-- Acts on one job. Returns true and the results of `act`, or false and what is damaged. The counts
-- of a failed act are taken back.
local function try_job(act, ...)
  journal = {}
  local fine, word, more, last = pcall(act, ...)
  local counted = journal
  journal = nil
  if fine then return true, word, more, last end
  local why = damage.cause_of(word)
  if not why then error(word, 0) end
  for at = 1, #counted, 3 do count(counted[at], counted[at + 1], -counted[at + 2]) end
  return false, why
end

-- Acts on one job like `try_job`, and sets the job aside if its record is damaged.
local function isolated(id, act, ...)
  local fine, word, more = try_job(act, ...)
  if fine then return word, more end
  damage.set_aside(id, word)
end

-- Moves a job of a newer protocol version to `newer`, until a worker can read it. Other jobs are
-- not delayed by it.
local function park_newer(id, state, version) redis.call('ZADD', key('newer'), version, state .. ' ' .. id) end
