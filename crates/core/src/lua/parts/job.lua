-- A job: its payload (a header line, then a line of JSON that scripts never read; where the variables are
-- sensitive, they stand alone in a third) and, from its first change on, a small hash. What was sent is one string again (kept.lua).

-- What of a batch's record is asked about each of its jobs, read once in a script.
local known_batches = {}
local function batch_facts(batch)
  local known = known_batches[batch]
  if known == nil then
    local facts = redis.call('HMGET', batch_key(batch), 'cancelled_ms', 'paused_ms', 'pace_us', 'one_at_a_time', 'next_us')
    known = {
      cancelled = facts[1] and true or false, paused = facts[2] and true or false, pace_us = tonumber(facts[3]),
      one_at_a_time = facts[4] == '1', next_us = tonumber(facts[5]) or 0,
    }
    known_batches[batch] = known
  end
  return known
end
local function batch_cancelled(batch) return batch ~= '-' and batch_facts(batch).cancelled end

-- Raises the error for a job whose record can't be worked with.
local function broken(what) error('damaged: ' .. what, 0) end

-- Ids that came from a list or a zset may be anything. One that is not an id of this queue would lead to keys that are no job's.
local of_queue = (string.match(base, ':([a-z0-9_-]+)}$') or '') .. '-'
local function is_job_id(id)
  return #id == #of_queue + 26 and string.sub(id, 1, #of_queue) == of_queue and string.find(id, '^[0-7][0-9A-HJKMNP-TV-Z]+$', #of_queue + 1) ~= nil
end

