-- Job: a payload and, after its first change, a hash. The payload has a header line, a line of JSON
-- that scripts do not read, and a third line with the variables if these are sensitive. A sent job
-- is one string again (sent_record.lua).

-- Fields of a batch's record that each of its jobs needs, read once per script.
local known_batches = {}
local function batch_facts(batch)
  local known = known_batches[batch]
  if known == nil then
    local facts = redis.call('HMGET', batch_key(batch), 'cancelled_ms', 'paused_ms', 'pace_us', 'one_at_a_time',
      'next_us')
    known = {
      cancelled = facts[1] and true or false, paused = facts[2] and true or false, pace_us = tonumber(facts[3]),
      one_at_a_time = facts[4] == '1', next_us = tonumber(facts[5]) or 0,
    }
    known_batches[batch] = known
  end
  return known
end
local function batch_cancelled(batch) return batch ~= '-' and batch_facts(batch).cancelled end

-- Raises the error for a job with a damaged record.
local function raise_damage(what) error('damaged: ' .. what, 0) end

-- Ids from a list or a zset are not trusted: an id of another form would lead to keys that belong
-- to no job.
local of_queue = (string.match(base, ':([a-z0-9_-]+)}$') or '') .. '-'
local function is_job_id(id)
  return #id == #of_queue + 26 and string.sub(id, 1, #of_queue) == of_queue
    and string.find(id, '^[0-7][0-9A-HJKMNP-TV-Z]+$', #of_queue + 1) ~= nil
end

local WORDS = ' ' .. table.concat(STATES, ' ') .. ' '
local NUMBERS = {
  'fence', 'claimed_ms', 'begun_ms', 'due_ms', 'attempt', 'tries', 'finished_ms', 'generation', 'resends', 'retried_ms',
  'settled', 'stalls', 'stalls_in_crowd',
}
local function check_fields(hash)
  for _, field in ipairs(NUMBERS) do
    local value = hash[field]
    if value and not (#value <= 16 and string.find(value, '^%-?%d+$')) then
      raise_damage('field ' .. field .. ' is not a number')
    end
  end
  local state, recipients = hash.state, hash.recipients
  if state and not string.find(WORDS, ' ' .. state .. ' ', 1, true) then raise_damage('invalid state') end
  if state == 'sending' and not hash.worker then raise_damage('state sending without a worker') end
  if recipients and recipients ~= '' then
    local fine, list = pcall(cjson.decode, recipients)
    if not fine or type(list) ~= 'table' then raise_damage('recipients are not a JSON array') end
  end
  return hash
end

-- Adds the fields of the hash to the job, and copies those that most scripts use.
local function attach_fields(job, id, hash)
  job.id, job.hash, job.fence = id, hash, tonumber(hash.fence or 0)
  job.state, job.worker, job.begun_ms = hash.state, hash.worker, hash.begun_ms
  job.attempt, job.tries = hash.attempt, hash.tries
  job.resends, job.retried_ms, job.settled, job.files = hash.resends, hash.retried_ms, hash.settled, hash.files
  return job
end

-- Returns the fields of the hash or of the flight, and whether they are those of a flight.
local function read_fields(id)
  local hash, flat = {}, redis.call('HGETALL', hash_key(id))
  for index = 1, #flat, 2 do hash[flat[index]] = flat[index + 1] end
  if flat[1] then return check_fields(hash), false end
  local flight = redis.call('GET', flight_key(id))
  if flight then return parse_flight(flight) or raise_damage('the flight is malformed'), true end
  return hash, false
end

-- Loads a sent job. If the terms of its batch are gone, its retention is over.
local function load_sent_record(id, payload)
  local written = tonumber(string.match(payload, '^%d+'))
  if written > VERSION then return nil, 'newer', written end
  local header, hash = parse_sent_record(id, payload)
  if not header then return nil, string.find(payload, SENT_RECORD) and 'missing' or 'unreadable' end
  local job = attach_fields(parse_header(header .. '\n'), id, hash)
  job.is_sent_record = true
  return job
end

-- Returns the job, or nil and a reason: 'missing'; 'unreadable' (a sent job, for which nothing is
-- left to do); 'foreign' (not an id of this queue); 'newer' and its protocol version. Raises an
-- error if the record is damaged.
-- Reads only the header unless `payload` is given, since the rest may be large. With `facts` given
-- and no state among them, the job is known to be queued.
local function load(id, payload, facts, in_flight)
  if not is_job_id(id) then return nil, 'foreign' end
  local header = payload or redis.call('GETRANGE', payload_key(id), 0, 255)
  if header == '' then
    if redis.call('EXISTS', flight_key(id)) == 1 then raise_damage('the payload is missing') end
    return nil, 'missing'
  end
  if is_sent_record(header) then return rare.load_sent_record(id, header) end
  local job, newer = parse_header(header)
  if newer then return nil, 'newer', newer end
  if not job then raise_damage('the header is malformed') end
  local hash = facts
  if not hash then hash, in_flight = read_fields(id) end
  attach_fields(job, id, hash)
  job.in_flight, job.payload = in_flight, payload
  if not job.state then
    local scheduled = not facts and redis.call('ZSCORE', key('scheduled:' .. class_of(job.priority)), id)
    job.state = scheduled and 'scheduled' or 'queued'
  end
  -- Cancelling a batch moves all its waiting jobs at once: the counters change, the jobs do not.
  local waits = job.state == 'scheduled' or job.state == 'queued' or job.state == 'deferred'
  job.cancelled_with_batch = waits and batch_cancelled(job.batch)
  return job
end

-- Returns whether another worker has claimed the job since Redis was restarted. A fence from before
-- the restart is then void.
local function has_new_holder(job, worker)
  if job.state ~= 'sending' or job.worker == worker then return false end
  local since = tonumber(redis.call('HGET', key('run'), 'since_ms'))
  local claimed = tonumber(job.hash.claimed_ms)
  return since and claimed and claimed >= since
end

-- Returns the relation of the caller's claim to the job: 'holder'; 'last_holder'; 'forgotten'
-- (Redis lost the claim with its last second of writes); 'superseded' (another worker has claimed
-- the job since).
local function claim_status(job, worker, fence)
  if fence > job.fence then return has_new_holder(job, worker) and 'superseded' or 'forgotten' end
  -- A sent record may keep only the last characters of the worker's id.
  if fence < job.fence or (job.worker and job.worker ~= string.sub(worker, -#job.worker)) then return 'superseded' end
  return job.state == 'sending' and 'holder' or 'last_holder'
end

-- Returns whether the outcome of this claim is already recorded.
local function is_settled(job, fence) return tonumber(job.settled) == fence end

-- Replaces the job's flight by a hash.
local function flight_to_hash(job)
  if not job.in_flight then return end
  local flat = {}
  for field, value in pairs(job.hash) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('UNLINK', flight_key(job.id))
  redis.call('HSET', hash_key(job.id), unpack(flat))
  job.in_flight = false
end

local function set(job, ...)
  flight_to_hash(job)
  redis.call('HSET', hash_key(job.id), ...)
  local flat = { ... }
  for index = 1, #flat, 2 do job.hash[flat[index]] = flat[index + 1] end
end

local function unset(job, ...)
  flight_to_hash(job)
  redis.call('HDEL', hash_key(job.id), ...)
  for _, field in ipairs({ ... }) do job.hash[field] = nil end
end

-- Adds a field to the next write of the hash.
local function note(job, field, value)
  job.notes = job.notes or {}
  job.notes[field] = value
end

local function set_notes(job)
  local flat = {}
  for field, value in pairs(job.notes or {}) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  if #flat > 0 then set(job, unpack(flat)) end
  job.notes = nil
end

local function too_old_at_ms(job) return (tonumber(job.retried_ms) or job.due_ms) + job.max_age_ms end

-- Removes the job from the index of its state. Lists are left unchanged: claim skips jobs that are
-- not queued.
local leases_key = key('leases')
local function unindex(job)
  if job.state == 'scheduled' or job.state == 'deferred' then
    redis.call('ZREM', key(job.state .. ':' .. class_of(job.priority)), job.id)
  elseif job.state == 'sending' then
    write_later('ZREM', leases_key, job.id)
  elseif job.state ~= 'queued' and job.state ~= 'sent' then
    redis.call('ZREM', key(job.state), job.id)
  end
end

-- Returns the attempt line without its number and times. It begins with: n, + (counted) or -,
-- at_ms, ms.
local function without_number_and_times(line) return (string.gsub(line, '^%d+ ([+-]) %d+ %d+ ', '%1 ')) end

-- Adds one line to the job's history. An attempt that did not count and repeats the last line
-- replaces it, so that a long outage leaves one line. The oldest lines are dropped when the history
-- is too long.
local HISTORY_BYTES = 16384
local function record_line(job, line)
  local history = job.notes and job.notes.attempts or job.hash.attempts or ''
  local last = string.match(history, '[^\n]*$')
  if string.find(line, '^%d+ %-') and without_number_and_times(last) == without_number_and_times(line) then
    history = string.sub(history, 1, #history - #last)
  elseif history ~= '' then
    history = history .. '\n'
  end
  history = history .. line
  while #history > HISTORY_BYTES do
    local cut = string.find(history, '\n', 1, true)
    if not cut then break end
    history = string.sub(history, cut + 1)
  end
  job.tries = (tonumber(job.tries) or 0) + 1
  note(job, 'attempts', history)
  note(job, 'tries', job.tries)
end

-- Adds one line for each transport that was tried. The hash is written later.
local function note_attempt(job, lines)
  for line in string.gmatch(lines, '[^\n]+') do record_line(job, line) end
end

local function record_attempt(job, lines)
  note_attempt(job, lines)
  set_notes(job)
end

-- Jobs that are sending or in doubt are not in the index of expiries.
local function index_expiry(job)
  if job.expires_ms > 0 then redis.call('ZADD', key('expiring'), int(job.expires_ms), job.id) end
end

-- Line: a lane of its own for jobs that share a restriction: a batch that is paced or paused, or
-- limits on a domain or template. A line has a list for each priority, so that no other job waits
-- behind it. `lines` holds when each line is due. A line is named after its batch or its limits
-- (`domain.example.org`), with spaces between several limits.
local PAUSED = '+inf'
-- Whether this script has added a job or a line that waits for a time.
local added_waiting = false
local function line_key(name, priority) return key('line:' .. name .. ':' .. priority) end

local function is_of_batch(line) return string.sub(line, 1, 2) == 'b.' end

-- Returns whether the job waits in the line of its batch.
local function has_line(job)
  if job.batch == '-' then return false end
  local facts = batch_facts(job.batch)
  return facts.paused or facts.pace_us
end

local function open_line(batch)
  local facts = batch_facts(batch)
  local score = facts.paused and PAUSED or int(math.ceil(facts.next_us / 1000))
  redis.call('ZADD', key('lines'), 'NX', score, batch)
  added_waiting = true
end

-- Adds ids to the list that claim reads them from.
local function make_ready(job, first, ...)
  local list = key('ready:' .. job.priority)
  if has_line(job) then
    list = line_key(job.batch, job.priority)
    rare.open_line(job.batch)
  end
  redis.call(first and 'LPUSH' or 'RPUSH', list, ...)
end

local function to_queued(job, first)
  unindex(job)
  index_expiry(job)
  set(job, 'state', 'queued')
  unset(job, 'worker', 'begun_ms', 'due_ms')
  make_ready(job, first, job.id)
  move(job.batch, job.state, 'queued')
  job.state = 'queued'
  wake(job.priority)
end

-- Adds the job to the index of its due time. Wakes a worker if it is the first one there, since
-- workers sleep until the next due time.
local function wait_until(job, state, due)
  local waiting = key(state .. ':' .. class_of(job.priority))
  redis.call('ZADD', waiting, int(due), job.id)
  added_waiting = true
  if redis.call('ZRANK', waiting, job.id) == 0 then wake(job.priority) end
end

-- Drops the sensitive variables when the job finishes.
local function drop_sensitive(job)
  local payload = redis.call('GET', payload_key(job.id))
  local line = payload and string.find(payload, '\n', 1, true)
  local cut = line and string.find(payload, '\n', line + 1, true)
  if cut then redis.call('SET', payload_key(job.id), string.sub(payload, 1, cut - 1)) end
end

-- Replaces a job without retention by a tombstone.
local function leave_tombstone(job, reason)
  local hash = hash_key(job.id)
  redis.call('UNLINK', payload_key(job.id), hash, flight_key(job.id))
  redis.call('HSET', hash, 'state', job.state, 'reason', reason, 'finished_ms', int(now), 'fence', job.fence)
  redis.call('PEXPIRE', hash, TOMBSTONE_MS)
end

-- Releases the contents of a finished job, unless it can be sent again.
local function release_files(job, state)
  if not job.files or FINISHED[job.state] then return end
  rare.release_references(job.files, (state == 'sent' or job.cancelled_with_batch) and 0 or job.retention_ms)
end

-- Finishes the job as sent, failed or cancelled. A job that was cancelled with its batch is already
-- counted.
local function to_finished(job, state, reason)
  unindex(job)
  local counted_as = job.cancelled_with_batch and 'cancelled' or job.state
  if counted_as ~= state then
    move(job.batch, counted_as, state)
    count(key('n'), state .. '_total', 1)
    count(minute_key(), state, 1)
  end
  release_files(job, state)
  job.state = state
  if job.expires_ms > 0 then redis.call('ZREM', key('expiring'), job.id) end
  if job.retention_ms == 0 then return rare.leave_tombstone(job, reason) end
  if state == 'sent' then
    index_sent(job.id, job.retention_ms)
    if reason == '' and job.retention_ms >= TOMBSTONE_MS and store_sent_record(job, now) then return end
  end
  local hash = hash_key(job.id)
  note(job, 'state', state)
  note(job, 'reason', reason)
  note(job, 'finished_ms', int(now))
  set_notes(job)
  unset(job, 'begun_ms', 'due_ms')
  if job.sensitive then rare.drop_sensitive(job) end
  redis.call('PEXPIRE', payload_key(job.id), int(job.retention_ms))
  redis.call('PEXPIRE', hash, int(math.max(job.retention_ms, TOMBSTONE_MS)))
  if state ~= 'sent' then redis.call('ZADD', key(state), int(now), job.id) end
end

local function to_deferred(job, delay_ms)
  local due = now + delay_ms
  unindex(job)
  set(job, 'state', 'deferred', 'due_ms', int(due))
  index_expiry(job)
  unset(job, 'worker', 'begun_ms')
  wait_until(job, 'deferred', due)
  move(job.batch, job.state, 'deferred')
  job.state = 'deferred'
end

-- Applies the job's policy: it is not known whether the mail was sent.
local function to_unknown(job)
  local resends = tonumber(job.resends or 0)
  if job.on_unknown == 'resend' and resends < 1 and not batch_cancelled(job.batch) then
    set(job, 'resends', resends + 1)
    return to_queued(job, true)
  end
  if job.on_unknown == 'fail' then return to_finished(job, 'failed', 'unknown') end
  unindex(job)
  set(job, 'state', 'unknown', 'reason', 'unknown')
  unset(job, 'worker', 'begun_ms')
  redis.call('ZADD', key('unknown'), int(now), job.id)
  redis.call('ZREM', key('expiring'), job.id)
  if job.files then extend_references(job.files) end
  move(job.batch, job.state, 'unknown')
  job.state = 'unknown'
end

-- Returns whether an attempt can still change the job's state.
local function is_unfinished(job) return not FINISHED[job.state] and not job.cancelled_with_batch end

-- Finishes a job that must not be sent any more. Returns the reply for it, or nil if it may be
-- sent.
local function end_if_overdue(job)
  if batch_cancelled(job.batch) then rare.to_finished(job, 'cancelled', 'batch'); return 'cancelled' end
  if job.expires_ms > 0 and now >= job.expires_ms then
    rare.to_finished(job, 'cancelled', 'expired')
    return 'expired'
  end
  if now >= too_old_at_ms(job) then rare.to_finished(job, 'failed', 'too_old'); return 'too_old' end
  return nil
end