local WORDS = ' ' .. table.concat(STATES, ' ') .. ' '
local NUMBERS = {
  'fence', 'claimed_ms', 'begun_ms', 'due_ms', 'attempt', 'tries', 'finished_ms', 'generation', 'resends', 'retried_ms', 'settled', 'stalls',
  'stalls_in_crowd',
}
local function check_facts(hash)
  for _, field in ipairs(NUMBERS) do
    local value = hash[field]
    if value and not (#value <= 16 and string.find(value, '^%-?%d+$')) then broken('its field ' .. field .. ' is not a number') end
  end
  local state, recipients = hash.state, hash.recipients
  if state and not string.find(WORDS, ' ' .. state .. ' ', 1, true) then broken('its state is not a state') end
  if state == 'sending' and not hash.worker then broken('it is being sent by no worker') end
  if recipients and recipients ~= '' then
    local fine, list = pcall(cjson.decode, recipients)
    if not fine or type(list) ~= 'table' then broken('its recipients are not a JSON array') end
  end
  return hash
end

-- What is known of the job beside its promises: the fields of its hash, and those that every script asks for by their own names.
local function with_facts(job, id, hash)
  job.id, job.hash, job.fence = id, hash, tonumber(hash.fence or 0)
  job.state, job.worker, job.begun_ms, job.attempt, job.tries = hash.state, hash.worker, hash.begun_ms, hash.attempt, hash.tries
  job.resends, job.retried_ms, job.settled, job.files = hash.resends, hash.retried_ms, hash.settled, hash.files
  return job
end

-- The fields of its hash, and whether it is in flight and has none.
local function facts_of(id)
  local hash, flat = {}, redis.call('HGETALL', hash_key(id))
  for index = 1, #flat, 2 do hash[flat[index]] = flat[index + 1] end
  if flat[1] then return check_facts(hash), false end
  local flight = redis.call('GET', flight_key(id))
  if flight then return parse_flight(flight) or broken('its flight can not be read'), true end
  return hash, false
end

-- One that was sent and is kept as one string. Without its batch's terms its time is over.
local function load_kept(id, payload)
  local written = tonumber(string.match(payload, '^%d+'))
  if written > VERSION then return nil, 'newer', written end
  local header, hash = parse_kept(id, payload)
  if not header then return nil, string.find(payload, KEPT) and 'missing' or 'unreadable' end
  local job = with_facts(parse_header(header .. '\n'), id, hash)
  job.kept = true
  return job
end

-- Returns the job, or nil with 'missing', 'unreadable' (one that was sent: nothing is left to do for it), 'stranger' (no id of this queue), or
-- 'newer' and its version. Raises an error where its record is damaged. Of the payload, unless it is at hand, only the header is read: the
-- rest may be large. Where its facts are at hand too, and tell no state, it is known to be queued.
local function load(id, payload, facts, in_flight)
  if not is_job_id(id) then return nil, 'stranger' end
  local header = payload or redis.call('GETRANGE', payload_key(id), 0, 255)
  if header == '' then
    if redis.call('EXISTS', flight_key(id)) == 1 then broken('its payload is gone') end
    return nil, 'missing'
  end
  if is_kept(header) then return load_kept(id, header) end
  local job, newer = parse_header(header)
  if newer then return nil, 'newer', newer end
  if not job then broken('its header can not be read') end
  local hash = facts
  if not hash then hash, in_flight = facts_of(id) end
  with_facts(job, id, hash)
  job.in_flight, job.payload = in_flight, payload
  if not job.state then
    local waits = not facts and redis.call('ZSCORE', key('scheduled:' .. class_of(job.priority)), id)
    job.state = waits and 'scheduled' or 'queued'
  end
  -- A cancelled batch took its waiting jobs with it, counters and all, in one move.
  job.swept = (job.state == 'scheduled' or job.state == 'queued' or job.state == 'deferred') and batch_cancelled(job.batch)
  return job
end

-- Whether somebody else was handed the job since Redis was restarted: a fence from before tells nothing then.
local function has_new_holder(job, worker)
  if job.state ~= 'sending' or job.worker == worker then return false end
  local since = tonumber(redis.call('HGET', key('run'), 'since_ms'))
  local claimed = tonumber(job.hash.claimed_ms)
  return since and claimed and claimed >= since
end

-- How the one who speaks of a job stands to it: `holds` it; was its `last` holder; is `ahead` (Redis forgot the claim when it
-- lost its last second); or somebody else has had it since (`past`).
local function standing(job, worker, fence)
  if fence > job.fence then return has_new_holder(job, worker) and 'past' or 'ahead' end
  -- Of the worker of a sent job only the last characters may have been kept.
  if fence < job.fence or (job.worker and job.worker ~= string.sub(worker, -#job.worker)) then return 'past' end
  return job.state == 'sending' and 'holds' or 'last'
end

-- Whether what came of this claim was heard already.
local function is_settled(job, fence) return tonumber(job.settled) == fence end

-- Its hash takes the place of its flight.
local function land(job)
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
  land(job)
  redis.call('HSET', hash_key(job.id), ...)
  local flat = { ... }
  for index = 1, #flat, 2 do job.hash[flat[index]] = flat[index + 1] end
end

local function unset(job, ...)
  land(job)
  redis.call('HDEL', hash_key(job.id), ...)
  for _, field in ipairs({ ... }) do job.hash[field] = nil end
end

-- What is to be set with whatever comes next, at once.
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

local function dies_ms(job) return (tonumber(job.retried_ms) or job.due_ms) + job.max_age_ms end

-- Takes the job out of whatever index its state keeps it in. Lists are left alone: claim skips what is not queued.
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

-- The same but for its number and times. A line begins with them: n, + (counted) or -, at_ms, ms.
local function told_again(line) return (string.gsub(line, '^%d+ ([+-]) %d+ %d+ ', '%1 ')) end

-- Adds one line to the job's story. A try that did not count and says what the last one said takes its place: an outage
-- of a day is not told a thousand times. Of a story that is too long all the same, the oldest lines go.
local STORY_BYTES = 16384
local function record_line(job, line)
  local story = job.notes and job.notes.attempts or job.hash.attempts or ''
  local last = string.match(story, '[^\n]*$')
  if string.find(line, '^%d+ %-') and told_again(last) == told_again(line) then
    story = string.sub(story, 1, #story - #last)
  elseif story ~= '' then
    story = story .. '\n'
  end
  story = story .. line
  while #story > STORY_BYTES do
    local cut = string.find(story, '\n', 1, true)
    if not cut then break end
    story = string.sub(story, cut + 1)
  end
  job.tries = (tonumber(job.tries) or 0) + 1
  note(job, 'attempts', story)
  note(job, 'tries', job.tries)
end

-- One line for each transport that was tried; noted only.
local function note_attempt(job, lines)
  for line in string.gmatch(lines, '[^\n]+') do record_line(job, line) end
end

local function record_attempt(job, lines)
  note_attempt(job, lines)
  set_notes(job)
end

-- One that was being sent, or in doubt, is not among those that expire any more.
local function watch_expiry(job)
  if job.expires_ms > 0 then redis.call('ZADD', key('expiring'), int(job.expires_ms), job.id) end
end

-- Lines: what may not go yet because of something that it shares with others (a batch that is paused or paced, a limit on its
-- domain or template) waits in that thing's own line, a list for each priority, and nothing else waits for it. `lines` tells
-- when each may be looked at. A line is named by its batch, or by the limits on it (`domain.example.org`), with spaces between.
local PAUSED = '+inf'
-- Whether this script has put anything off to another time.
local puts_off = false
local function line_key(name, priority) return key('line:' .. name .. ':' .. priority) end

local function is_of_batch(line) return string.sub(line, 1, 2) == 'b.' end

-- Whether the job stands in its batch's line and not with the others.
local function has_line(job)
  if job.batch == '-' then return false end
  local facts = batch_facts(job.batch)
  return facts.paused or facts.pace_us
end

local function open_line(batch)
  local facts = batch_facts(batch)
  local score = facts.paused and PAUSED or int(math.ceil(facts.next_us / 1000))
  redis.call('ZADD', key('lines'), 'NX', score, batch)
  puts_off = true
end

-- Puts ids where claim looks for them.
local function make_ready(job, first, ...)
  local list = key('ready:' .. job.priority)
  if has_line(job) then
    list = line_key(job.batch, job.priority)
    open_line(job.batch)
  end
  redis.call(first and 'LPUSH' or 'RPUSH', list, ...)
end

local function to_queued(job, first)
  unindex(job)
  watch_expiry(job)
  set(job, 'state', 'queued')
  unset(job, 'worker', 'begun_ms', 'due_ms')
  make_ready(job, first, job.id)
  move(job.batch, job.state, 'queued')
  job.state = 'queued'
  wake(job.priority)
end

-- Puts the job where it waits for its time; whoever sleeps until the next one is told when this is the first.
local function wait_until(job, state, due)
  local waiting = key(state .. ':' .. class_of(job.priority))
  redis.call('ZADD', waiting, int(due), job.id)
  puts_off = true
  if redis.call('ZRANK', waiting, job.id) == 0 then wake(job.priority) end
end

-- What is sensitive goes when the job ends, however it ends.
local function drop_sensitive(job)
  local payload = redis.call('GET', payload_key(job.id))
  local line = payload and string.find(payload, '\n', 1, true)
  local cut = line and string.find(payload, '\n', line + 1, true)
  if cut then redis.call('SET', payload_key(job.id), string.sub(payload, 1, cut - 1)) end
end

-- Of a job whose result is not kept: a tombstone.
local function bury(job, reason)
  local hash = hash_key(job.id)
  redis.call('UNLINK', payload_key(job.id), hash, flight_key(job.id))
  redis.call('HSET', hash, 'state', job.state, 'reason', reason, 'finished_ms', int(now), 'fence', job.fence)
  redis.call('PEXPIRE', hash, TOMBSTONE_MS)
end

-- A job that ends needs its files no more, unless it may be sent again.
local function release_files(job, state)
  if not job.files or FINISHED[job.state] then return end
  release(job.files, (state == 'sent' or job.swept) and 0 or job.retention_ms)
end

-- Ends the job: sent, failed or cancelled. A `swept` job was counted as cancelled together with its batch.
local function to_finished(job, state, reason)
  unindex(job)
  local counted_as = job.swept and 'cancelled' or job.state
  if counted_as ~= state then
    move(job.batch, counted_as, state)
    count(key('n'), state .. '_total', 1)
    count(minute_key(), state, 1)
  end
  release_files(job, state)
  job.state = state
  if job.expires_ms > 0 then redis.call('ZREM', key('expiring'), job.id) end
  if job.retention_ms == 0 then return bury(job, reason) end
  if state == 'sent' then
    file_sent(job.id, job.retention_ms)
    if reason == '' and job.retention_ms >= TOMBSTONE_MS and fold(job, now) then return end
  end
  local hash = hash_key(job.id)
  note(job, 'state', state)
  note(job, 'reason', reason)
  note(job, 'finished_ms', int(now))
  set_notes(job)
  unset(job, 'begun_ms', 'due_ms')
  if job.sensitive then drop_sensitive(job) end
  redis.call('PEXPIRE', payload_key(job.id), int(job.retention_ms))
  redis.call('PEXPIRE', hash, int(math.max(job.retention_ms, TOMBSTONE_MS)))
  if state ~= 'sent' then redis.call('ZADD', key(state), int(now), job.id) end
end

local function to_deferred(job, delay_ms)
  local due = now + delay_ms
  unindex(job)
  set(job, 'state', 'deferred', 'due_ms', int(due))
  watch_expiry(job)
  unset(job, 'worker', 'begun_ms')
  wait_until(job, 'deferred', due)
  move(job.batch, job.state, 'deferred')
  job.state = 'deferred'
end

-- It can't be known whether the mail went out: its policy decides.
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
  if job.files then refer_longer(job.files) end
  move(job.batch, job.state, 'unknown')
  job.state = 'unknown'
end

-- Whether a try may still change what becomes of the job.
local function is_open(job) return not FINISHED[job.state] and not job.swept end

-- Ends a job that may not go out any more; returns the word for it, or nil when it may still go.
local function end_if_overdue(job)
  if batch_cancelled(job.batch) then to_finished(job, 'cancelled', 'batch'); return 'cancelled' end
  if job.expires_ms > 0 and now >= job.expires_ms then to_finished(job, 'cancelled', 'expired'); return 'expired' end
  if now >= dies_ms(job) then to_finished(job, 'failed', 'too_old'); return 'too_old' end
  return nil
end
